//! Who has sent which file?
//!
//! In: a digest, and who sent all of its bytes. Out: whether somebody did. Fails: as the database does. Bounded: the [`KEPT`] newest.

use base::Timestamp;

use crate::error::Error;
use crate::open::Store;

/// So many are remembered: who sends a file makes a model of it within the day.
const KEPT: i64 = 100_000;

impl Store {
    /// Remembers that somebody has sent a file whole.
    pub async fn note_upload(&self, digest: &str, who: &str) -> Result<(), Error> {
        let mut change = self.begin().await?;
        sqlx::query("INSERT INTO uploads (digest, who, at) VALUES (?, ?, ?) ON CONFLICT (digest, who) DO UPDATE SET at = excluded.at")
            .bind(digest)
            .bind(who)
            .bind(Timestamp::now().as_millis())
            .execute(&mut *change)
            .await?;
        sqlx::query("DELETE FROM uploads WHERE at < (SELECT at FROM uploads ORDER BY at DESC LIMIT 1 OFFSET ?)")
            .bind(KEPT)
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(())
    }

    /// Whether they have.
    pub async fn has_uploaded(&self, digest: &str, who: &str) -> Result<bool, Error> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM uploads WHERE digest = ? AND who = ?")
            .bind(digest)
            .bind(who)
            .fetch_optional(self.reader())
            .await?;
        Ok(found.is_some())
    }
}
