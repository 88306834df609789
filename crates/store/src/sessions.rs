//! Which browsers are logged in?
//!
//! In: [`KeptSession`]s by the hash of what their cookie holds; the cookie itself never comes here. Out: the same. Fails: as the
//! database does.

use base::Timestamp;

use crate::error::Error;
use crate::open::Store;

/// A session that outlives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSession {
    /// SHA-256 of what the cookie holds, in hexadecimal.
    pub hash: String,
    /// When it is over, unless it is used before.
    pub until: Timestamp,
    /// What the door knows of it, as JSON.
    pub body: String,
}

impl Store {
    /// Stores a session; one of the same hash is replaced.
    pub async fn put_session(&self, session: &KeptSession) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO sessions (hash, until, body) VALUES (?, ?, ?)
             ON CONFLICT (hash) DO UPDATE SET until = excluded.until, body = excluded.body",
        )
        .bind(&session.hash)
        .bind(session.until.as_millis())
        .bind(&session.body)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Says until when sessions last now, all or none; those that are gone stay gone.
    pub async fn extend_sessions(&self, sessions: &[(String, Timestamp)]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for (hash, until) in sessions {
            sqlx::query("UPDATE sessions SET until = ? WHERE hash = ?").bind(until.as_millis()).bind(hash).execute(&mut *change).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// All sessions that last beyond this time, by their hash; the others are forgotten.
    pub async fn list_sessions(&self, now: Timestamp) -> Result<Vec<KeptSession>, Error> {
        self.forget_sessions_until(now).await?;
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT hash, until, body FROM sessions ORDER BY hash").fetch_all(self.reader()).await?;
        let kept = |(hash, until, body)| KeptSession { hash, until: Timestamp::from_millis(until), body };
        Ok(rows.into_iter().map(kept).collect())
    }

    /// Forgets the sessions that are over by this time; how many there were.
    pub async fn forget_sessions_until(&self, time: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query("DELETE FROM sessions WHERE until <= ?").bind(time.as_millis()).execute(self.writer()).await?;
        Ok(done.rows_affected())
    }

    /// How many there are, with those that are over and not forgotten yet.
    pub async fn count_sessions(&self) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions").fetch_one(self.reader()).await?;
        Ok(crate::row::from_int(count))
    }

    /// Forgets sessions, all or none.
    pub async fn delete_sessions(&self, hashes: &[String]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for hash in hashes {
            sqlx::query("DELETE FROM sessions WHERE hash = ?").bind(hash).execute(&mut *change).await?;
        }
        change.commit().await?;
        Ok(())
    }
}
