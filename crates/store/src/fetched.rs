//! What did a source beyond this machine mean when it was last fetched?
//!
//! In: a source as its text, and what came. Out: the same. Fails: as the database does. Bounded: the [`KEPT`] that were wanted last.

use base::Timestamp;
use serde::{Deserialize, Serialize};
use spec::Format;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

/// Sources that are remembered.
const KEPT: i64 = 10_000;

/// What came from a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// Its files, the main one first.
    pub files: Vec<FetchedFile>,
    /// What the other side calls this state of it: a commit, the digest of a manifest.
    pub revision: String,
    /// The format that was said of them; found out where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// When it was fetched.
    pub at: Timestamp,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedFile {
    /// Under which it is served.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits over its content.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// What the other side called this state of the file.
    pub version: String,
}

impl Store {
    /// Remembers what came from a source; what came before is forgotten.
    pub async fn put_fetched(&self, source: &str, fetched: &Fetched) -> Result<(), Error> {
        let body = to_json("fetched source", fetched)?;
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO fetched (source, body, used_at) VALUES (?, ?, ?)
             ON CONFLICT (source) DO UPDATE SET body = excluded.body, used_at = excluded.used_at",
        )
        .bind(source)
        .bind(body)
        .bind(Timestamp::now().as_millis())
        .execute(&mut *change)
        .await?;
        sqlx::query("DELETE FROM fetched WHERE source NOT IN (SELECT source FROM fetched ORDER BY used_at DESC LIMIT ?)")
            .bind(KEPT)
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(())
    }

    /// What came from a source.
    pub async fn get_fetched(&self, source: &str) -> Result<Option<Fetched>, Error> {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM fetched WHERE source = ?").bind(source).fetch_optional(self.reader()).await?;
        body.map(|body| from_json("fetched source", source, &body)).transpose()
    }

    /// All of them with the time when each was last wanted, the oldest first.
    pub async fn list_fetched(&self) -> Result<Vec<(String, Fetched, Timestamp)>, Error> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT source, body, used_at FROM fetched ORDER BY used_at").fetch_all(self.reader()).await?;
        let read = |(source, body, at): (String, String, i64)| {
            let fetched = from_json("fetched source", &source, &body)?;
            Ok((source, fetched, Timestamp::from_millis(at)))
        };
        rows.into_iter().map(read).collect()
    }

    /// Somebody wants it again.
    pub async fn touch_fetched(&self, source: &str) -> Result<(), Error> {
        sqlx::query("UPDATE fetched SET used_at = ? WHERE source = ?")
            .bind(Timestamp::now().as_millis())
            .bind(source)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// Forgets a source; its files are another matter.
    pub async fn remove_fetched(&self, source: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM fetched WHERE source = ?").bind(source).execute(self.writer()).await?;
        Ok(())
    }

    /// The revisions of all deployments, as they are stored.
    pub async fn all_revisions(&self) -> Result<Vec<spec::Revision>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT deployment, body FROM revisions").fetch_all(self.reader()).await?;
        rows.iter().map(|(deployment, body)| from_json("revision", deployment, body)).collect()
    }
}
