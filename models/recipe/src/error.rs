//! What can go wrong while a model is made, and what to do then.
//!
//! In: a step that failed. Out: an error that names the file or the setting. Fails: never. Holds: nothing.

use std::io;
use std::path::{Path, PathBuf};

use base::{Fault, Kind};

/// Why no model came out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is no GGUF that this recipe can read.
    #[error("{} is not a GGUF file that can be used here: {what} at byte {at}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: u64,
    },
    /// A key or tensor that the job needs is not in the file.
    #[error("{} has no usable `{name}`", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The key or tensor.
        name: String,
    },
    /// Sizes that do not go together.
    #[error("the shape cannot be: {0}")]
    Shape(String),
    /// Numbers cannot be turned into, or from, this type.
    #[error("numbers cannot be converted to or from {0}")]
    Encoding(crate::quant::Quant),
}

impl Error {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::File { .. } => Kind::Unavailable,
            Self::Foreign { .. } | Self::Missing { .. } | Self::Shape(_) | Self::Encoding(_) => Kind::Invalid,
        }
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { .. } => "check that the folder exists, may be written and has space".to_owned(),
            Self::Foreign { .. } | Self::Missing { .. } => "use a file that `recipe train` has written".to_owned(),
            Self::Shape(_) => {
                "heads divide dim, kv-heads divide heads, and each row is a whole number of blocks (256 for k-quants, else 32)".to_owned()
            }
            Self::Encoding(_) => "use f32, f16, bf16, q8_0 or q4_0; the others are for random files only".to_owned(),
        })
    }
}
