//! Why the carried engine could not be handed out.

use std::path::PathBuf;

use base::{Fault, Kind};

/// Why the carried engine could not be handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was unpacked is not what was packed.
    #[error("the engine that this binary carries is damaged: {0}")]
    Damaged(Damage),
    /// The system gives no memory that programs can be run from.
    #[error("this system does not run programs from memory")]
    Memory(#[source] nix::Error),
    /// The memory for it could not be filled.
    #[error("cannot unpack the engine into memory")]
    Fill(#[source] std::io::Error),
    /// The file for it could not be written or read.
    #[error("cannot place the engine at {}", path.display())]
    Place {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Programs in this folder cannot be run.
    #[error("programs in {} cannot be run", dir.display())]
    NotExecutable {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: nix::Error,
    },
}

/// How what was unpacked differs from what was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It has another length.
    #[error("its length is wrong")]
    Length,
    /// It has other bytes.
    #[error("its digest is wrong")]
    Digest,
    /// It cannot be unpacked at all.
    #[error("it cannot be unpacked")]
    Packing,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Damaged(_) => Kind::Internal,
            _ => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Damaged(_) => "install Penstock again",
            Self::Memory(_) => "give a data directory from which programs can be run",
            Self::Fill(_) => "free some memory: the engine takes as much as its size",
            Self::Place { .. } => "check that this user may write there and that the disk is not full",
            Self::NotExecutable { .. } => {
                "choose a data directory that is not mounted with `noexec`, or install llama-server and name it in the config"
            }
        };
        Some(text.to_owned())
    }
}
