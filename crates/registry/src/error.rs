//! Why a model cannot be had, and what to do about it.
//!
//! In: what the file system, the header or the store said. Out: [`Error`], which names the file as
//! it was looked for, and where possible the one that was meant.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::ByteSize;
use spec::{Format, Invalid, Name, Source};

mod fault;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at this path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// A model file nearby with a similar name, or the part of the path that does exist.
        near: Option<Near>,
    },
    /// A folder, a socket or the like.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
        /// A model file in it.
        near: Option<Near>,
    },
    /// It may not be read.
    #[error("{} may not be read by this user", path.display())]
    Permission {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has no content.
    #[error("{} is empty", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The header is not that of a model.
    #[error("{} is not a usable model: {source}", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What is wrong and where.
        source: gguf::Error,
    },
    /// A model in several files, of which one is not there.
    #[error("{} is missing: the model consists of {of} files", path.display())]
    MissingPart {
        /// The first that is missing.
        path: PathBuf,
        /// How many there must be.
        of: u32,
    },
    /// A part that belongs to something else.
    #[error("{} says that it is part {says_number} of {says_of}; its name says {number} of {of}", path.display())]
    WrongPart {
        /// Which.
        path: PathBuf,
        /// By its name, from 1.
        number: u32,
        /// By its name.
        of: u32,
        /// By its header, from 1.
        says_number: u64,
        /// By its header.
        says_of: u64,
    },
    /// The engines do not know this kind of model.
    #[error("the architecture `{architecture}` of {} is not known", path.display())]
    UnknownArchitecture {
        /// Which file.
        path: PathBuf,
        /// What its header says.
        architecture: String,
        /// What may have been meant.
        suggestion: Option<&'static str>,
    },
    /// The part that turns images or sounds into what the model reads is something else.
    #[error("{} is of the architecture `{architecture}`, and a projector of `clip` was meant", path.display())]
    NoProjector {
        /// Which file.
        path: PathBuf,
        /// What its header says.
        architecture: String,
    },
    /// It is none of the formats that are known by themselves.
    #[error("{} is of no format that is known", path.display())]
    UnknownFormat {
        /// Which.
        path: PathBuf,
    },
    /// It is of another format than was said.
    #[error("{} is {found}, not {declared}", path.display())]
    OtherFormat {
        /// Which.
        path: PathBuf,
        /// As somebody said.
        declared: Format,
        /// As it is.
        found: Format,
    },
    /// What another format's header says is wrong, or it runs code.
    #[error(transparent)]
    Format(formats::Error),
    /// Larger than is taken.
    #[error("{} has {size}; the largest model that is taken has {most}", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Bytes of all its files.
        size: ByteSize,
        /// The limit of the config.
        most: ByteSize,
    },
    /// This server keeps no files.
    #[error("this server keeps no files of its own")]
    NoBlobs,
    /// Files that were sent here have no source to look at again.
    #[error("`upload:` is not a place to get a model from")]
    NoSource,
    /// Nobody has begun to send this file.
    #[error("no file {0} is being sent")]
    NoUpload(blobs::Digest),
    /// A version of nothing.
    #[error("a version has at least one file")]
    NoFiles,
    /// A file that does not belong to the model.
    #[error("the file `{name}` does not belong to the model whose main file is `{main}`")]
    Unused {
        /// The file.
        name: String,
        /// The main one.
        main: String,
    },
    /// The blobs refused or failed.
    #[error(transparent)]
    Blobs(#[from] blobs::Error),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] blobs::BadDigest),
    /// What people say of it cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// It keeps changing under this change.
    #[error("the model `{0}` changes faster than this change can be made")]
    Busy(Name),
    /// It changed hands while a version of it came.
    #[error("the model `{0}` was made, removed or given to another project while this came")]
    Taken(Name),
    /// A name or a tag that others answer to.
    #[error(
        "`{0}` would be mixed up with what is here: `a:b` may be the tag `b` of `a` or a model of this name, and a file in models_dir answers to its own"
    )]
    Mixed(String),
    /// Something still names the version.
    #[error("the version {digest} of `{name}` is used by {}", users.join(", "))]
    VersionInUse {
        /// The model.
        name: Name,
        /// The version.
        digest: String,
        /// Tags and deployments.
        users: Vec<String>,
    },
    /// A model has at least one version.
    #[error("{digest} is the only version of `{name}`")]
    LastVersion {
        /// The model.
        name: Name,
        /// The version.
        digest: String,
    },
    /// A source that nothing can be fetched from.
    #[error("nothing can be fetched from `{0}`")]
    Unreachable(Source),
    /// A source that cannot be read.
    #[error("`{source_text}` {what}")]
    BadSource {
        /// As it was written.
        source_text: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The other side does not have it.
    #[error("there is no {what} at {host}")]
    NotThere {
        /// Who was asked.
        host: String,
        /// What for.
        what: String,
        /// What is there instead.
        near: Vec<String>,
    },
    /// The other side does not give it to us.
    #[error("{host} does not give {url} to {}", if *with_token { "the owner of this token" } else { "strangers" })]
    Denied {
        /// Who was asked.
        host: String,
        /// What for.
        url: String,
        /// Whether it was shown a token.
        with_token: bool,
    },
    /// The other side could not answer.
    #[error("{host} answers {status} for {url}")]
    Answered {
        /// Who was asked.
        host: String,
        /// What for.
        url: String,
        /// Its status.
        status: u16,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// The other side's answer cannot be read.
    #[error("the answer of {host} cannot be read")]
    BadAnswer {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another part of the file came than was asked for.
    #[error("{host} answers with another part of {url} than the one from byte {at} on")]
    OtherRange {
        /// Who was asked.
        host: String,
        /// What for.
        url: String,
        /// From which byte on.
        at: u64,
    },
    /// The other side's list of files has no end that we see.
    #[error("the list of files at {host} {what}")]
    List {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// The file changed while it came.
    #[error("{url} changed while it was fetched")]
    Moved {
        /// Which.
        url: String,
    },
    /// Enough is being fetched already.
    #[error("{0} pulls run already")]
    TooManyPulls(usize),
    /// One has as many pulls as one may have.
    #[error("you have {0} pulls running already")]
    TooManyOfYours(usize),
    /// The same is being pulled, and something else is said of it.
    #[error("`{name}` is being pulled from there already, with another note, other tags, another format or another card")]
    OtherPull {
        /// The name that it gets.
        name: Name,
        /// The pull that runs.
        operation: spec::OperationId,
    },
    /// No pull of this id runs.
    #[error("there is no running pull `{0}`")]
    NoPull(spec::OperationId),
    /// Penstock goes down.
    #[error("penstock stops")]
    Stopped,
    /// No model of this name.
    #[error("there is no model `{name}` in the registry")]
    NotFound {
        /// The name.
        name: Name,
        /// One that is similar.
        near: Option<Name>,
    },
    /// The model is there, but not with this tag or digest.
    #[error("the model `{name}` has no version `{tag}`")]
    NoVersion {
        /// The model.
        name: Name,
        /// The tag, or `@` and a digest.
        tag: String,
        /// The tags that it has.
        known: Vec<String>,
    },
    /// The file is another one than when its version was registered.
    #[error("{} has changed: it is {found} now, the version asked for was {wanted}", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
        /// The digest of the version.
        wanted: String,
        /// The digest of the file.
        found: String,
    },
    /// The file changed while it was read.
    #[error("{} is being written", path.display())]
    Changing {
        /// Which.
        path: PathBuf,
    },
    /// `~` without a home.
    #[error("`{}` begins with ~, and this user has no home folder", path.display())]
    NoHome {
        /// As it was typed.
        path: PathBuf,
    },
    /// Reading ended before its end.
    #[error("reading {} was interrupted", path.display())]
    Interrupted {
        /// Which.
        path: PathBuf,
    },
    /// The store failed.
    #[error("the registry could not be read or written")]
    Store(#[from] store::Error),
}

/// Something that exists near what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Near {
    /// A model file that may have been meant.
    File(PathBuf),
    /// The last folder of the path that exists.
    Folder(PathBuf),
}

impl Error {
    /// The same, with paths that count from this folder.
    pub(crate) fn below(mut self, folder: &Path) -> Self {
        for path in self.paths() {
            if let Ok(rest) = path.strip_prefix(folder) {
                *path = if rest.as_os_str().is_empty() { "the folder of its files".into() } else { rest.to_owned() };
            }
        }
        self
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Missing { path, near } | Self::NotAFile { path, near } => {
                let near = near.as_mut().map(|(Near::File(near) | Near::Folder(near))| near);
                [path].into_iter().chain(near).collect()
            }
            Self::Permission { path, .. }
            | Self::Read { path, .. }
            | Self::Empty { path }
            | Self::Corrupt { path, .. }
            | Self::MissingPart { path, .. }
            | Self::WrongPart { path, .. }
            | Self::UnknownArchitecture { path, .. }
            | Self::NoProjector { path, .. }
            | Self::UnknownFormat { path }
            | Self::OtherFormat { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Interrupted { path } => vec![path],
            Self::Format(error) => error.path().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Nothing is there.
    pub fn missing(path: PathBuf) -> Self {
        Self::Missing { near: crate::near::of_missing(&path), path }
    }

    /// By the kind of what the system said.
    pub(crate) fn io(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path, source },
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::missing(path),
            _ => Self::Read { path, source },
        }
    }
}
