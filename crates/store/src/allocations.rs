//! Which memory is set aside for work that is not ours?
//!
//! In: [`Allocation`]s. Out: all of them, oldest first. Fails: as the database does. Whoever decides about them
//! looks at their time; here they stay until they are removed.

use spec::{Allocation, AllocationId};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

impl Store {
    /// Stores an allocation; one of the same id is replaced.
    pub async fn put_allocation(&self, allocation: &Allocation) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO allocations (id, created_at, body) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )
        .bind(allocation.id.as_str())
        .bind(allocation.created_at.as_millis())
        .bind(to_json("allocation", allocation)?)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// All of them, oldest first.
    pub async fn list_allocations(&self) -> Result<Vec<Allocation>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, body FROM allocations ORDER BY created_at, id").fetch_all(self.reader()).await?;
        rows.iter().map(|(id, body)| from_json("allocation", id, body)).collect()
    }

    /// Gives one back; `false` when there is none.
    pub async fn remove_allocation(&self, id: &AllocationId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM allocations WHERE id = ?").bind(id.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
