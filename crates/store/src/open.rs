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
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::error::Error;
use crate::fold::{self, Fold};
use crate::lock::{Lock, PRIVATE, beside};
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
    // Last, so that it is dropped after the connections. Who only reads has none.
    lock: Option<Lock>,
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
        let store = Self { inner: Arc::new(Inner { writer, reader, folder, fold, _folding: folding, lock: Some(lock) }) };
        store.name_installation().await?;
        Ok(store)
    }

    /// Opens what is there only to be read, whoever has it, and makes nothing; where there is nothing, an empty one that is forgotten.
    /// `None` where an older Penstock wrote it, since it would have to be brought up to date first.
    pub async fn look(place: impl AsRef<Path>) -> Result<Option<Self>, Error> {
        let path = local(place.as_ref())?;
        let options = SqliteConnectOptions::new().thread_name(threads::name).busy_timeout(PATIENCE);
        let connection = if path.metadata().is_ok_and(|found| found.len() > 0) {
            // Without a log all is in the file, and nothing has to be made beside it.
            let options = options.filename(&path).read_only(true).immutable(!beside(&path, "-wal").exists());
            let connection = pool(1).connect_with(options).await?;
            let found: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&connection).await?;
            match (found.unwrap_or(0), last_known()) {
                (found, known) if found > known => return Err(Error::Newer { path, found, known }),
                (found, known) if found < known => return Ok(None),
                _ => connection,
            }
        } else {
            let connection = pool(1).connect_with(options).await?;
            MIGRATIONS.run(&connection).await.map_err(|error| not_migrated(error, &path))?;
            connection
        };
        let fold = Arc::new(Fold::default());
        let folding = fold::follow(Arc::clone(&fold), connection.clone());
        let (writer, reader) = (connection.clone(), connection.clone());
        Ok(Some(Self { inner: Arc::new(Inner { writer, reader, folder: connection, fold, _folding: folding, lock: None }) }))
    }

    /// Finishes what is under way, folds the log into the file and gives the lock back, whoever
    /// else still has a handle; theirs answer [`Error::Closed`] from then on.
    pub async fn close(&self) {
        self.inner.folder.close().await;
        self.inner.reader.close().await;
        self.inner.writer.close().await;
        if let Some(lock) = &self.inner.lock {
            lock.release();
        }
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
        // Said in full, it is refused within another change, in which it would be lost.
        Ok(self.writer().begin_with("BEGIN").await?)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("closed", &self.inner.writer.is_closed()).finish_non_exhaustive()
    }
}

fn pool(most: u32) -> SqlitePoolOptions {
    let options = SqlitePoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).idle_timeout(None).max_lifetime(None);
    let options = options.after_connect(|_, _| {
        threads::database_makes_way();
        Box::pin(std::future::ready(Ok(())))
    });
    options.after_release(|connection, _| Box::pin(has_ended(connection)))
}

/// Whether nothing is under way on this connection any more; otherwise it is closed, and the next caller gets a new one. SQLite itself takes
/// back a change for which there is no room; sqlx knows nothing of that and takes all that follows for a part of it.
async fn has_ended(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        connection.ping().await?; // behind what is to be taken back
    }
    Ok(!connection.is_in_transaction())
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
    match (error, last_known()) {
        (MigrateError::VersionMissing(found), known) if found > known => Error::Newer { path: path.to_owned(), found, known },
        (MigrateError::Execute(source), _) => source.into(),
        (other, _) => Error::Migration(other),
    }
}

fn last_known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
