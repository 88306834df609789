//! Which models have a name here, and which version does a tag mean?
//!
//! In: names, tags, digests. Out: models and versions. Fails: [`Error::NotFound`],
//! [`Error::NoVersion`], [`Error::Changed`]. A file that has changed under the same path is a new
//! version; `latest` moves on to it, and the old digest can no longer be served.

use std::collections::BTreeMap;

use base::Timestamp;
use spec::{Model, Name, Source, Version};

use crate::error::Error;
use crate::place;
use crate::progress::Progress;
use crate::registry::Registry;

/// The tag that always means the newest version.
const LATEST: &str = "latest";
/// Versions of one model that are remembered.
const MOST_VERSIONS: usize = 32;
/// Fewer digits of a digest could mean several versions.
const LEAST_DIGITS: usize = 12;

impl Registry {
    /// Gives a name to what a source means now. A model that has this name already gets the source,
    /// and a new version if the content is new.
    pub async fn register(&self, name: &Name, source: &Source) -> Result<Model, Error> {
        let version = self.resolve(source).await?;
        let source = match source {
            // A relative path would mean another file after a start with another config.
            Source::File(_) => Source::File(version.path.clone()),
            other => other.clone(),
        };
        self.note(name, &source, version).await
    }

    /// All models, by name.
    pub async fn list(&self) -> Result<Vec<Model>, Error> {
        Ok(self.inner.store.list_models().await?)
    }

    /// The model of this name.
    pub async fn get(&self, name: &Name) -> Result<Model, Error> {
        match self.inner.store.get_model(name).await? {
            Some(model) => Ok(model),
            None => Err(self.not_found(name).await?),
        }
    }

    /// Forgets a model; its files stay where they are.
    pub async fn remove(&self, name: &Name) -> Result<(), Error> {
        if self.inner.store.remove_model(name).await? { Ok(()) } else { Err(self.not_found(name).await?) }
    }

    pub(crate) async fn resolve_name(&self, name: &Name, tag: Option<&str>, progress: &Progress) -> Result<Version, Error> {
        let Some((model, tag)) = self.find(name, tag).await? else {
            return self.resolve_unregistered(name, tag, progress).await;
        };
        match tag {
            None | Some(LATEST) => self.newest(&model, progress).await,
            Some(tag) => self.fixed(&model, tag, progress).await,
        }
    }

    /// `a:b` may be the tag `b` of `a`, or a model that is called so.
    async fn find<'a>(&self, name: &Name, tag: Option<&'a str>) -> Result<Option<(Model, Option<&'a str>)>, Error> {
        if let Some(model) = self.inner.store.get_model(name).await? {
            return Ok(Some((model, tag)));
        }
        match tag.and_then(|tag| Name::parse(&format!("{name}:{tag}")).ok()) {
            Some(whole) => Ok(self.inner.store.get_model(&whole).await?.map(|model| (model, None))),
            None => Ok(None),
        }
    }

    async fn resolve_unregistered(&self, name: &Name, tag: Option<&str>, progress: &Progress) -> Result<Version, Error> {
        let file = match tag {
            None | Some(LATEST) => place::among_models(name.as_str(), &self.inner.config),
            Some(_) => None,
        };
        match file {
            Some(file) => self.resolve_file(&file, progress).await,
            None => Err(self.not_found(name).await?),
        }
    }

    async fn newest(&self, model: &Model, progress: &Progress) -> Result<Version, Error> {
        let path = match &model.source {
            Source::File(path) => path.clone(),
            _ => latest(model)?.path.clone(),
        };
        let version = self.resolve_file(&path, progress).await?;
        if model.tags.get(LATEST) != Some(&version.digest) {
            self.note(&model.name, &model.source, version.clone()).await?;
        }
        Ok(version)
    }

    /// A version that must be exactly what it was.
    async fn fixed(&self, model: &Model, tag: &str, progress: &Progress) -> Result<Version, Error> {
        let wanted = version_of(model, tag)?;
        let found = self.resolve_file(&wanted.path, progress).await?;
        if found.digest == wanted.digest {
            return Ok(found);
        }
        Err(Error::Changed { path: found.path, wanted: wanted.digest.clone(), found: found.digest })
    }

    async fn note(&self, name: &Name, source: &Source, version: Version) -> Result<Model, Error> {
        let _alone = self.inner.one_writer.acquire().await;
        let before = self.inner.store.get_model(name).await?;
        let model = with_version(before, name, source, version);
        self.inner.store.put_model(&model).await?;
        Ok(model)
    }

    async fn not_found(&self, name: &Name) -> Result<Error, Error> {
        let names: Vec<Name> = self.list().await?.into_iter().map(|model| model.name).collect();
        let near = spec::suggest(name.as_str(), names.iter().map(Name::as_str));
        Ok(Error::NotFound { name: name.clone(), near: near.and_then(|near| Name::parse(near).ok()) })
    }
}

fn with_version(before: Option<Model>, name: &Name, source: &Source, version: Version) -> Model {
    let now = Timestamp::now();
    let mut model = before.unwrap_or_else(|| Model {
        name: name.clone(),
        source: source.clone(),
        tags: BTreeMap::new(),
        versions: Vec::new(),
        created_at: now,
        updated_at: now,
    });
    model.source = source.clone();
    model.updated_at = now;
    model.tags.insert(LATEST.to_owned(), version.digest.clone());
    model.versions.retain(|old| old.digest != version.digest);
    model.versions.insert(0, version);
    model.versions.truncate(MOST_VERSIONS);
    model.tags.retain(|_, digest| model.versions.iter().any(|version| version.digest == *digest));
    model
}

fn latest(model: &Model) -> Result<&Version, Error> {
    version_of(model, LATEST)
}

fn version_of<'a>(model: &'a Model, tag: &str) -> Result<&'a Version, Error> {
    let found = match tag.strip_prefix('@') {
        Some(digest) => by_digest(model, digest),
        None => model.tags.get(tag).and_then(|digest| model.versions.iter().find(|version| version.digest == *digest)),
    };
    found.ok_or_else(|| Error::NoVersion {
        name: model.name.clone(),
        tag: tag.to_owned(),
        known: model.tags.keys().cloned().chain(model.versions.iter().map(|v| format!("@{}", v.digest))).collect(),
    })
}

/// By the whole digest or by its first digits.
fn by_digest<'a>(model: &'a Model, digest: &str) -> Option<&'a Version> {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    if digits.len() < LEAST_DIGITS {
        return None;
    }
    model.versions.iter().find(|version| version.digest.strip_prefix("sha256:").is_some_and(|whole| whole.starts_with(digits)))
}
