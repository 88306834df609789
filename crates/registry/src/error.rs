//! Why a model cannot be had, and what to do about it.
//!
//! In: what the file system, the header or the store said. Out: [`Error`], which names the file as
//! it was looked for, and where possible the one that was meant.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{Fault, Kind, Retry};
use spec::{Name, Source};

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
    /// A source that is not fetched from here.
    #[error("this build fetches no models over the network: `{0}`")]
    Unreachable(Source),
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
    /// By the kind of what the system said.
    pub(crate) fn io(path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { path, source },
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { near: crate::near::of_missing(&path), path },
            _ => Self::Read { path, source },
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { .. } | Self::MissingPart { .. } | Self::NotFound { .. } | Self::NoVersion { .. } => Kind::NotFound,
            Self::Permission { .. } => Kind::Forbidden,
            Self::Changed { .. } => Kind::Conflict,
            Self::Read { .. } | Self::Changing { .. } => Kind::Unavailable,
            Self::Interrupted { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
            Self::NotAFile { .. }
            | Self::Empty { .. }
            | Self::Corrupt { .. }
            | Self::WrongPart { .. }
            | Self::UnknownArchitecture { .. }
            | Self::Unreachable(_)
            | Self::NoHome { .. } => Kind::Invalid,
        }
    }

    fn retry(&self) -> Retry {
        const UNTIL_WRITTEN: Duration = Duration::from_secs(5);
        match self {
            Self::Changing { .. } => Retry::After(UNTIL_WRITTEN),
            Self::Read { .. } => Retry::Safe,
            Self::Store(error) => error.retry(),
            _ => Retry::No,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { near: Some(Near::File(file)), .. } => return Some(format!("did you mean {}?", file.display())),
            Self::Missing { near: Some(Near::Folder(folder)), .. } => {
                return Some(format!("check the path: it exists only up to {}", folder.display()));
            }
            Self::Missing { near: None, .. } => "check the path",
            Self::NotAFile { near: Some(Near::File(file)), .. } => return Some(format!("name the file in it: {}", file.display())),
            Self::NotAFile { .. } => "name a .gguf file",
            Self::Permission { .. } => "give this user the right to read the file and to enter its folders",
            Self::Read { .. } => "check the disk, then try again",
            Self::Empty { .. } => "the download or the copy did not finish: fetch the file again",
            Self::Corrupt { source, .. } => return source.hint(),
            Self::MissingPart { .. } => "put all parts into the same folder, under the names that they were published with",
            Self::WrongPart { .. } => "fetch the parts again and keep their names",
            Self::UnknownArchitecture { suggestion: Some(near), .. } => {
                return Some(format!("`{near}` would be known; fetch the file again, or convert it anew with a current llama.cpp"));
            }
            Self::UnknownArchitecture { suggestion: None, .. } => "fetch another model, or update Penstock if this one is newer",
            Self::Unreachable(_) => "download the .gguf file yourself and use file:PATH",
            Self::NotFound { near: Some(near), .. } => return Some(format!("did you mean `{near}`?")),
            Self::NotFound { near: None, .. } => "register it first, or use file:PATH",
            Self::NoVersion { known, .. } => return Some(format!("it has {}", known.join(", "))),
            Self::Changed { .. } => "bring the old file back, or use the tag `latest` to serve the new one",
            Self::Changing { .. } => "wait until the download or the copy has finished",
            Self::NoHome { .. } => "write the whole path",
            Self::Interrupted { .. } => return None,
            Self::Store(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}
