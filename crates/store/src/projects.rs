//! Which projects are there?
//!
//! In: [`Project`]s. Out: the same. Fails: as the database does.

use spec::{Name, Project};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

impl Store {
    /// Stores a project; one of the same name is replaced.
    pub async fn put_project(&self, project: &Project) -> Result<(), Error> {
        sqlx::query("INSERT INTO projects (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
            .bind(project.name.as_str())
            .bind(to_json("project", project)?)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// All projects, by name.
    pub async fn list_projects(&self) -> Result<Vec<Project>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, body FROM projects ORDER BY name").fetch_all(self.reader()).await?;
        rows.into_iter().map(|(name, body)| from_json("project", &name, &body)).collect()
    }

    /// Forgets a project; `false` when there is none, or when something still belongs to it ([`Store::owned_by`]).
    pub async fn delete_project(&self, name: &Name) -> Result<bool, Error> {
        let done = sqlx::query(
            "DELETE FROM projects WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM tokens WHERE project = ?1)
                AND NOT EXISTS (SELECT 1 FROM deployments WHERE project = ?1 AND deleting = 0)
                AND NOT EXISTS (SELECT 1 FROM models WHERE project = ?1)",
        )
        .bind(name.as_str())
        .execute(self.writer())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
