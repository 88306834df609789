//! A version comes: a file that somebody names, or files that are here as blobs.
//!
//! In: a name, where the files are, what is said of them. Out: the model with the new version, its tags moved. Fails: on what
//! cannot be used, before anything is stored. A version that is there already is not stored twice; its tags move all the same.
//! Bounded: [`MOST_VERSIONS`] of a model; then the oldest one goes that no tag and no revision names.

use base::Timestamp;
use blobs::{Digest, Import};
use spec::{Card, Contents, Format, Keep, LATEST, Listed, Model, Name, Part, Source, TagMove, Version};

use crate::digest;
use crate::edits;
use crate::error::Error;
use crate::progress::Progress;
use crate::registry::Registry;

/// Versions of one model that are remembered.
const MOST_VERSIONS: usize = 100;
/// Tries of a change while others change the same model.
const TRIES: usize = 8;

/// What is said of a version that comes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bringing {
    /// Who brings it.
    pub by: String,
    /// What people say of this version.
    pub note: String,
    /// Tags that point to it from now on, beside `latest`.
    pub tags: Vec<String>,
    /// The format of its files; found out when it is not said.
    pub format: Option<Format>,
    /// What becomes of a file of this machine.
    pub take: Take,
    /// What is said of the model; nothing leaves it as it is.
    pub card: Option<Card>,
}

/// What becomes of a file of this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// It stays where it is, and is read there.
    #[default]
    Reference,
    /// It stays where it is; Penstock keeps a copy.
    Copy,
    /// Penstock keeps a copy, and then it goes.
    Move,
}

impl Bringing {
    /// By somebody, with nothing more to say.
    pub fn by(who: &str) -> Self {
        Self { by: who.to_owned(), ..Self::default() }
    }
}

impl Registry {
    /// Gives a name to what a source means now. A model that has this name already gets a new version if the content is new.
    pub async fn register(&self, name: &Name, source: &Source, bringing: &Bringing) -> Result<Model, Error> {
        bringing.check()?;
        match source {
            Source::File(path) => {
                let seen = self.resolve_file(path, bringing.format, &Progress::new()).await?;
                let kept = self.take(&seen, bringing.take).await?;
                // A relative path would mean another file after a start with another config.
                let model = self.note(name, &Source::File(seen.path.clone()), kept, bringing).await?;
                if bringing.take == Take::Move {
                    remove_files(&seen)?; // only now that nothing but the blobs is needed
                }
                Ok(model)
            }
            Source::Registry { name: other, tag } => self.copy(name, (other, tag.as_deref()), bringing).await,
            _ => self.note(name, source, self.resolve(source).await?, bringing).await,
        }
    }

    /// Another name for a version that has one, with what is said of its model.
    async fn copy(&self, name: &Name, (other, tag): (&Name, Option<&str>), bringing: &Bringing) -> Result<Model, Error> {
        let served = self.resolve_name(other, tag, &Progress::new()).await?;
        let Some((from, _)) = self.find(other, tag).await? else {
            return self.note(name, &Source::File(served.path.clone()), served, bringing).await; // a file in the folder of models
        };
        let version = from.version(&served.digest).map_or(served, |listed| listed.version.clone());
        let is_new = self.inner.store.get_model(name).await?.is_none();
        let card = bringing.card.clone().or_else(|| is_new.then(|| from.card.clone()));
        self.note(name, &from.source, version, &Bringing { card, ..bringing.clone() }).await
    }

    /// A version of files that are here as blobs, under these names, the main one first.
    pub async fn add_blobs(&self, name: &Name, source: &Source, files: &[(String, Digest)], bringing: &Bringing) -> Result<Model, Error> {
        bringing.check()?;
        let version = self.of_blobs(files, bringing.format).await?;
        self.note(name, source, version, bringing).await
    }

    /// What files that are here as blobs are together.
    pub async fn of_blobs(&self, files: &[(String, Digest)], declared: Option<Format>) -> Result<Version, Error> {
        let Some((main, _)) = files.first() else { return Err(Error::NoFiles) };
        for (name, _) in files {
            formats::safe_name(name).map_err(Error::Format)?;
        }
        let folder = self.blobs()?.links(files).await?;
        let is_folder = files.len() > 1 && files.iter().any(|(name, _)| name.ends_with(".safetensors"));
        let whole = is_folder || (declared == Some(Format::Opaque) && files.len() > 1);
        let path = if whole { folder.path.clone() } else { folder.path.join(main) };
        let seen = self.look(path, declared).await?;
        let mut parts = Vec::with_capacity(seen.files.len());
        for file in &seen.files {
            let name = file.path.strip_prefix(&folder.path).unwrap_or(&file.path).to_string_lossy().into_owned();
            let Some((name, digest)) = files.iter().find(|(known, _)| *known == name) else {
                return Err(Error::Missing { path: file.path.clone(), near: None });
            };
            parts.push(Part { name: name.clone(), size: base::ByteSize(file.len), digest: digest.to_string() });
        }
        if let Some((unused, _)) = files.iter().find(|(name, _)| parts.iter().all(|part| part.name != *name)) {
            return Err(Error::Unused { name: unused.clone(), main: main.clone() });
        }
        let facts = seen.facts;
        let contents = Contents { files: parts, keep: Keep::Blobs, ..facts.contents };
        Ok(Version { digest: digest::over(facts.format, &contents.files), contents, ..facts })
    }

    /// Takes the files of a version in, if that is wanted.
    async fn take(&self, version: &Version, take: Take) -> Result<Version, Error> {
        if take == Take::Reference {
            return Ok(version.clone());
        }
        let (blobs, root) = (self.blobs()?, root_of(version));
        let mut holds = Vec::new();
        for part in &version.contents.files {
            let path = root.join(&part.name);
            let digest: Digest = part.digest.parse()?;
            holds.push(blobs.hold(&digest));
            if blobs.size(&digest).await?.is_none() && blobs.import(&path, Import::Copy, |_| {}).await?.digest != digest {
                return Err(Error::Changing { path });
            }
        }
        let contents = Contents { keep: Keep::Blobs, ..version.contents.clone() };
        self.kept(&Version { contents, ..version.clone() }).await
    }

    pub(crate) async fn note(&self, name: &Name, source: &Source, version: Version, bringing: &Bringing) -> Result<Model, Error> {
        let _alone = self.inner.one_writer.acquire().await;
        for _ in 0..TRIES {
            let before = self.inner.store.get_model(name).await?;
            let (mut model, moves) = with_version(before.unwrap_or_else(|| fresh(name, source)), source, &version, bringing);
            self.make_room(&mut model).await?;
            match self.inner.store.put_model(&model, &moves).await {
                Err(store::Error::StaleModel { .. }) => {}
                stored => return Ok(stored?),
            }
        }
        Err(Error::Busy(name.clone()))
    }

    /// Forgets the oldest versions that nobody names.
    async fn make_room(&self, model: &mut Model) -> Result<(), Error> {
        let mut at = model.versions.len();
        while model.versions.len() > MOST_VERSIONS && at > 1 {
            at -= 1;
            let Some(digest) = model.versions.get(at).map(|listed| listed.version.digest.clone()) else { break };
            let tagged = model.tags.values().any(|tagged| *tagged == digest);
            if !tagged && self.inner.store.revisions_of_digest(&digest).await?.is_empty() {
                model.versions.remove(at);
            }
        }
        Ok(())
    }
}

impl Bringing {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(wrong) = self.tags.iter().find_map(|tag| spec::tag_problem(tag)) {
            return Err(Error::Invalid(wrong));
        }
        edits::check_note(&self.note)?;
        self.card.as_ref().map_or(Ok(()), |card| Ok(card.check()?))
    }
}

/// The folder that the names of a version's files count from.
fn root_of(version: &Version) -> std::path::PathBuf {
    let is_folder = version.path.is_dir();
    if is_folder { version.path.clone() } else { version.path.parent().unwrap_or(&version.path).to_owned() }
}

fn remove_files(version: &Version) -> Result<(), Error> {
    let root = root_of(version);
    for part in &version.contents.files {
        let path = root.join(&part.name);
        std::fs::remove_file(&path).map_err(|source| Error::io(path, source))?;
    }
    Ok(())
}

fn fresh(name: &Name, source: &Source) -> Model {
    let now = Timestamp::now();
    Model {
        name: name.clone(),
        source: source.clone(),
        card: Card::default(),
        tags: std::collections::BTreeMap::new(),
        latest_is_set: false,
        versions: Vec::new(),
        deprecated_at: None,
        generation: 0,
        created_at: now,
        updated_at: now,
    }
}

/// The model with this version as its newest, and the tags that moved.
fn with_version(mut model: Model, source: &Source, version: &Version, bringing: &Bringing) -> (Model, Vec<TagMove>) {
    let digest = &version.digest;
    let now = Timestamp::now();
    model.source = source.clone();
    if let Some(card) = &bringing.card {
        edits::set_card(&mut model, card.clone());
    }
    let at = model.versions.iter().position(|listed| listed.version.digest == *digest);
    let mut listed = match at.map(|at| model.versions.remove(at)) {
        // What is kept stays kept, whoever names another copy of it.
        Some(known) if known.version.contents.keep == Keep::Blobs => known,
        Some(known) => Listed { version: version.clone(), ..known },
        None => Listed { version: version.clone(), note: String::new(), added_at: now, added_by: bringing.by.clone() },
    };
    if !bringing.note.is_empty() {
        listed.note.clone_from(&bringing.note);
    }
    model.versions.insert(0, listed);
    let latest = (!model.latest_is_set).then(|| LATEST.to_owned());
    let mut moves = Vec::new();
    for tag in latest.into_iter().chain(bringing.tags.iter().filter(|tag| *tag != LATEST).cloned()) {
        moves.extend(edits::point(&mut model, &tag, Some(digest), &bringing.by));
    }
    model.updated_at = now;
    (model, moves)
}

#[cfg(test)]
mod tests;
