//! What exactly did a wish mean when it was frozen?
//!
//! In: [`Revision`]s of a deployment that is stored. Out: the same. Fails: [`Error::NoDeployment`].
//! Bounded: the newest [`KEPT`] of a deployment, and those that an instance still runs.

use spec::{Name, Revision};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_int, to_json};

/// Revisions of one deployment that are kept to go back to.
const KEPT: i64 = 50;

impl Store {
    /// Stores a revision; one of the same number is replaced.
    pub async fn put_revision(&self, deployment: &Name, revision: &Revision) -> Result<(), Error> {
        let body = to_json("revision", revision)?;
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO revisions (deployment, number, body) VALUES (?, ?, ?)
             ON CONFLICT (deployment, number) DO UPDATE SET body = excluded.body",
        )
        .bind(deployment.as_str())
        .bind(to_int(revision.number))
        .bind(body)
        .execute(&mut *change)
        .await
        .map_err(|error| no_deployment(error, deployment))?;
        sqlx::query(
            "DELETE FROM revisions WHERE deployment = ?1
                AND number NOT IN (SELECT number FROM revisions WHERE deployment = ?1 ORDER BY number DESC LIMIT ?2)
                AND number NOT IN (SELECT revision FROM instances WHERE deployment = ?1)",
        )
        .bind(deployment.as_str())
        .bind(KEPT)
        .execute(&mut *change)
        .await?;
        change.commit().await?;
        Ok(())
    }

    /// One revision.
    pub async fn get_revision(&self, deployment: &Name, number: u64) -> Result<Option<Revision>, Error> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM revisions WHERE deployment = ? AND number = ?")
            .bind(deployment.as_str())
            .bind(to_int(number))
            .fetch_optional(self.reader())
            .await?;
        body.map(|body| from_json("revision", deployment.as_str(), &body)).transpose()
    }

    /// The revisions of a deployment, newest first.
    pub async fn list_revisions(&self, deployment: &Name) -> Result<Vec<Revision>, Error> {
        let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM revisions WHERE deployment = ? ORDER BY number DESC")
            .bind(deployment.as_str())
            .fetch_all(self.reader())
            .await?;
        bodies.iter().map(|body| from_json("revision", deployment.as_str(), body)).collect()
    }
}

fn no_deployment(error: sqlx::Error, deployment: &Name) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_foreign_key_violation() => Error::NoDeployment(deployment.clone()),
        _ => error.into(),
    }
}
