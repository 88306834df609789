//! What can go wrong in the engine room.

use base::{ByteSize, Fault, Kind, Retry};
use spec::{InstanceId, Name};

use crate::steps::Verb;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No deployment of this name.
    #[error("there is no deployment `{0}`")]
    NoDeployment(Name),
    /// No instance of this id.
    #[error("there is no instance `{0}`")]
    NoInstance(InstanceId),
    /// There is no rollout that this can be done to.
    #[error("there is no rollout of `{name}` to {verb}")]
    NotRolling {
        /// The deployment.
        name: Name,
        /// What was asked for.
        verb: Verb,
    },
    /// No machine of this name.
    #[error("there is no node `{0}`")]
    NoNode(String),
    /// No such device.
    #[error("node `{node}` has no device `{device}`")]
    NoDevice {
        /// The machine.
        node: String,
        /// What was looked for.
        device: String,
    },
    /// No allocation of this id.
    #[error("there is no allocation `{0}`")]
    NoAllocation(spec::AllocationId),
    /// A device will never have so much to set aside.
    #[error("{asked} are more than the {most} that `{device}` has to give")]
    NeverFree {
        /// The device.
        device: String,
        /// What was asked for.
        asked: ByteSize,
        /// What it has.
        most: ByteSize,
    },
    /// A device has not so much to set aside now.
    #[error("{asked} are more than the {free} that are free of `{device}` now")]
    NotFree {
        /// The device.
        device: String,
        /// What was asked for.
        asked: ByteSize,
        /// What is free.
        free: ByteSize,
    },
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
            Self::NoDeployment(_) | Self::NoInstance(_) | Self::NoNode(_) | Self::NoDevice { .. } | Self::NoAllocation(_) => Kind::NotFound,
            Self::NotRolling { .. } | Self::NeverFree { .. } | Self::NotFree { .. } => Kind::Conflict,
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
            Self::NotRolling { name, .. } => Some(format!("`penstock rollout status {name}` says how far it is")),
            Self::NoNode(_) | Self::NoDevice { .. } => Some("GET /api/v1/nodes lists machines and devices".to_owned()),
            Self::NoAllocation(_) => Some("GET /api/v1/nodes/NAME/allocations lists them".to_owned()),
            Self::NeverFree { .. } => Some("ask for less, or for another device".to_owned()),
            Self::NotFree { .. } => Some("unload a model, or give back another allocation".to_owned()),
            Self::Stopping => None,
            Self::Store(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Engine(error) => error.hint(),
        }
    }
}
