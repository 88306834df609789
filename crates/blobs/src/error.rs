//! Why bytes could not be kept or had, and what to do about it.
//!
//! In: what the disk, the sender or the object store said. Out: [`Error`], with the numbers where room
//! is short.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Fault, Kind, Retry};

use crate::digest::Digest;
use crate::state::PartId;

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is not enough room on the disk.
    #[error("the disk has {free} free, {reserve} of it are kept free, and {wanted} are needed for {what}")]
    DiskFull {
        /// What was to be written.
        what: String,
        /// Bytes that are still to come.
        wanted: ByteSize,
        /// Bytes that are free.
        free: ByteSize,
        /// Bytes that stay free.
        reserve: ByteSize,
    },
    /// The content is not what was promised.
    #[error("the content is {found}, and {wanted} was promised")]
    Mismatch {
        /// What was promised.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Fewer or more bytes than were promised.
    #[error("{found} bytes are there, and {wanted} were promised")]
    Length {
        /// What was promised.
        wanted: u64,
        /// What came.
        found: u64,
    },
    /// Bytes for another place than the end.
    #[error("the next byte is number {have}, and number {sent} was sent")]
    Offset {
        /// The next that is wanted.
        have: u64,
        /// What was sent.
        sent: u64,
    },
    /// No such unfinished file.
    #[error("there is no unfinished file `{0}`")]
    NoPart(PartId),
    /// Somebody else is writing it.
    #[error("the unfinished file `{0}` is being written by somebody else")]
    Busy(PartId),
    /// Too many unfinished files.
    #[error("there are {0} unfinished files already")]
    TooManyParts(usize),
    /// One has as many of them as one may have.
    #[error("you have {0} unfinished files already")]
    TooManyOfYours(usize),
    /// No such blob.
    #[error("there is no blob {0}")]
    NoBlob(Digest),
    /// A name that leads out of its folder, or is none.
    #[error("`{0}` cannot be the name of a file")]
    BadName(String),
    /// Reading or writing failed.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not an address that can be asked.
    #[error("`{0}` is no URL")]
    BadUrl(String),
    /// An address inside this network that nobody allowed.
    #[error("{what}")]
    Private {
        /// Which, and why it is refused.
        what: String,
    },
    /// It did not go on.
    #[error("`{host}`: {what} within {}", base::clock::human::print(*after))]
    Slow {
        /// Who.
        host: String,
        /// What did not come.
        what: &'static str,
        /// How long we waited.
        after: Duration,
    },
    /// No connection, or one that broke.
    #[error("the connection to `{host}` failed")]
    Line {
        /// Who.
        host: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It sends us round in circles.
    #[error("`{0}` sends from one address to the next without an end")]
    TooManyHops(String),
    /// From an address that is safe to one that is not.
    #[error("`{from}` sends from https to http, to `{to}`")]
    Downgraded {
        /// Who.
        from: String,
        /// Where to.
        to: String,
    },
    /// More than such an answer may have.
    #[error("`{host}` answers with more than {most} bytes")]
    TooLong {
        /// Who.
        host: String,
        /// How many are read.
        most: usize,
    },
    /// This machine has no certificates.
    #[error("no connection can be made: {0}")]
    NoTls(String),
    /// An object was replaced while it was read.
    #[error("{url} has changed")]
    OtherState {
        /// Which.
        url: String,
    },
    /// The object store failed or refused.
    #[error("the object store {url} failed")]
    Store {
        /// Which.
        url: String,
        /// What it said.
        source: Box<object_store::Error>,
    },
    /// An option that this kind of store does not have.
    #[error("{url} has no option `{option}`")]
    BadOption {
        /// Which store.
        url: String,
        /// Which option.
        option: String,
    },
    /// What is in use leaves no room in the cache.
    #[error("the cache may have {most}, {used} of it are in use, and {wanted} are needed")]
    CacheFull {
        /// Its limit.
        most: ByteSize,
        /// What is held.
        used: ByteSize,
        /// What is to come.
        wanted: ByteSize,
    },
    /// The work ended before its end.
    #[error("writing was interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}

impl Error {
    pub(crate) fn store(url: &str) -> impl FnOnce(object_store::Error) -> Self {
        move |source| Self::Store { url: url.to_owned(), source: Box::new(source) }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoPart(_) | Self::NoBlob(_) => Kind::NotFound,
            Self::Offset { .. } | Self::Busy(_) => Kind::Conflict,
            Self::Mismatch { .. } | Self::Length { .. } | Self::BadName(_) | Self::BadUrl(_) | Self::BadOption { .. } => Kind::Invalid,
            Self::Private { .. } => Kind::Forbidden,
            Self::Slow { .. } => Kind::Timeout,
            Self::OtherState { .. } => Kind::Upstream,
            Self::Store { .. } | Self::Line { .. } | Self::TooManyHops(_) | Self::Downgraded { .. } | Self::TooLong { .. } => {
                Kind::Upstream
            }
            Self::TooManyParts(_) | Self::TooManyOfYours(_) => Kind::Limited,
            Self::DiskFull { .. } | Self::Io { .. } | Self::NoTls(_) | Self::CacheFull { .. } => Kind::Unavailable,
            Self::Interrupted => Kind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        const UNTIL_DONE: Duration = Duration::from_secs(1);
        match self {
            Self::Busy(_) => Retry::After(UNTIL_DONE),
            Self::Interrupted | Self::Slow { .. } | Self::Line { .. } => Retry::Safe,
            Self::Store { source, .. } if !is_final(source) => Retry::Safe,
            _ => Retry::No,
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("the folder for blobs cannot be read or written: {source}"),
            other => other.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::DiskFull { .. } => "remove what is not needed (`penstock model prune`), or put `data_dir` on a larger disk",
            Self::Mismatch { .. } => "the file was damaged on its way or is another one: send or fetch it again",
            Self::Length { .. } => "send the rest, or begin anew",
            Self::Offset { have, .. } => return Some(format!("go on at byte {have}")),
            Self::NoPart(_) => "it was finished, given up, or not touched for too long: begin anew",
            Self::Busy(_) => "wait until the other one has ended, then ask how far it is",
            Self::TooManyParts(_) | Self::TooManyOfYours(_) => "finish or give up some of them",
            Self::NoBlob(_) => "fetch or upload it again",
            Self::BadName(_) => "use the file's bare name, without a folder",
            Self::Io { .. } => "check the disk and the rights of `data_dir`",
            Self::BadUrl(_) => "write https://HOST/PATH",
            Self::Private { .. } => "an operator can allow it: name the address, its range or the host in `outbound.allow`",
            Self::Slow { .. } | Self::Line { .. } => "check the network and whether the other side is up; what has come is kept",
            Self::TooManyHops(_) | Self::Downgraded { .. } | Self::TooLong { .. } => "check the address, or ask who runs it",
            Self::NoTls(_) => "install the certificates (`ca-certificates`), or name their file in SSL_CERT_FILE",
            Self::Store { source, .. } if is_denied(source) => {
                "check the credentials of the store and what they may do (S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; Google: \
                 GOOGLE_APPLICATION_CREDENTIALS; Azure: AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY)"
            }
            Self::OtherState { .. } => "fetch it again",
            Self::Store { .. } => "check `blobs.url`, `blobs.options` and whether the store is up",
            Self::BadOption { .. } => "see the reference of `blobs.options`",
            Self::CacheFull { .. } => "raise `blobs.cache`, or stop what is not needed",
            Self::Interrupted => return None,
        };
        Some(text.to_owned())
    }
}

fn is_denied(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
}

fn is_final(error: &object_store::Error) -> bool {
    let is_missing = matches!(error, object_store::Error::NotFound { .. } | object_store::Error::NotSupported { .. });
    is_missing || is_denied(error)
}
