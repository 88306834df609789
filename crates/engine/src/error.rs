//! Why an order cannot be written.

use base::{Fault, Kind};

/// Why an order cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine needs a model and the revision has none.
    #[error("revision {revision} of `{deployment}` has no model version")]
    NoVersion {
        /// Which deployment.
        deployment: spec::Name,
        /// Which revision.
        revision: u64,
    },
    /// The socket's path would be cut by the kernel.
    #[error("the path of the engine's socket has {length} bytes, and {most} is the most that Unix sockets take: {path}")]
    SocketPath {
        /// Its length.
        length: usize,
        /// What the kernel takes.
        most: usize,
        /// The path.
        path: String,
    },
    /// The program lacks a flag without which it cannot be run safely.
    #[error("{program} {version} does not know {flag}")]
    MissingFlag {
        /// Which engine.
        program: &'static str,
        /// Its version.
        version: String,
        /// The flag.
        flag: &'static str,
    },
    /// An argument of the deployment would undo what Penstock must control.
    #[error("{}: {}", .0.field, .0.what)]
    Argument(spec::Problem),
    /// A remote engine without an address.
    #[error("`{0}` has no url")]
    NoUrl(spec::Name),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Argument(_) | Self::NoUrl(_) => Kind::Invalid,
            Self::MissingFlag { .. } | Self::SocketPath { .. } => Kind::Unavailable,
            Self::NoVersion { .. } => Kind::Internal,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Argument(problem) => Some(problem.hint.clone()),
            Self::NoUrl(_) => Some("add url: http://HOST:PORT/v1".to_owned()),
            Self::SocketPath { .. } => Some("use a shorter data_dir".to_owned()),
            Self::MissingFlag { .. } => Some("use a llama-server of llama.cpp 0.4 or newer".to_owned()),
            Self::NoVersion { .. } => None,
        }
    }
}
