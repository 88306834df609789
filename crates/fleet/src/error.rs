//! What can go wrong in the engine room.

use base::{Fault, Kind, Retry};
use spec::{InstanceId, Name};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No deployment of this name.
    #[error("there is no deployment `{0}`")]
    NoDeployment(Name),
    /// No instance of this id.
    #[error("there is no instance `{0}`")]
    NoInstance(InstanceId),
    /// The owner task has ended.
    #[error("the fleet is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A runtime failed.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// An engine's order could not be written.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoDeployment(_) | Self::NoInstance(_) => Kind::NotFound,
            Self::Stopping => Kind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Engine(error) => error.kind(),
        }
    }
    fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Runtime(error) => error.retry(),
            _ => Retry::No,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoDeployment(_) => Some("GET /api/v1/deployments lists them".to_owned()),
            Self::NoInstance(_) => Some("GET /api/v1/instances lists them".to_owned()),
            Self::Stopping => None,
            Self::Store(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Engine(error) => error.hint(),
        }
    }
}
