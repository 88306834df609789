//! Why receivers of events cannot be sent to at all.
//!
//! Nothing here carries a secret or a part of one.

use std::path::PathBuf;

use base::{Fault, Kind};
use spec::Name;

/// Why receivers cannot be sent to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its secret is not there.
    #[error("the webhook `{name}` has no secret: the environment variable {from} is not set")]
    NoSecret {
        /// Whose.
        name: Name,
        /// Where it was looked for.
        from: String,
    },
    /// Its file cannot be read.
    #[error("the secret of the webhook `{name}` cannot be read from {}: {source}", path.display())]
    SecretFile {
        /// Whose.
        name: Name,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no secret.
    #[error("the secret of the webhook `{name}`, from {from}, is not base64 of 24 to 64 bytes")]
    BadSecret {
        /// Whose.
        name: Name,
        /// Where it was found.
        from: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            _ => Kind::Invalid,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoSecret { from, .. } => {
                Some(format!("start penstock with {from} set; `echo whsec_$(openssl rand -base64 32)` makes a secret"))
            }
            Self::SecretFile { .. } => Some("check secret_file, and that this user may read it".to_owned()),
            Self::BadSecret { .. } => Some("`echo whsec_$(openssl rand -base64 32)` makes a secret; give the receiver the same".to_owned()),
            Self::Store(error) => error.hint(),
        }
    }
}
