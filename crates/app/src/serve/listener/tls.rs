//! The certificates of the door, and how they change while it is open.
//!
//! In: files of PEM: a chain, its key, perhaps the authorities of clients. Out: what a new connection is accepted with. Fails: at the start, with what is wrong
//! with which file; later never: what is bad is refused, and what was good stays. Holds: the latest of all, swapped whole, so that a handshake sees
//! one of them and those that are under way end with theirs. Looks at the files every few seconds and when it is told to. TLS 1.2 and 1.3.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;

/// What is spoken, best first.
const SPOKEN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The chain, own certificate first.
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Whom the certificates of clients must be from; nobody is asked for one without it.
    pub(crate) client_ca: Option<PathBuf>,
}

/// What became of a look at the files.
#[derive(Debug)]
pub(crate) enum Look {
    /// They are as they were.
    Same,
    /// They are new, and in force.
    Loaded,
    /// They are new, and of no use.
    Refused(Error),
}

/// The certificates that are in force.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Files,
    current: RwLock<Current>,
    /// The files as they were when they were last looked at.
    seen: Mutex<Vec<Stamp>>,
}

/// What new connections get.
#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the first of the chain expires, in seconds since the epoch.
    expires: Option<i64>,
}

/// What changes when a file does: when and where it was written, how long it is.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Certificates {
    /// Those of the files.
    pub(crate) fn load(files: Files) -> Result<Self, Error> {
        let seen = files.stamps();
        let current = files.read()?;
        Ok(Self { current: RwLock::new(current), seen: Mutex::new(seen), files })
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config).into()
    }

    /// When new connections are shown something that has expired, in seconds since the epoch; none where that cannot be read.
    pub(crate) fn expires(&self) -> Option<i64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// Takes new ones, if there are any.
    pub(crate) fn look(&self) -> Look {
        let stamps = self.files.stamps();
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == stamps {
            return Look::Same;
        }
        self.look_anew(stamps)
    }

    /// Takes what there is, whether it looks new or not.
    pub(crate) fn look_closely(&self) -> Look {
        self.look_anew(self.files.stamps())
    }

    fn look_anew(&self, stamps: Vec<Stamp>) -> Look {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        match self.files.read() {
            Ok(fresh) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                Look::Loaded
            }
            Err(error) => Look::Refused(error),
        }
    }
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.ino(), found.len()))
        };
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(stamp).collect()
    }

    fn read(&self) -> Result<Current, Error> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.cert)?;
        let expires = chain.iter().filter_map(end_of).min();
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| not_read(&self.key, error, "no private key in it"))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(|source| Error::Certificate { path: self.cert.clone(), source: source.into() })?;
        let builder = match &self.client_ca {
            Some(path) => builder.with_client_cert_verifier(verifier(path, &provider)?),
            None => builder.with_no_client_auth(),
        };
        let bad_pair = |source: rustls::Error| match source {
            rustls::Error::InconsistentKeys(_) => Error::CertificateKey { cert: self.cert.clone(), key: self.key.clone() },
            source => Error::Certificate { path: self.cert.clone(), source: source.into() },
        };
        let mut config = builder.with_single_cert(chain, key).map_err(bad_pair)?;
        config.alpn_protocols = SPOKEN.map(<[u8]>::to_vec).to_vec();
        Ok(Current { config: config.into(), expires })
    }
}

/// When a certificate expires.
fn end_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(read.validity().not_after.timestamp())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    const NONE: &str = "no certificate in it";
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = found.map_err(|error| not_read(path, error, NONE))?;
    if found.is_empty() { Err(not_read(path, pem::Error::NoItemsFound, NONE)) } else { Ok(found) }
}

/// Lets in who shows a certificate of these authorities, and nobody else.
fn verifier(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Certificate { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| failed(error.into()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider)).build();
    verifier.map_err(|error| failed(error.into()))
}

fn not_read(path: &Path, error: pem::Error, none: &'static str) -> Error {
    let source: Box<dyn std::error::Error + Send + Sync> = match error {
        pem::Error::Io(error) => error.into(),
        pem::Error::NoItemsFound => none.into(),
        // What it says of the rest may hold some of the key.
        _ => io::Error::new(io::ErrorKind::InvalidData, "it is no PEM").into(),
    };
    Error::Certificate { path: path.to_owned(), source }
}
