//! Why secrets cannot be kept or read.

use std::io;
use std::path::PathBuf;

use base::{Fault, Kind, Retry};
use spec::Name;

/// Why secrets cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The master key's file cannot be read or written.
    #[error("cannot use {} for the master key", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The master key's file cannot be read or written for a rotation.
    #[error("the master key in {} cannot be rotated", path.display())]
    Rotation {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is none.
    #[error("there is no master key in {from}: it is 32 bytes in base64")]
    NoKey {
        /// Where it was looked for.
        from: String,
    },
    /// There are secrets of another master key.
    #[error("{} of the secrets in the database are sealed by a master key that is not given, `{name}` for one", count)]
    WrongKey {
        /// So many.
        count: usize,
        /// One of them.
        name: String,
    },
    /// The bytes are not those that were stored.
    #[error("secret `{name}` cannot be opened: it was changed, or moved from another name")]
    Broken {
        /// Which.
        name: String,
    },
    /// There is no such secret.
    #[error("there is no secret `{0}`")]
    Unknown(Name),
    /// It is empty, or too long.
    #[error("a secret has 1 to {most} bytes; this one has {found}")]
    Size {
        /// The most.
        most: usize,
        /// What was given.
        found: usize,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Of a rotation: whoever asks for it has not named the file.
    pub(crate) fn of_rotation(self) -> Self {
        match self {
            Self::File { path, source } => Self::Rotation { path, source },
            other => other,
        }
    }

    /// Whether it is for want of room on the disk.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Rotation { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Rotation { .. } => Kind::Unavailable,
            Self::File { .. } | Self::NoKey { .. } | Self::WrongKey { .. } | Self::Size { .. } => Kind::Invalid,
            Self::Unknown(_) => Kind::NotFound,
            Self::Broken { .. } | Self::Random => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }
    fn retry(&self) -> Retry {
        if let Self::Store(error) = self { error.retry() } else { Retry::No }
    }
    fn public(&self) -> String {
        match self {
            Self::Rotation { source, .. } => format!("the file of the master key cannot be read or written: {source}"),
            other if other.kind() == Kind::Internal => "something went wrong inside; the log has the request id".to_owned(),
            other => other.to_string(),
        }
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rotation { .. } if self.is_disk_full() => "free some space on that disk, and rotate it again".to_owned(),
            Self::Rotation { .. } => "check the file, its disk and its rights, and rotate it again".to_owned(),
            Self::File { .. } => "give this user the right to read and write it, or name another file in PENSTOCK_MASTER_KEY_FILE".to_owned(),
            Self::NoKey { .. } => "make one with `openssl rand -base64 32`; after a rotation the older ones may stand behind it".to_owned(),
            Self::WrongKey { .. } => {
                "give the master key that they were stored with, by PENSTOCK_MASTER_KEY_FILE or PENSTOCK_MASTER_KEY, or as the file `master-key` in the data directory"
                    .to_owned()
            }
            Self::Broken { name } => format!("store it anew with `penstock secret set {name}`"),
            Self::Unknown(_) => "`penstock secret list` shows what there is".to_owned(),
            Self::Size { .. } => "check what was sent".to_owned(),
            Self::Random => return None,
            Self::Store(error) => return error.hint(),
        })
    }
}
