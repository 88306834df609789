//! Which jobs run, and how did the last ones end?
//!
//! In: [`Operation`]s. Out: the same. Fails: as the database does. Bounded: all that run, and the
//! newest [`KEPT`] of those that are over.

use spec::{Operation, OperationId};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

/// Finished operations that are kept.
const KEPT: i64 = 1_000;

impl Store {
    /// Stores an operation; one of the same id is replaced.
    pub async fn put_operation(&self, operation: &Operation) -> Result<(), Error> {
        let body = to_json("operation", operation)?;
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO operations (id, over, created_at, body) VALUES (?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET over = excluded.over, body = excluded.body",
        )
        .bind(operation.id.as_str())
        .bind(operation.state.is_over())
        .bind(operation.created_at.as_millis())
        .bind(body)
        .execute(&mut *change)
        .await?;
        sqlx::query(
            "DELETE FROM operations WHERE over = 1
                AND id NOT IN (SELECT id FROM operations WHERE over = 1 ORDER BY created_at DESC, rowid DESC LIMIT ?)",
        )
        .bind(KEPT)
        .execute(&mut *change)
        .await?;
        change.commit().await?;
        Ok(())
    }

    /// One operation.
    pub async fn get_operation(&self, id: &OperationId) -> Result<Option<Operation>, Error> {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM operations WHERE id = ?").bind(id.as_str()).fetch_optional(self.reader()).await?;
        body.map(|body| from_json("operation", id.as_str(), &body)).transpose()
    }

    /// At most `limit` operations, newest first.
    pub async fn list_operations(&self, limit: u32) -> Result<Vec<Operation>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, body FROM operations ORDER BY created_at DESC, rowid DESC LIMIT ?")
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|(id, body)| from_json("operation", id, body)).collect()
    }
}
