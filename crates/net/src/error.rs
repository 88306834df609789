//! Why a host is not called.

use std::net::IpAddr;

use base::{Fault, Kind, Retry};

/// Why a host is not called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is inside.
    #[error("{}{address} is not called: it is {what}", if host.is_empty() { String::new() } else { format!("{host} leads to {address}, and ") })]
    Inside {
        /// The name that led there; empty when the URL has the address itself.
        host: String,
        /// The address.
        address: IpAddr,
        /// What sort of address it is.
        what: &'static str,
    },
    /// The name leads nowhere.
    #[error("{host} has no address")]
    Nowhere {
        /// The name.
        host: String,
    },
    /// The name cannot be looked up.
    #[error("{host} cannot be looked up")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no URL of a host.
    #[error("it is no URL of a host")]
    NoHost,
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Inside { .. } | Self::NoHost => Kind::Invalid,
            Self::Nowhere { .. } | Self::Lookup { .. } => Kind::Unavailable,
        }
    }
    fn retry(&self) -> Retry {
        Retry::No
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Inside { address, .. } => format!("if it is meant to be called, add {address} to outbound.allow in the config"),
            Self::Nowhere { .. } | Self::Lookup { .. } => "check the name".to_owned(),
            Self::NoHost => "write https://HOST/PATH".to_owned(),
        })
    }
}
