//! What was decided to run?
//!
//! In: an intent, written before the instance is started. Out: all of them after a crash, so that
//! what runs can be told from what nobody wants. Fails: as the database does.

use base::{Secret, Timestamp};
use spec::{InstanceId, Name};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int};

/// The intent to run one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: InstanceId,
    /// The deployment it belongs to; a text, since an instance may outlive its wish.
    pub deployment: Name,
    /// The revision it runs.
    pub revision: u64,
    /// The fence of its order.
    pub fence: u64,
    /// The engine's own key.
    pub key: Secret,
    /// When it was decided.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    deployment: String,
    revision: i64,
    fence: i64,
    key: String,
    created_at: i64,
}

impl Row {
    fn read(self) -> Result<Kept, Error> {
        Ok(Kept {
            deployment: crate::row::from_word("instance", &self.deployment)?,
            id: InstanceId::new(self.id),
            revision: from_int(self.revision),
            fence: from_int(self.fence),
            key: Secret::new(self.key),
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

impl Store {
    /// Writes an intent down; one of the same id is replaced.
    pub async fn put_instance(&self, kept: &Kept) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO instances (id, deployment, revision, fence, key, created_at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET deployment = excluded.deployment, revision = excluded.revision, fence = excluded.fence,
                key = excluded.key",
        )
        .bind(kept.id.as_str())
        .bind(kept.deployment.as_str())
        .bind(to_int(kept.revision))
        .bind(to_int(kept.fence))
        .bind(kept.key.expose())
        .bind(kept.created_at.as_millis())
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// All intents, oldest first.
    pub async fn list_instances(&self) -> Result<Vec<Kept>, Error> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM instances ORDER BY fence, id").fetch_all(self.reader()).await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Forgets an intent; `false` when there is none.
    pub async fn remove_instance(&self, id: &InstanceId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM instances WHERE id = ?").bind(id.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
