//! Has this file been hashed before?
//!
//! In: a path with the file's length and time of change. Out: its digest, as long as both are what
//! they were. Fails: as the database does. Bounded: the [`KEPT`] files seen last.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use base::Timestamp;

use crate::error::Error;
use crate::open::Store;
use crate::row::to_int;

/// Files whose digest is kept.
const KEPT: i64 = 10_000;

/// A file as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// When it last changed, in nanoseconds since 1970.
    pub mtime: i64,
}

impl Store {
    /// Remembers the digest of a file.
    pub async fn put_digest(&self, file: &FileStamp, digest: &str) -> Result<(), Error> {
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO digests (path, len, mtime, digest, seen_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (path) DO UPDATE SET len = excluded.len, mtime = excluded.mtime, digest = excluded.digest,
                seen_at = excluded.seen_at",
        )
        .bind(file.path.as_os_str().as_bytes())
        .bind(to_int(file.len))
        .bind(file.mtime)
        .bind(digest)
        .bind(Timestamp::now().as_millis())
        .execute(&mut *change)
        .await?;
        sqlx::query("DELETE FROM digests WHERE path NOT IN (SELECT path FROM digests ORDER BY seen_at DESC LIMIT ?)")
            .bind(KEPT)
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(())
    }

    /// The digest of a file that has not changed since it was hashed.
    pub async fn get_digest(&self, file: &FileStamp) -> Result<Option<String>, Error> {
        Ok(sqlx::query_scalar("SELECT digest FROM digests WHERE path = ? AND len = ? AND mtime = ?")
            .bind(file.path.as_os_str().as_bytes())
            .bind(to_int(file.len))
            .bind(file.mtime)
            .fetch_optional(self.reader())
            .await?)
    }
}
