//! How is the database opened, and how is it left?
//!
//! In: a path, or `sqlite:PATH`. Out: a [`Store`], a handle that is cheap to clone. Fails: when the
//! place cannot be written, another Penstock has it, or it was written by a newer one.
//! Holds: the lock beside the file; one connection that writes, so that writers queue here and never
//! meet `SQLITE_BUSY`; a few that read and see the last commit; one that folds the log (`fold`). From: SQLite's write-ahead log:
//! with `synchronous = NORMAL` a crash of the process loses nothing that was committed, a loss of
//! power may lose the last commits but never damages the file.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::tasks::Task;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::Error;
use crate::fold::{self, Fold};
use crate::lock::{Lock, PRIVATE};
use crate::threads;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Connections that read.
const READERS: u32 = 4;
/// How long a statement waits for a lock, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A folder that only its owner enters.
const PRIVATE_FOLDER: u32 = 0o700;

/// Everything that survives; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: SqlitePool,
    reader: SqlitePool,
    folder: SqlitePool,
    fold: Arc<Fold>,
    _folding: Task,
    // Last, so that it is dropped after the connections.
    lock: Lock,
}

impl Store {
    /// Opens the database at a path or `sqlite:PATH`; makes it, and its folder, when they are not there.
    pub async fn open(place: impl AsRef<Path>) -> Result<Self, Error> {
        let path = local(place.as_ref())?;
        make_folder(&path)?;
        let lock = Lock::take(&path)?;
        make_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("wal_autocheckpoint", fold::MOST_LOGGED)
            .foreign_keys(true)
            .thread_name(threads::name)
            .busy_timeout(PATIENCE);
        let writer = pool(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await.map_err(|error| not_migrated(error, &path))?;
        let (folder, fold) = (pool(1).connect_lazy_with(options.clone()), Arc::new(Fold::default()));
        let reader = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        let folding = fold::follow(Arc::clone(&fold), folder.clone());
        let store = Self { inner: Arc::new(Inner { writer, reader, folder, fold, _folding: folding, lock }) };
        store.name_installation().await?;
        Ok(store)
    }

    /// Finishes what is under way, folds the log into the file and gives the lock back, whoever
    /// else still has a handle; theirs answer [`Error::Closed`] from then on.
    pub async fn close(&self) {
        self.inner.folder.close().await;
        self.inner.reader.close().await;
        self.inner.writer.close().await;
        self.inner.lock.release();
    }

    /// Has what was committed put on the disk for good; `false` when somebody who reads keeps it from
    /// that for now.
    pub async fn make_durable(&self) -> Result<bool, Error> {
        let (busy, log, done): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(self.writer()).await?;
        Ok(busy == 0 && log == done)
    }

    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.inner.reader
    }

    pub(crate) fn writer(&self) -> &SqlitePool {
        self.inner.fold.note_change();
        &self.inner.writer
    }

    /// A change of several rows; dropped without a commit it leaves nothing.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.writer().begin().await?)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("closed", &self.inner.writer.is_closed()).finish_non_exhaustive()
    }
}

fn pool(most: u32) -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
    options.after_connect(|_, _| {
        threads::database_makes_way();
        Box::pin(std::future::ready(Ok(())))
    })
}

fn local(place: &Path) -> Result<PathBuf, Error> {
    let Some(text) = place.to_str() else { return Ok(place.to_owned()) };
    if let Some(path) = text.strip_prefix("sqlite:") {
        return Ok(path.strip_prefix("//").unwrap_or(path).into());
    }
    match text.split_once("://") {
        // Only the kind is named: the rest may hold a password.
        Some((scheme, _)) => Err(Error::Unsupported(format!("{scheme}://…"))),
        None => Ok(place.to_owned()),
    }
}

fn make_folder(database: &Path) -> Result<(), Error> {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(folder)
            .map_err(|source| Error::NotWritable { path: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

/// The database holds keys of engines: its files (the log takes over the mode) are for its owner only.
fn make_private(database: &Path) -> Result<(), Error> {
    let failed = |source| Error::NotWritable { path: database.to_owned(), source };
    let file = OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE).open(database).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    Ok(())
}

fn not_migrated(error: MigrateError, path: &Path) -> Error {
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    match error {
        MigrateError::VersionMissing(found) if found > known => Error::Newer { path: path.to_owned(), found, known },
        MigrateError::Execute(source) => source.into(),
        other => Error::Migration(other),
    }
}

#[cfg(test)]
mod tests;
