//! How much memory were instances seen to take?
//!
//! In: what one was seen to take of a device. Out: the most that any of its kind was seen to take. Fails: as
//! the database does. Bounded: the [`KEPT`] kinds that were seen last.

use base::{ByteSize, Timestamp};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int};

/// Kinds that are kept.
const KEPT: i64 = 10_000;

/// Instances of one kind: what is the same of two of them takes the same memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FootprintKey {
    /// The digest of the model's version.
    pub digest: String,
    /// What the engine's program says of its version.
    pub build: String,
    /// What the deployment asks of the engine.
    pub arguments: String,
    /// The device: `ram`, `cuda:GPU-5a1f…`.
    pub device: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    digest: String,
    build: String,
    arguments: String,
    device: String,
    bytes: i64,
}

impl Store {
    /// Remembers what an instance was seen to take; less than another one of its kind took changes nothing but when it was seen.
    pub async fn put_footprint(&self, key: &FootprintKey, bytes: ByteSize) -> Result<(), Error> {
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO footprints (digest, build, arguments, device, bytes, seen_at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (digest, build, arguments, device) DO UPDATE SET bytes = max(bytes, excluded.bytes), seen_at = excluded.seen_at",
        )
        .bind(&key.digest)
        .bind(&key.build)
        .bind(&key.arguments)
        .bind(&key.device)
        .bind(to_int(bytes.0))
        .bind(Timestamp::now().as_millis())
        .execute(&mut *change)
        .await?;
        sqlx::query("DELETE FROM footprints WHERE rowid NOT IN (SELECT rowid FROM footprints ORDER BY seen_at DESC LIMIT ?)")
            .bind(KEPT)
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(())
    }

    /// All that are remembered.
    pub async fn list_footprints(&self) -> Result<Vec<(FootprintKey, ByteSize)>, Error> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT digest, build, arguments, device, bytes FROM footprints").fetch_all(self.reader()).await?;
        let read = |row: Row| {
            let key = FootprintKey { digest: row.digest, build: row.build, arguments: row.arguments, device: row.device };
            (key, ByteSize(from_int(row.bytes)))
        };
        Ok(rows.into_iter().map(read).collect())
    }
}
