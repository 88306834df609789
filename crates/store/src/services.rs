//! Which ids do clients of the older service API hold?
//!
//! In: an id and the deployment behind it. Out: the same. Fails: as the database does.

use base::Timestamp;
use spec::Name;

use crate::error::Error;
use crate::open::Store;
use crate::row::from_word;

/// An id and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Eight hexadecimal digits.
    pub id: String,
    /// The deployment, which may be gone.
    pub deployment: Name,
    /// When the id was given out.
    pub created_at: Timestamp,
}

fn read((id, deployment, created_at): (String, String, i64)) -> Result<Service, Error> {
    Ok(Service { id, deployment: from_word("service", &deployment)?, created_at: Timestamp::from_millis(created_at) })
}

impl Store {
    /// Stores what an id stands for from now on.
    pub async fn put_service(&self, id: &str, deployment: &Name) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO services (id, deployment, created_at) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET deployment = excluded.deployment",
        )
        .bind(id)
        .bind(deployment.as_str())
        .bind(Timestamp::now().as_millis())
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// What an id stands for.
    pub async fn get_service(&self, id: &str) -> Result<Option<Service>, Error> {
        let row: Option<(String, String, i64)> =
            sqlx::query_as("SELECT id, deployment, created_at FROM services WHERE id = ?").bind(id).fetch_optional(self.reader()).await?;
        row.map(read).transpose()
    }

    /// All ids, oldest first.
    pub async fn list_services(&self) -> Result<Vec<Service>, Error> {
        let rows: Vec<(String, String, i64)> =
            sqlx::query_as("SELECT id, deployment, created_at FROM services ORDER BY created_at, rowid").fetch_all(self.reader()).await?;
        rows.into_iter().map(read).collect()
    }

    /// Forgets an id; `false` when there is none.
    pub async fn remove_service(&self, id: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM services WHERE id = ?").bind(id).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
