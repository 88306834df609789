//! What is true of this installation as a whole?
//!
//! In: nothing. Out: its id, and fence numbers that never come twice. Fails: as the database does.

use crate::error::Error;
use crate::open::Store;

impl Store {
    /// The next fence: higher than any before it, also those before a crash.
    pub async fn next_fence(&self) -> Result<u64, Error> {
        let value: i64 = sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value")
            .fetch_one(self.writer())
            .await?;
        Ok(crate::row::from_int(value))
    }

    /// The id of this installation: 16 hexadecimal digits, made when the database was.
    pub async fn installation_id(&self) -> Result<String, Error> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = 'installation'").fetch_one(self.reader()).await?)
    }

    pub(crate) async fn name_installation(&self) -> Result<(), Error> {
        const DIGITS: usize = 16;
        sqlx::query("INSERT INTO meta (key, value) VALUES ('installation', ?) ON CONFLICT (key) DO NOTHING")
            .bind(base::id::random_hex(DIGITS))
            .execute(self.writer())
            .await?;
        Ok(())
    }
}
