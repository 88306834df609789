//! Which answers may a client go on with?
//!
//! In: [`KeptResponse`]s; one of the same id is replaced. Out: the same. Fails: as the database does.
//! Holds: as many, and for as long, as [`Store::trim_responses`] is told.

use std::borrow::Borrow;

use base::Timestamp;

use crate::error::Error;
use crate::open::Store;
use crate::row::to_int;

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResponse {
    /// Its public id.
    pub id: String,
    /// Who may see it.
    pub owner: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What the gateway knows of it, as JSON.
    pub body: String,
}

impl Store {
    /// Stores answers, all or none.
    pub async fn put_responses<R: Borrow<KeptResponse> + Sync>(&self, responses: &[R]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for response in responses {
            let response = response.borrow();
            sqlx::query(
                "INSERT INTO responses (id, owner, created_at, body) VALUES (?, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, created_at = excluded.created_at, body = excluded.body",
            )
            .bind(&response.id)
            .bind(&response.owner)
            .bind(response.created_at.as_millis())
            .bind(&response.body)
            .execute(&mut *change)
            .await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// The answer with this id.
    pub async fn get_response(&self, id: &str) -> Result<Option<KeptResponse>, Error> {
        let row: Option<(String, i64, String)> =
            sqlx::query_as("SELECT owner, created_at, body FROM responses WHERE id = ?").bind(id).fetch_optional(self.reader()).await?;
        Ok(row.map(|(owner, created_at, body)| KeptResponse {
            id: id.to_owned(),
            owner,
            created_at: Timestamp::from_millis(created_at),
            body,
        }))
    }

    /// Forgets an answer; `false` when there is none.
    pub async fn delete_response(&self, id: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM responses WHERE id = ?").bind(id).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets answers made before then, and the oldest of those that are more than `most`; gives their number.
    pub async fn trim_responses(&self, before: Timestamp, most: u64) -> Result<u64, Error> {
        let done = sqlx::query(
            "DELETE FROM responses WHERE created_at < ?
                OR id IN (SELECT id FROM responses ORDER BY created_at DESC, id LIMIT -1 OFFSET ?)",
        )
        .bind(before.as_millis())
        .bind(to_int(most))
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected())
    }
}
