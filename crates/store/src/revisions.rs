//! What exactly did a wish mean when it was frozen, and how does each meaning stand?
//!
//! In: [`Revision`]s of a deployment that is stored. Out: the same, with who made them and how they stand. Fails:
//! [`Error::NoDeployment`]. Bounded: the newest of a deployment, as many as its `rollout.revision_history` says, those that an instance still
//! runs, and those that its rollout names.

use base::Timestamp;
use spec::deployment::RevisionStatus;
use spec::{Name, Revision};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, from_word, to_int, to_json};

/// A revision as it is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRevision {
    /// What it is.
    pub revision: Revision,
    /// The digest of its model's version; remote engines have none.
    pub digest: Option<String>,
    /// Who made it, or what did.
    pub cause: String,
    /// How it stands.
    pub status: RevisionStatus,
    /// When it was frozen first.
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    body: String,
    digest: Option<String>,
    cause: String,
    status: String,
    created_at: i64,
}

impl Row {
    fn read(self, deployment: &Name) -> Result<KeptRevision, Error> {
        Ok(KeptRevision {
            revision: from_json("revision", deployment.as_str(), &self.body)?,
            digest: self.digest,
            cause: self.cause,
            status: from_word::<RevisionStatus>("revision", &self.status)?,
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

impl Store {
    /// Stores a revision; one of the same number is replaced, but for how it stands.
    pub async fn put_revision(&self, deployment: &Name, revision: &Revision, cause: &str) -> Result<(), Error> {
        let body = to_json("revision", revision)?;
        let mut change = self.begin().await?;
        sqlx::query(
            "INSERT INTO revisions (deployment, number, body, digest, cause, status, created_at)
             VALUES (?, ?, ?, ?, ?, 'progressing', ?)
             ON CONFLICT (deployment, number) DO UPDATE SET body = excluded.body, digest = excluded.digest, cause = excluded.cause",
        )
        .bind(deployment.as_str())
        .bind(to_int(revision.number))
        .bind(body)
        .bind(revision.version.as_ref().map(|version| version.digest.as_str()))
        .bind(cause)
        .bind(Timestamp::now().as_millis())
        .execute(&mut *change)
        .await
        .map_err(|error| no_deployment(error, deployment))?;
        prune(&mut change, deployment, revision.spec.rollout.revision_history).await?;
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
    pub async fn list_revisions(&self, deployment: &Name) -> Result<Vec<KeptRevision>, Error> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT body, digest, cause, status, created_at FROM revisions WHERE deployment = ? ORDER BY number DESC")
                .bind(deployment.as_str())
                .fetch_all(self.reader())
                .await?;
        rows.into_iter().map(|row| row.read(deployment)).collect()
    }
}

async fn prune(change: &mut SqliteConnection, deployment: &Name, history: u32) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM revisions WHERE deployment = ?1
            AND number NOT IN (SELECT number FROM revisions WHERE deployment = ?1 ORDER BY number DESC LIMIT ?2)
            AND number NOT IN (SELECT revision FROM instances WHERE deployment = ?1)
            AND NOT EXISTS (SELECT 1 FROM rollouts WHERE deployment = ?1 AND (serves = number OR wanted = number))",
    )
    .bind(deployment.as_str())
    .bind(history)
    .execute(change)
    .await?;
    Ok(())
}

pub(crate) fn no_deployment(error: sqlx::Error, deployment: &Name) -> Error {
    match &error {
        sqlx::Error::Database(said) if said.is_foreign_key_violation() => Error::NoDeployment(deployment.clone()),
        _ => error.into(),
    }
}
