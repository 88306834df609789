//! Which models are registered?
//!
//! In: [`Model`]s, whole, with versions and tags. Out: the same. Fails: as the database does.

use spec::{Model, Name};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

impl Store {
    /// Stores a model; one of the same name is replaced.
    pub async fn put_model(&self, model: &Model) -> Result<(), Error> {
        sqlx::query("INSERT INTO models (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
            .bind(model.name.as_str())
            .bind(to_json("model", model)?)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// All models, by name.
    pub async fn list_models(&self) -> Result<Vec<Model>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, body FROM models ORDER BY name").fetch_all(self.reader()).await?;
        rows.iter().map(|(name, body)| from_json("model", name, body)).collect()
    }

    /// The model of this name.
    pub async fn get_model(&self, name: &Name) -> Result<Option<Model>, Error> {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM models WHERE name = ?").bind(name.as_str()).fetch_optional(self.reader()).await?;
        body.map(|body| from_json("model", name.as_str(), &body)).transpose()
    }

    /// Forgets a model; `false` when there is none.
    pub async fn remove_model(&self, name: &Name) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM models WHERE name = ?").bind(name.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
