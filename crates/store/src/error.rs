//! Why something could not be remembered or recalled, and what to do about it.
//!
//! In: what the database or the file system said. Out: [`Error`]. The conditions that a person can
//! mend (disk full, another Penstock, a newer database) have a variant of their own; all else is
//! [`Error::Database`]. From: SQLite's result codes (sqlite.org/rescode.html).

use std::path::PathBuf;
use std::time::Duration;

use base::{Fault, Kind, Retry};
use sqlx::migrate::MigrateError;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is taken.
    #[error("the deployment `{0}` exists already")]
    Taken(spec::Name),
    /// The name is taken by something that is about to go.
    #[error("the deployment `{0}` is being deleted")]
    Deleting(spec::Name),
    /// Somebody else changed it in between.
    #[error("the deployment `{name}` is at generation {actual}, not the one that was expected")]
    Stale {
        /// Which.
        name: spec::Name,
        /// Where it is; 0 when it does not exist.
        actual: u64,
    },
    /// A route of this name exists.
    #[error("the route `{0}` exists already")]
    RouteTaken(spec::Name),
    /// Two users would have one name, or one identity of a provider.
    #[error("there is a user `{0}` already")]
    UserTaken(String),
    /// A public name stands for one thing.
    #[error("`{name}` is the name of a {by}")]
    NameTaken {
        /// The name.
        name: spec::Name,
        /// What has it: a deployment or a route.
        by: &'static str,
    },
    /// Somebody else changed the route in between.
    #[error("the route `{name}` is at generation {actual}, not the one that was expected")]
    StaleRoute {
        /// Which.
        name: spec::Name,
        /// Where it is; 0 when it does not exist.
        actual: u64,
    },
    /// Somebody else changed the model in between.
    #[error("the model `{name}` is at generation {actual}, not the one that was expected")]
    StaleModel {
        /// Which.
        name: spec::Name,
        /// Where it is; 0 when it does not exist.
        actual: u64,
    },
    /// What is to belong to a project needs one that is there.
    #[error("there is no project `{0}`")]
    NoProject(spec::Name),
    /// A project has as many as it may have.
    #[error("project `{project}` may have {}, and has {used}", base::counted((*most).into(), what))]
    Quota {
        /// Which.
        project: spec::Name,
        /// Of what.
        what: &'static str,
        /// So many it may have.
        most: u32,
        /// So many it has.
        used: u64,
    },
    /// Something that must exist first does not.
    #[error("the deployment `{0}` is not stored")]
    NoDeployment(spec::Name),
    /// A database that this build does not speak to.
    #[error("this build keeps its data in SQLite; `{0}` names another kind of database")]
    Unsupported(String),
    /// The place for the database cannot be used.
    #[error("cannot use {} for the database", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another Penstock{}", path.display(), pid.map(|p| format!(" (process {p})")).unwrap_or_default())]
    Locked {
        /// The database.
        path: PathBuf,
        /// Whose lock it is, if it wrote its number down.
        pid: Option<u32>,
    },
    /// Written by a later Penstock.
    #[error("{} was written by a newer Penstock: it has migration {found}, this build knows up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its migration.
        found: i64,
        /// Our last.
        known: i64,
    },
    /// It could not be brought up to date.
    #[error("the database could not be brought up to date")]
    Migration(#[source] MigrateError),
    /// Not a database, or damaged.
    #[error("the database is damaged, or the file is not a database")]
    Damaged(#[source] sqlx::Error),
    /// No space left.
    #[error("the disk that holds the database is full")]
    Full(#[source] sqlx::Error),
    /// It may be read but not written.
    #[error("the database cannot be written")]
    ReadOnly(#[source] sqlx::Error),
    /// Too many want it at once.
    #[error("the database was busy for too long")]
    Busy(#[source] sqlx::Error),
    /// It has been closed.
    #[error("the database is closed")]
    Closed,
    /// A stored value cannot be read back.
    #[error("the stored {what} `{key}` cannot be read")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Which one.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value cannot be written as JSON.
    #[error("the {what} cannot be stored")]
    Unstorable {
        /// What it is.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Anything else that the database said.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

/// SQLite's primary result codes; the extended ones carry them in their low byte.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    pub(super) const PRIMARY: i32 = 0xff;
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let said = match &error {
            sqlx::Error::PoolClosed => return Self::Closed,
            sqlx::Error::PoolTimedOut => return Self::Busy(error),
            sqlx::Error::Database(said) => said.code().and_then(|c| c.parse::<i32>().ok()),
            _ => None,
        };
        match said.map(|c| c & code::PRIMARY) {
            Some(code::BUSY | code::LOCKED) => Self::Busy(error),
            Some(code::READONLY | code::CANTOPEN | code::IOERR) => Self::ReadOnly(error),
            Some(code::CORRUPT | code::NOTADB) => Self::Damaged(error),
            Some(code::FULL) => Self::Full(error),
            _ => Self::Database(error),
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Taken(_)
            | Self::Deleting(_)
            | Self::Stale { .. }
            | Self::RouteTaken(_)
            | Self::UserTaken(_)
            | Self::NameTaken { .. }
            | Self::StaleRoute { .. }
            | Self::StaleModel { .. }
            | Self::Quota { .. }
            | Self::Locked { .. } => Kind::Conflict,
            Self::NoDeployment(_) => Kind::NotFound,
            Self::Unsupported(_) | Self::NotWritable { .. } | Self::Newer { .. } | Self::NoProject(_) => Kind::Invalid,
            Self::Full(_) | Self::ReadOnly(_) | Self::Busy(_) | Self::Closed => Kind::Unavailable,
            Self::Migration(_) | Self::Damaged(_) | Self::Unreadable { .. } | Self::Unstorable { .. } | Self::Database(_) => Kind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        const SOON: Duration = Duration::from_secs(1);
        match self {
            Self::Deleting(_) | Self::Busy(_) => Retry::After(SOON),
            _ => Retry::No,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Taken(name) => return Some(format!("choose another name, or change the one that exists with PUT (deployment `{name}`)")),
            Self::Deleting(_) => "wait until it is gone, or bring it back with PUT",
            Self::RouteTaken(name) => return Some(format!("choose another name, or change the one that exists with PUT (route `{name}`)")),
            Self::UserTaken(_) => "choose another name, or change the user who has it",
            Self::NameTaken { by, .. } => return Some(format!("choose another name, or remove the {by} first")),
            Self::Stale { actual: 0, .. } => "it was deleted in between: create it anew, or leave the expected generation out",
            Self::Stale { .. } | Self::StaleRoute { .. } | Self::StaleModel { .. } => {
                "read it again, apply the change to what it is now, and send that"
            }
            Self::NoProject(name) => return Some(format!("make it with `penstock project create {name}`, or leave `project` out")),
            Self::Quota { project, what, .. } => {
                return Some(format!(
                    "remove one that nobody needs any more, name another project, or raise the quota: `penstock project set {project} --most-{what} COUNT`"
                ));
            }
            Self::NoDeployment(_) => "store the deployment first",
            Self::Unsupported(_) => "give data_dir a folder of this machine",
            Self::NotWritable { .. } => "give this user the right to write there, or choose another folder with data_dir",
            Self::Locked { pid: Some(pid), .. } => {
                return Some(format!("stop the process {pid} first, or give this one a data_dir of its own"));
            }
            Self::Locked { pid: None, .. } => "stop the other Penstock first, or give this one a data_dir of its own",
            Self::Newer { .. } => "start the newer Penstock again, or give this one a data_dir of its own",
            Self::Damaged(_) | Self::Unreadable { .. } => "bring back a copy of the database, or move it away to begin anew",
            Self::Full(_) => "free some space on the disk of data_dir; nothing that was stored is lost",
            Self::ReadOnly(_) => "see that the disk of data_dir is there and that this user may write to it",
            Self::Busy(_) => "try again; if it stays so, look for another program that has the database open",
            Self::Migration(_) => "bring back the database as it was before the update, and report this",
            Self::Closed | Self::Unstorable { .. } | Self::Database(_) => return None,
        };
        Some(text.to_owned())
    }
}
