//! What can go wrong where instances run.
//!
//! In: a failed call of the system, a keeper's refusal, a program that is not there. Out: its kind,
//! whether a retry is safe, and what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{Fault, Kind, Retry};
use spec::{EngineKind, InstanceId};

/// After a keeper did not answer in time, the next try.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a runtime could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such instance here.
    #[error("instance `{0}` is not here")]
    NotFound(InstanceId),
    /// The id cannot name a folder.
    #[error("`{0}` cannot be the id of an instance; use 1 to 64 letters, digits, `-` and `_`")]
    BadId(InstanceId),
    /// A newer order for this instance has been carried out.
    #[error("the order for instance `{id}` has fence {given}, but {actual} has been seen")]
    Fenced {
        /// The instance.
        id: InstanceId,
        /// The fence of the refused order.
        given: u64,
        /// The highest fence seen.
        actual: u64,
    },
    /// This runtime does not run programs of this sort.
    #[error("the {runtime} runtime cannot run {what}")]
    Unsupported {
        /// Which runtime.
        runtime: &'static str,
        /// What it was asked to run.
        what: &'static str,
    },
    /// The keeper did not come up.
    #[error("the keeper of instance `{id}` did not come up: {words}")]
    Keeper {
        /// The instance.
        id: InstanceId,
        /// What the keeper said before it ended.
        words: String,
    },
    /// The keeper lives but does not answer.
    #[error("the keeper of instance `{id}` did not answer within {waited:?}")]
    Silent {
        /// The instance.
        id: InstanceId,
        /// How long it was given.
        waited: Duration,
    },
    /// The talk with a keeper broke off.
    #[error("the talk with the keeper of instance `{id}` broke off")]
    Talk {
        /// The instance.
        id: InstanceId,
        /// How.
        source: io::Error,
    },
    /// A keeper or a file said something that is not understood.
    #[error("`{}` cannot be understood", path.display())]
    Garbled {
        /// The file or socket.
        path: PathBuf,
        /// Where it went wrong.
        source: serde_json::Error,
    },
    /// The program of an engine cannot be found.
    #[error("the program of engine `{engine}` was not found: {looked}")]
    EngineMissing {
        /// Which engine.
        engine: EngineKind,
        /// Where it was looked for.
        looked: String,
    },
    /// The program of an engine is there but cannot be used.
    #[error("`{}` cannot be used as the program of engine `{engine}`: {words}", path.display())]
    EngineBroken {
        /// Which engine.
        engine: EngineKind,
        /// Its program.
        path: PathBuf,
        /// What is wrong with it, or its own last words.
        words: String,
    },
    /// A folder that must be private belongs to somebody else.
    #[error("`{}` must be a folder of this user alone, but {what}", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The driver of accelerators failed.
    #[error("the driver `{driver}` failed")]
    Driver {
        /// Which.
        driver: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system refused.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried: `read`, `create`, `start`, …
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
    /// The same for an error number.
    pub(crate) fn errno(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(nix::Error) -> Self {
        let io = Self::io(what, path);
        move |errno| io(errno.into())
    }
    /// True when only this process or machine had too little left to look: descriptors, memory.
    pub(crate) fn is_shortage(&self) -> bool {
        let (Self::Io { source, .. } | Self::Talk { source, .. }) = self else { return false };
        let errno = source.raw_os_error().map(nix::errno::Errno::from_raw);
        matches!(errno, Some(nix::errno::Errno::EMFILE | nix::errno::Errno::ENFILE | nix::errno::Errno::ENOMEM))
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::BadId(_) | Self::Unsupported { .. } => Kind::Invalid,
            Self::Fenced { .. } => Kind::Conflict,
            Self::EngineMissing { .. } | Self::EngineBroken { .. } => Kind::Unavailable,
            Self::Silent { .. } => Kind::Timeout,
            Self::Driver { .. }
            | Self::Keeper { .. }
            | Self::Talk { .. }
            | Self::Garbled { .. }
            | Self::NotPrivate { .. }
            | Self::Io { .. } => Kind::Internal,
        }
    }
    fn retry(&self) -> Retry {
        match self {
            // Every call of a runtime is idempotent, so one that may have acted can be sent again.
            Self::Silent { .. } | Self::Talk { .. } => Retry::After(AGAIN),
            _ => Retry::No,
        }
    }
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Fenced { .. } => "another Penstock uses this data directory; stop one of the two".to_owned(),
            Self::Keeper { id, .. } => {
                format!("see `instances/{id}/keeper.log` in the data directory, and whether it is writable and has free space")
            }
            Self::Silent { .. } => "the machine may be overloaded; the call is safe to repeat".to_owned(),
            Self::EngineMissing { engine: EngineKind::LlamaServer, .. } => {
                "put `llama-server` on the PATH, name it in the config as `engines.llama-server.path`, or use a release build, which carries one"
                    .to_owned()
            }
            Self::EngineBroken { path, .. } => format!("try `{} --version` by hand", path.display()),
            Self::NotPrivate { path, .. } => format!("remove `{}`, or give another data directory", path.display()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "check that the data directory belongs to the user who runs Penstock".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "free some space on this disk".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Error;

    #[test]
    fn too_few_descriptors_say_nothing_of_an_instance() {
        let failed = |source: io::Error| Error::io("read", "order.json")(source).is_shortage();
        assert!(failed(io::Error::from_raw_os_error(nix::libc::EMFILE)));
        assert!(!failed(io::Error::from_raw_os_error(nix::libc::EACCES)));
        assert!(!failed(io::ErrorKind::UnexpectedEof.into()));
    }
}
