//! Why there is no lease.

use std::time::Duration;

use base::{Fault, Kind, Retry};
use spec::{Name, Phase, Reason};

/// Why a caller got no slot.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nobody serves this name.
    #[error("there is no model `{0}`")]
    NotFound(Name),
    /// The line is as long as it may be.
    #[error("{waiting} callers wait for `{deployment}` already, which is as many as may")]
    QueueFull {
        /// Of which deployment.
        deployment: Name,
        /// Callers in line.
        waiting: u32,
    },
    /// The caller's patience ended in line.
    #[error("no slot of `{deployment}` came free within {} s", waited.as_secs())]
    QueueTimeout {
        /// Of which deployment.
        deployment: Name,
        /// How long it stood in line.
        waited: Duration,
    },
    /// The caller's patience ended while it came up.
    #[error("`{deployment}` is still {phase} after {} s", waited.as_secs())]
    Loading {
        /// Which deployment.
        deployment: Name,
        /// How far.
        phase: Phase,
        /// 0 to 1, when it can be told.
        progress: Option<f64>,
        /// How much longer, when it can be told.
        eta: Option<Duration>,
        /// How long the caller waited.
        waited: Duration,
    },
    /// It cannot be served.
    #[error("`{deployment}` cannot be served: {}", reason.message)]
    Down {
        /// Which deployment.
        deployment: Name,
        /// Why.
        reason: Reason,
    },
    /// Only members serve that have failed this caller.
    #[error("nobody else serves `{0}`")]
    NobodyElse(Name),
    /// Penstock is stopping.
    #[error("this server is stopping")]
    Closed,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::QueueFull { .. } => Kind::Limited,
            Self::QueueTimeout { .. } | Self::Loading { .. } | Self::Down { .. } | Self::NobodyElse(_) | Self::Closed => Kind::Unavailable,
        }
    }
    fn retry(&self) -> Retry {
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Self::NotFound(_) => Retry::No,
            Self::Loading { eta, .. } => Retry::After(eta.unwrap_or(SOON).max(SOON)),
            Self::Down { .. } => Retry::After(SOON * 10),
            Self::QueueFull { .. } | Self::QueueTimeout { .. } | Self::NobodyElse(_) | Self::Closed => Retry::After(SOON),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("GET /v1/models lists what is served".to_owned()),
            Self::QueueFull { .. } | Self::QueueTimeout { .. } => {
                Some("ask again later, or raise parallel, replicas.max or max_queue of the deployment".to_owned())
            }
            Self::Loading { .. } => Some("ask again; the start goes on".to_owned()),
            Self::Down { reason, .. } => (!reason.remedy.is_empty()).then(|| reason.remedy.clone()),
            Self::NobodyElse(_) => Some("add a fallback or another replica".to_owned()),
            Self::Closed => None,
        }
    }
}
