//! Which models have a name here, and which version does a tag mean?
//!
//! In: names, tags, digests. Out: models and versions. Fails: [`Error::NotFound`],
//! [`Error::NoVersion`], [`Error::Changed`]. A file that has changed under the same path is a new
//! version; `latest` moves on to it, and the old digest can no longer be served.

use std::path::Path;

use base::{Timestamp, tasks};
use blobs::Digest;
use spec::{Card, Keep, LATEST, Listed, Model, Name, Serving, Source, TagMove, Version};
use store::ModelQuery;

use crate::error::Error;
use crate::place;
use crate::progress::Progress;
use crate::registry::Registry;

/// Fewer digits of a digest could mean several versions.
const LEAST_DIGITS: usize = 12;
/// Looks at a name whose model is changed meanwhile.
const TRIES: usize = 8;
/// Who moves `latest` when a file has changed under its path.
const THE_FILE: &str = "the file, which has changed";

/// What a name with its tag means at this moment, without a look at its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// The model.
    pub model: Name,
    /// The project that it belongs to.
    pub project: Option<Name>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Its version.
    pub digest: String,
    /// How it is to be served.
    pub serving: Serving,
    /// Why it should not be used any more.
    pub deprecated: Option<String>,
    /// Who moved the tag.
    pub cause: String,
}

impl Meaning {
    /// Who brought it about that it means this, and no longer that version: who moved the tag, or else a change of the card.
    pub fn cause_after(&self, digest: Option<&str>) -> String {
        if digest == Some(&*self.digest) {
            format!("the card of the model `{}`, which has changed", self.model)
        } else {
            self.cause.clone()
        }
    }
}

impl Registry {
    /// All models, by name.
    pub async fn list(&self) -> Result<Vec<Model>, Error> {
        Ok(self.inner.store.list_models().await?)
    }

    /// The models that a search finds, by name.
    pub async fn find_all(&self, query: &ModelQuery) -> Result<Vec<Model>, Error> {
        Ok(self.inner.store.find_models(query).await?)
    }

    /// The model of this name.
    pub async fn get(&self, name: &Name) -> Result<Model, Error> {
        match self.inner.store.get_model(name).await? {
            Some(model) => Ok(model),
            None => Err(self.not_found(name).await?),
        }
    }

    /// How the tags of a model moved, the newest move first.
    pub async fn moves(&self, name: &Name, most: u32) -> Result<Vec<TagMove>, Error> {
        self.get(name).await?;
        Ok(self.inner.store.list_tag_moves(name, most).await?)
    }

    /// Stores what became of a model, if nobody was faster.
    pub async fn put(&self, model: &Model, moves: &[TagMove]) -> Result<Model, Error> {
        let _alone = self.inner.one_writer.acquire().await;
        Ok(self.inner.store.put_model(model, moves).await?)
    }

    /// Forgets a model; files that others keep stay where they are.
    pub async fn remove(&self, name: &Name, expect: Option<u64>) -> Result<(), Error> {
        if self.inner.store.remove_model(name, expect).await? { Ok(()) } else { Err(self.not_found(name).await?) }
    }

    /// The model that a name with a tag names, without its versions and whether it has such a tag or not.
    pub async fn named(&self, name: &Name, tag: Option<&str>) -> Result<Option<Model>, Error> {
        Ok(self.find_bare(name, tag).await?.map(|(model, _)| model))
    }

    /// Whether a file in the folder of models has this name, which no model has.
    pub fn has_file(&self, name: &Name) -> bool {
        place::among_models(name.as_str(), &self.inner.config).is_some()
    }

    /// Whether a file that somebody names lies where the operator has put models for all.
    pub async fn is_for_all(&self, typed: &Path) -> bool {
        let (typed, config) = (typed.to_owned(), self.inner.config.clone());
        tasks::blocking("whose-file", move || place::is_for_all(&typed, &config)).await.unwrap_or(false)
    }

    /// Whether a new model of this name, or these tags of one, would change what other names mean: `a:b` may be the tag `b` of `a`
    /// or a model that is called so, and a file in the folder of models answers to its own name.
    pub async fn must_not_mix(&self, name: &Name, before: Option<&Model>, tags: &[String]) -> Result<(), Error> {
        let mixed = |text: String| Err(Error::Mixed(text));
        if let Some(before) = before {
            for tag in tags.iter().filter(|tag| !before.tags.contains_key(*tag)) {
                let whole = format!("{name}:{tag}");
                if let Ok(other) = Name::parse(&whole)
                    && self.inner.store.get_bare_model(&other).await?.is_some()
                {
                    return mixed(whole);
                }
            }
            return Ok(());
        }
        let mut is_mixed = self.has_file(name) || self.begins_another(name).await?;
        if let Some((first, tag)) = name.as_str().rsplit_once(':')
            && let Ok(first) = Name::parse(first)
        {
            is_mixed |= self.inner.store.get_bare_model(&first).await?.is_some() || (tag == LATEST && self.has_file(&first));
        }
        if is_mixed { mixed(name.to_string()) } else { Ok(()) }
    }

    /// Whether there is a model that is called `name:…`.
    async fn begins_another(&self, name: &Name) -> Result<bool, Error> {
        let begin = format!("{name}:");
        let next = ModelQuery { after: Some(begin.clone()), limit: Some(1), ..ModelQuery::default() };
        Ok(self.find_all(&next).await?.iter().any(|model| model.name.as_str().starts_with(&begin)))
    }

    /// What a source means in the registry at this moment; nothing if it names no model there, or no version.
    pub async fn meaning(&self, source: &Source) -> Result<Option<Meaning>, Error> {
        let Source::Registry { name, tag } = source else { return Ok(None) };
        let Some((model, tag)) = self.find_bare(name, tag.as_deref()).await? else { return Ok(None) };
        let tag = tag.unwrap_or(LATEST);
        let digest = if tag.starts_with('@') {
            let whole = self.inner.store.get_model(&model.name).await?;
            whole.and_then(|whole| Some(version_of(&whole, tag)?.version.digest.clone()))
        } else {
            model.tags.get(tag).cloned()
        };
        let Some(digest) = digest else { return Ok(None) };
        let moves = self.inner.store.list_tag_moves(&model.name, LATEST_MOVES).await?;
        let cause = match moves.iter().find(|moved| moved.tag == tag && moved.to.as_ref() == Some(&digest)) {
            Some(moved) => format!("the tag `{tag}` of the model `{}`, moved by {}", model.name, moved.cause),
            None => format!("a change of the model `{}`", model.name),
        };
        let (serving, created_at) = (model.card.serving(), model.created_at);
        let Card { project, deprecated, .. } = model.card;
        Ok(Some(Meaning { digest, serving, project, deprecated, created_at, cause, model: model.name }))
    }

    pub(crate) async fn resolve_name(&self, name: &Name, tag: Option<&str>, progress: &Progress) -> Result<Version, Error> {
        for _ in 0..TRIES {
            let Some((model, tag)) = self.find(name, tag).await? else {
                return self.resolve_unregistered(name, tag, progress).await;
            };
            let version = match tag {
                None | Some(LATEST) if !model.latest_is_set => self.newest(&model, progress).await?,
                tag => Some(self.fixed(&model, tag.unwrap_or(LATEST), progress).await?),
            };
            if let Some(version) = version {
                return Ok(model.as_served(version));
            }
        }
        Err(Error::Busy(name.clone()))
    }

    /// `a:b` may be the tag `b` of `a`, or a model that is called so.
    pub(crate) async fn find<'a>(&self, name: &Name, tag: Option<&'a str>) -> Result<Option<(Model, Option<&'a str>)>, Error> {
        if let Some(model) = self.inner.store.get_model(name).await? {
            return Ok(Some((model, tag)));
        }
        match tag.and_then(|tag| Name::parse(&format!("{name}:{tag}")).ok()) {
            Some(whole) => Ok(self.inner.store.get_model(&whole).await?.map(|model| (model, None))),
            None => Ok(None),
        }
    }

    /// The same without its versions.
    async fn find_bare<'a>(&self, name: &Name, tag: Option<&'a str>) -> Result<Option<(Model, Option<&'a str>)>, Error> {
        if let Some(model) = self.inner.store.get_bare_model(name).await? {
            return Ok(Some((model, tag)));
        }
        match tag.and_then(|tag| Name::parse(&format!("{name}:{tag}")).ok()) {
            Some(whole) => Ok(self.inner.store.get_bare_model(&whole).await?.map(|model| (model, None))),
            None => Ok(None),
        }
    }

    async fn resolve_unregistered(&self, name: &Name, tag: Option<&str>, progress: &Progress) -> Result<Version, Error> {
        let file = match tag {
            None | Some(LATEST) => place::among_models(name.as_str(), &self.inner.config),
            Some(_) => None,
        };
        match file {
            Some(file) => self.resolve_file(&file, None, progress).await,
            None => Err(self.not_found(name).await?),
        }
    }

    /// A file that somebody else keeps may have become another one; that is the newest version then. None when somebody has changed the
    /// model since it was read: what they made of it counts, and is to be looked at.
    pub(crate) async fn newest(&self, model: &Model, progress: &Progress) -> Result<Option<Version>, Error> {
        let latest = wanted(model, LATEST)?;
        let Keep::Reference = latest.version.contents.keep else { return self.kept(&latest.version).await.map(Some) };
        let path = match &model.source {
            Source::File(path) => path,
            _ => &latest.version.path,
        };
        let version = self.resolve_file(path, Some(latest.version.format), progress).await?;
        let is_noted = version.digest == latest.version.digest || self.note_change(model, &version, THE_FILE).await?;
        Ok(is_noted.then_some(version))
    }

    async fn fixed(&self, model: &Model, tag: &str, progress: &Progress) -> Result<Version, Error> {
        self.unchanged(&wanted(model, tag)?.version, progress).await
    }

    /// A version as it was served before, whatever its name means now.
    pub async fn as_it_was(&self, served: &Version) -> Result<Version, Error> {
        let found = self.unchanged(served, &Progress::new()).await?;
        Ok(Version { path: found.path, ..served.clone() })
    }

    /// What it was when it was registered; of files that others keep, that they still are.
    pub(crate) async fn unchanged(&self, wanted: &Version, progress: &Progress) -> Result<Version, Error> {
        let Keep::Reference = wanted.contents.keep else { return self.kept(wanted).await };
        let found = self.resolve_file(&wanted.path, Some(wanted.format), progress).await?;
        if found.digest == wanted.digest {
            return Ok(found);
        }
        Err(Error::Changed { path: found.path, wanted: wanted.digest.clone(), found: found.digest })
    }

    /// A version whose files Penstock keeps: they get their names in a folder of their own.
    pub(crate) async fn kept(&self, version: &Version) -> Result<Version, Error> {
        let files = version.contents.files.iter().map(|part| Ok((part.name.clone(), part.digest.parse::<Digest>()?)));
        let files = files.collect::<Result<Vec<_>, Error>>()?;
        let folder = self.blobs()?.links(&files).await?;
        let path = match (version.format, files.first()) {
            (spec::Format::Safetensors, _) if files.len() > 1 => folder.path.clone(),
            (_, Some((main, _))) => folder.path.join(main),
            (_, None) => folder.path.clone(),
        };
        Ok(Version { path, ..version.clone() })
    }

    pub(crate) async fn not_found(&self, name: &Name) -> Result<Error, Error> {
        let names: Vec<Name> = self.list().await?.into_iter().map(|model| model.name).collect();
        let near = spec::suggest(name.as_str(), names.iter().map(Name::as_str));
        Ok(Error::NotFound { name: name.clone(), near: near.and_then(|near| Name::parse(near).ok()) })
    }
}

/// Among so many moves the one is looked for that made a tag what it is.
const LATEST_MOVES: u32 = 50;

fn wanted<'a>(model: &'a Model, tag: &str) -> Result<&'a Listed, Error> {
    version_of(model, tag).ok_or_else(|| Error::NoVersion {
        name: model.name.clone(),
        tag: tag.to_owned(),
        known: model.tags.keys().cloned().chain(model.versions.iter().map(|listed| format!("@{}", listed.version.digest))).collect(),
    })
}

/// The version that a tag, or `@` and a digest, or its first digits, means.
pub(crate) fn version_of<'a>(model: &'a Model, tag: &str) -> Option<&'a Listed> {
    let Some(digest) = tag.strip_prefix('@') else { return model.tagged(tag) };
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    let begins = |listed: &&Listed| listed.version.digest.strip_prefix("sha256:").is_some_and(|whole| whole.starts_with(digits));
    if digits.len() < LEAST_DIGITS { None } else { model.versions.iter().find(begins) }
}
