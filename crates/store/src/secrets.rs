//! Which secrets are kept, sealed?
//!
//! In: [`KeptSecret`]s; what they say, and the key that opens them, never comes here. Out: the same. Fails: as the database does.

use base::Timestamp;

use crate::error::Error;
use crate::open::Store;

/// A secret that nobody can read here.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// What it is called.
    pub name: String,
    /// What the master key is called that its data key is wrapped by.
    pub master: String,
    /// Its data key, wrapped.
    pub wrapped: Vec<u8>,
    /// What it says, sealed by the data key.
    pub sealed: Vec<u8>,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last given another value.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSecret").field("name", &self.name).field("master", &self.master).finish_non_exhaustive()
    }
}

type Row = (String, String, Vec<u8>, Vec<u8>, i64, i64);

impl Store {
    /// Stores a secret; one of the same name gets the new value and keeps when it was first stored.
    pub async fn put_secret(&self, secret: &KeptSecret) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO secrets (name, master, wrapped, sealed, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET master = excluded.master, wrapped = excluded.wrapped, sealed = excluded.sealed,
                updated_at = excluded.updated_at",
        )
        .bind(&secret.name)
        .bind(&secret.master)
        .bind(&secret.wrapped)
        .bind(&secret.sealed)
        .bind(secret.created_at.as_millis())
        .bind(secret.updated_at.as_millis())
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Gives secrets data keys that are wrapped anew, all of them or none.
    pub async fn rewrap_secrets(&self, secrets: &[KeptSecret]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for secret in secrets {
            // Where the value changed meanwhile, it has another data key.
            sqlx::query("UPDATE secrets SET master = ?, wrapped = ? WHERE name = ? AND sealed = ?")
                .bind(&secret.master)
                .bind(&secret.wrapped)
                .bind(&secret.name)
                .bind(&secret.sealed)
                .execute(&mut *change)
                .await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// All secrets, by name.
    pub async fn list_secrets(&self) -> Result<Vec<KeptSecret>, Error> {
        let rows: Vec<Row> = sqlx::query_as("SELECT name, master, wrapped, sealed, created_at, updated_at FROM secrets ORDER BY name")
            .fetch_all(self.reader())
            .await?;
        let kept = |(name, master, wrapped, sealed, created_at, updated_at): Row| KeptSecret {
            name,
            master,
            wrapped,
            sealed,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        };
        Ok(rows.into_iter().map(kept).collect())
    }

    /// Forgets a secret; whether there was one.
    pub async fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM secrets WHERE name = ?").bind(name).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
