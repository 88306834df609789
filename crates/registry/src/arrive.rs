//! A version comes: a file that somebody names, or files that are here as blobs.
//!
//! In: a name, where the files are, what is said of them. Out: the model with the new version, its tags moved. Fails: on what
//! cannot be used, before anything is stored; on a model that changed hands while the version came. What is here already is not stored
//! twice; its tags move all the same.
//! Bounded: so many versions of a model; then the oldest one goes that nobody names ([`crate::forget`]).

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use base::Timestamp;
use blobs::{Digest, Folder, Hold, Import};
use serde_json::Value;
use spec::{Card, Format, Keep, LATEST, Listed, Model, Name, Part, Source, TagMove, Version};
use store::FileStamp;

use crate::digest;
use crate::edits;
use crate::error::Error;
use crate::inspect::Seen;
use crate::parts;
use crate::place;
use crate::progress::Progress;
use crate::registry::Registry;

/// Tries of a change while others change the same model.
const TRIES: usize = 8;
/// Looks at whether the disk has the database's last change for good, and the time between two.
const MOST_LOOKS: usize = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

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
    /// What is said of the model if it is new; one that is there keeps what is said of it.
    pub card: Option<Card>,
    /// What is changed of that, whichever it is then: a merge patch (RFC 7396).
    pub patch: Option<Value>,
    /// Whose the model may be when the version is here; whosever it is when nothing is said.
    pub allowed: Option<Allowed>,
}

/// Whose a model may be for a version to come to it: who brings it was allowed that much when they asked, and it may have changed hands since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// It may be one that is not there yet.
    pub new: bool,
    /// It may belong to these projects; nothing among them is one that belongs to none.
    pub projects: Vec<Option<Name>>,
    /// Its name and its tags may be such as others answer to.
    pub mixed: bool,
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
            Source::File(path) if bringing.take == Take::Reference => {
                let version = self.resolve_file(path, bringing.format, &Progress::new()).await?;
                // A relative path would mean another file after a start with another config.
                self.note(name, &Source::File(version.path.clone()), version, bringing).await
            }
            Source::File(path) => {
                let seen = self.look(place::absolute(path, &self.inner.config)?, bringing.format).await?;
                let (from, files) = (Source::File(seen.facts.path.clone()), seen.files.clone());
                let version = self.take(seen).await?;
                let model = self.note(name, &from, version, bringing).await?;
                if bringing.take == Take::Move {
                    self.remove_files(&files).await?;
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
        // Whose it is is said by who brings it.
        let card = bringing.card.clone().or(Some(Card { project: None, ..from.card }));
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
        check_names(files)?;
        let folder = self.blobs()?.links(files).await?;
        // Where they lie here is nobody's business who sent them, or had them fetched.
        self.of_folder(&folder, (main, files), declared).await.map_err(|error| error.below(&folder.path))
    }

    async fn of_folder(
        &self,
        folder: &Folder,
        (main, files): (&str, &[(String, Digest)]),
        declared: Option<Format>,
    ) -> Result<Version, Error> {
        let is_folder = files.len() > 1 && files.iter().any(|(name, _)| name.ends_with(".safetensors"));
        let whole = is_folder || (declared == Some(Format::Opaque) && files.len() > 1);
        let path = if whole { folder.path.clone() } else { folder.path.join(main) };
        let mut seen = self.look(path, declared).await?;
        let projector = files.iter().skip(1).find(|(name, _)| seen.facts.format == Format::Gguf && parts::is_projector(name));
        if let Some((name, _)) = projector {
            seen = self.look_at_projector(seen, &folder.path, name.clone()).await?;
        }
        let mut parts = Vec::with_capacity(seen.files.len());
        for file in &seen.files {
            let name = file.path.strip_prefix(&folder.path).unwrap_or(&file.path).to_string_lossy().into_owned();
            let Some((name, digest)) = files.iter().find(|(known, _)| *known == name) else {
                return Err(Error::Missing { path: file.path.clone(), near: None });
            };
            parts.push(Part { name: name.clone(), size: base::ByteSize(file.len), digest: digest.to_string() });
        }
        if let Some((unused, _)) = files.iter().find(|(name, _)| parts.iter().all(|part| part.name != *name)) {
            return Err(Error::Unused { name: unused.clone(), main: main.to_owned() });
        }
        Ok(seen.version(parts, Keep::Blobs))
    }

    /// Takes the files of a version in; they are read once, and hashed as they are copied.
    async fn take(&self, seen: Seen) -> Result<Version, Error> {
        let mut holds = Vec::with_capacity(seen.files.len());
        let mut parts = Vec::with_capacity(seen.files.len());
        for file in &seen.files {
            let hold = self.take_file(file).await?;
            let (name, digest) = (digest::name_below(&seen.root, &file.path), hold.digest().to_string());
            parts.push(Part { name, size: base::ByteSize(file.len), digest });
            holds.push(hold);
        }
        self.kept(&seen.version(parts, Keep::Blobs)).await
    }

    async fn take_file(&self, file: &FileStamp) -> Result<Hold, Error> {
        let blobs = self.blobs()?;
        if let Some(known) = self.inner.store.get_digest(file).await? {
            let hold = blobs.hold(&known.parse()?);
            if blobs.size(hold.digest()).await?.is_some() {
                return Ok(hold);
            }
        }
        let blob = blobs.import(&file.path, Import::Copy, |_| {}).await?;
        self.learn(file, &blob.digest.to_string()).await?;
        Ok(blob.hold)
    }

    pub(crate) async fn note(&self, name: &Name, source: &Source, version: Version, bringing: &Bringing) -> Result<Model, Error> {
        // A sweep that is under way leaves them, and the next one finds them named.
        let _held = self.hold(&version);
        let _alone = self.inner.one_writer.acquire().await;
        self.must_be_here(&version).await?;
        for _ in 0..TRIES {
            let before = self.inner.store.get_model(name).await?;
            if let Some(allowed) = &bringing.allowed {
                self.must_be(allowed, (name, before.as_ref()), &bringing.tags).await?;
            }
            let model = spoken_of(before, (name, source), bringing)?;
            if let Some(stored) = self.put_version(with_version(model, source, &version, bringing), &bringing.by).await? {
                return Ok(stored);
            }
        }
        Err(Error::Busy(name.clone()))
    }

    async fn must_be(&self, allowed: &Allowed, (name, before): (&Name, Option<&Model>), tags: &[String]) -> Result<(), Error> {
        if !allowed.is(before) {
            return Err(Error::Taken(name.clone()));
        }
        if allowed.mixed { Ok(()) } else { self.must_not_mix(name, before, tags).await }
    }

    /// The file of a model has become another one: its newest version, unless somebody has changed the model since it was read.
    pub(crate) async fn note_change(&self, read: &Model, version: &Version, by: &str) -> Result<bool, Error> {
        let _alone = self.inner.one_writer.acquire().await;
        let stored = self.put_version(with_version(read.clone(), &read.source, version, &Bringing::by(by)), by).await?;
        Ok(stored.is_some())
    }

    /// Stores a model with one more version, in the place of one that nobody names where there are too many; none when somebody was faster.
    async fn put_version(&self, (mut model, moves): (Model, Vec<TagMove>), by: &str) -> Result<Option<Model>, Error> {
        let gone = self.make_room(&mut model).await?;
        match self.inner.store.put_model(&model, &moves).await {
            Err(store::Error::StaleModel { .. }) => Ok(None),
            stored => {
                let stored = stored?;
                self.tell_gone(&stored.name, &gone, by);
                Ok(Some(stored))
            }
        }
    }

    /// What a sweep took before it was held is gone, and is not named.
    async fn must_be_here(&self, version: &Version) -> Result<(), Error> {
        let kept = version.contents.files.iter().filter(|_| version.contents.keep == Keep::Blobs);
        for part in kept {
            let digest: Digest = part.digest.parse()?;
            if self.blobs()?.size(&digest).await?.is_none() {
                return Err(blobs::Error::NoBlob(digest).into());
            }
        }
        Ok(())
    }

    /// Only now that nothing but the blobs is needed, also after a loss of power.
    async fn remove_files(&self, files: &[FileStamp]) -> Result<(), Error> {
        let mut looks = 1;
        while !self.inner.store.make_durable().await? {
            if looks == MOST_LOOKS {
                tracing::warn!(files = ?files.iter().map(|file| &file.path).collect::<Vec<_>>(), "moved files stay: the database is not yet on the disk");
                return Ok(());
            }
            looks += 1;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        for FileStamp { path, .. } in files {
            std::fs::remove_file(path).map_err(|source| Error::io(path.clone(), source))?;
        }
        Ok(())
    }
}

impl Bringing {
    /// Whether the same is to become of it as of another, whoever brings it.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        let said = |one: &Self| Self { by: String::new(), allowed: None, ..one.clone() };
        said(self) == said(other)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(wrong) = self.tags.iter().find_map(|tag| spec::tag_problem(tag)) {
            return Err(Error::Invalid(wrong));
        }
        edits::check_note(&self.note)?;
        self.card.as_ref().map_or(Ok(()), |card| Ok(card.check()?))
    }
}

impl Allowed {
    fn is(&self, before: Option<&Model>) -> bool {
        before.map_or(self.new, |model| self.projects.contains(&model.card.project))
    }
}

/// Each below the folder of its model, and none at the place of another, or in it.
fn check_names(files: &[(String, Digest)]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(files.len());
    for (name, _) in files {
        formats::safe_name(name).map_err(Error::Format)?;
        if !seen.insert(Path::new(name)) {
            return Err(Error::Format(formats::Error::Name { name: name.clone(), why: "two files have it" }));
        }
    }
    let is_inside = |name: &Path| name.ancestors().skip(1).any(|above| seen.contains(above));
    match files.iter().find(|(name, _)| is_inside(Path::new(name))) {
        Some((name, _)) => Err(Error::Format(formats::Error::Name { name: name.clone(), why: "what would be its folder is a file" })),
        None => Ok(()),
    }
}

/// The model as it is now, or a new one, with what is said of it.
fn spoken_of(before: Option<Model>, (name, source): (&Name, &Source), bringing: &Bringing) -> Result<Model, Error> {
    let card = bringing.card.clone().filter(|_| before.is_none());
    let mut model = before.unwrap_or_else(|| fresh(name, source));
    let patched = match (&bringing.patch, card) {
        (Some(patch), card) => Some(edits::patched(card.as_ref().unwrap_or(&model.card), patch)?),
        (None, card) => card,
    };
    if let Some(card) = patched {
        edits::set_card(&mut model, card);
    }
    Ok(model)
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
