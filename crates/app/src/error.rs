//! Why the house could not be started or run, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use base::{Fault, Kind, Retry};
use spec::{Invalid, Name};

use crate::config::Problems;

/// Why the server could not be started or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config cannot be used.
    #[error("{0}")]
    Config(#[from] Problems),
    /// The data directory cannot be used.
    #[error("cannot use {} as the data directory: {source}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that the server needs cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address is taken or not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file of `tls` is of no use.
    #[error("cannot use {} for TLS: {source}", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key is another one's.
    #[error("the key in {} is not that of the certificate in {}", key.display(), cert.display())]
    CertificateKey {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A deployment of the config has the name of one that came by the API.
    #[error("the config has a deployment `{0}`, and one of that name was made through the API")]
    Owned(Name),
    /// A route of the config has the name of one that came by the API.
    #[error("the config has a route `{0}`, and one of that name was made through the API")]
    OwnedRoute(Name),
    /// A route or a fallback of the config leads nowhere, or in a circle.
    #[error("the routes and fallbacks of the config do not fit together: {0}")]
    Names(Invalid),
    /// A variable that the config names is not set.
    #[error("{key} names the environment variable {variable}, which is not set")]
    NoVariable {
        /// Where it is named.
        key: &'static str,
        /// Which.
        variable: String,
    },
    /// The file with the hub's token cannot be read.
    #[error("cannot read {}, which pull.hub_token_file names", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The tokens.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// The models.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The folder of models.
    #[error("cannot read models_dir")]
    ModelsDir(#[source] registry::Error),
    /// The runtimes.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The receivers of events.
    #[error(transparent)]
    Webhooks(#[from] webhooks::Error),
    /// The secrets.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// The engine room.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
}

impl Error {
    fn inner(&self) -> Option<&dyn Fault> {
        match self {
            Self::Store(error) => Some(error),
            Self::Access(error) => Some(error),
            Self::Registry(error) | Self::ModelsDir(error) => Some(error),
            Self::Runtime(error) => Some(error),
            Self::Webhooks(error) => Some(error),
            Self::Vault(error) => Some(error),
            Self::Fleet(error) => Some(error),
            _ => None,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Config(_)
            | Self::DataDir { .. }
            | Self::Write { .. }
            | Self::Listen { .. }
            | Self::Certificate { .. }
            | Self::CertificateKey { .. }
            | Self::NoVariable { .. }
            | Self::TokenFile { .. } => Kind::Invalid,
            Self::Owned(_) | Self::OwnedRoute(_) => Kind::Conflict,
            Self::Names(invalid) => invalid.kind(),
            _ => self.inner().map_or(Kind::Internal, Fault::kind),
        }
    }
    fn retry(&self) -> Retry {
        self.inner().map_or(Retry::No, Fault::retry)
    }
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::DataDir { source, .. } if source.kind() == io::ErrorKind::NotADirectory => "choose a folder with --data-dir".to_owned(),
            Self::DataDir { .. } | Self::Write { .. } => {
                "give this user the right to write there, or choose another folder with --data-dir".to_owned()
            }
            Self::Listen { address, source } => listen_hint(*address, source),
            Self::Certificate { .. } => {
                "tls.cert and tls.client_ca take certificates, tls.key a private key without a password, all as PEM".to_owned()
            }
            Self::CertificateKey { .. } => {
                "name the two files that belong together in tls.cert and tls.key, own certificate first".to_owned()
            }
            Self::NoVariable { variable, .. } => format!("start penstock with {variable} set"),
            Self::TokenFile { .. } => "write the token there, and give penstock the right to read it".to_owned(),
            Self::OwnedRoute(name) => format!("delete it with `penstock route rm {name}`, or take it out of the config"),
            Self::Names(invalid) => return invalid.hint(),
            Self::Owned(name) => format!("delete it with `penstock rm {name}`, or take it out of the config"),
            _ => return self.inner().and_then(Fault::hint),
        };
        Some(hint)
    }
}

fn listen_hint(address: SocketAddr, source: &io::Error) -> String {
    let ip = address.ip();
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has port {}; stop it, or choose another port with --listen {ip}:PORT (0 for any)", address.port())
        }
        io::ErrorKind::PermissionDenied => format!("choose a port from 1024 on with --listen {ip}:PORT"),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; use --listen 127.0.0.1:PORT".to_owned(),
        _ => "choose another address with --listen IP:PORT".to_owned(),
    }
}
