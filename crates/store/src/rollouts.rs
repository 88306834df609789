//! How far is each deployment on its way from one revision to the next?
//!
//! In: a [`RolloutStatus`]. Out: the same after a crash. Fails: [`Error::NoDeployment`]. How the revisions stand
//! is written in the same change, so that the two never differ.

use spec::{Name, RolloutPhase, RolloutStatus};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::revisions::no_deployment;
use crate::row::{from_json, from_word, to_int, to_json};

impl Store {
    /// Stores how far a deployment is.
    pub async fn put_rollout(&self, deployment: &Name, status: &RolloutStatus) -> Result<(), Error> {
        let body = to_json("rollout", status)?;
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO rollouts (deployment, serves, wanted, body) VALUES (?, ?, ?, ?)
             ON CONFLICT (deployment) DO UPDATE SET serves = excluded.serves, wanted = excluded.wanted, body = excluded.body",
        )
        .bind(deployment.as_str())
        .bind(status.stable().map(to_int))
        .bind(to_int(status.to))
        .bind(body)
        .execute(&mut *change)
        .await
        .map_err(|error| no_deployment(error, deployment))?;
        mark(&mut change, deployment, status).await?;
        change.commit().await?;
        Ok(())
    }

    /// How far a deployment is; nothing of one that the fleet has not looked at yet.
    pub async fn get_rollout(&self, deployment: &Name) -> Result<Option<RolloutStatus>, Error> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM rollouts WHERE deployment = ?")
            .bind(deployment.as_str())
            .fetch_optional(self.reader())
            .await?;
        body.map(|body| from_json("rollout", deployment.as_str(), &body)).transpose()
    }

    /// How far every deployment is.
    pub async fn list_rollouts(&self) -> Result<Vec<(Name, RolloutStatus)>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT deployment, body FROM rollouts ORDER BY deployment").fetch_all(self.reader()).await?;
        rows.into_iter().map(|(name, body)| Ok((from_word("rollout", &name)?, from_json("rollout", &name, &body)?))).collect()
    }
}

/// Who served and does not any more has been superseded; who was to serve and never did was abandoned.
async fn mark(change: &mut SqliteConnection, deployment: &Name, status: &RolloutStatus) -> Result<(), Error> {
    let wanted = match status.phase {
        RolloutPhase::Progressing => "progressing",
        RolloutPhase::Complete => "serving",
        RolloutPhase::RolledBack => "failed",
    };
    sqlx::query(
        "UPDATE revisions SET status = CASE
            WHEN number = ?2 THEN ?3
            WHEN number = ?4 THEN 'serving'
            WHEN status = 'serving' THEN 'superseded'
            WHEN status = 'progressing' AND number < ?2 THEN 'abandoned'
            ELSE status END
         WHERE deployment = ?1",
    )
    .bind(deployment.as_str())
    .bind(to_int(status.to))
    .bind(wanted)
    .bind(status.stable().map(to_int))
    .execute(change)
    .await?;
    Ok(())
}
