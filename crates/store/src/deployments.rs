//! What do people want served?
//!
//! In: wishes. Out: [`Record`]s. Fails: [`Error::Taken`], [`Error::Deleting`], [`Error::Stale`], [`Error::Quota`].
//! The generation rises by one when the wish changes and only then; the owner of the decision is
//! this module, so that two writers cannot both believe that they were first.

use base::Timestamp;
use spec::deployment::Origin;
use spec::{Deployment, Name, Record};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::owned::{self, Owned};
use crate::routes;
use crate::row::{from_int, from_json, from_word, to_int, to_json, to_word};

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    spec: String,
    generation: i64,
    origin: String,
    deleting: bool,
    created_at: i64,
    updated_at: i64,
    cause: String,
}

impl Row {
    fn read(self) -> Result<Record, Error> {
        Ok(Record {
            spec: from_json("deployment", &self.name, &self.spec)?,
            generation: from_int(self.generation),
            origin: from_word("origin", &self.origin)?,
            deleting: self.deleting,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            cause: self.cause,
        })
    }
}

impl Store {
    /// All wishes, by name; also those that are to go.
    pub async fn list_deployments(&self) -> Result<Vec<Record>, Error> {
        let mut connection = self.reader().acquire().await?;
        all(&mut connection).await
    }

    /// The wish of this name.
    pub async fn get_deployment(&self, name: &Name) -> Result<Option<Record>, Error> {
        let mut connection = self.reader().acquire().await?;
        find(&mut connection, name).await
    }

    /// Stores a new wish at generation 1.
    pub async fn create_deployment(&self, spec: &Deployment, origin: Origin) -> Result<Record, Error> {
        let mut change = self.begin().await?;
        match find(&mut change, &spec.name).await? {
            Some(there) if there.deleting => return Err(Error::Deleting(spec.name.clone())),
            Some(_) => return Err(Error::Taken(spec.name.clone())),
            None => routes::must_not_have(&mut change, &spec.name).await?,
        }
        if origin == Origin::Api {
            owned::must_fit(&mut change, spec.project.as_ref(), Owned::DEPLOYMENTS).await?;
        }
        let record = next(None, as_stored(spec)?, (origin, usual_cause(origin)));
        write(&mut change, &record).await?;
        change.commit().await?;
        Ok(record)
    }

    /// Stores a wish, new or changed. With `expect` only if it still has that generation (0: only
    /// if it does not exist). A wish that was to go stays.
    pub async fn put_deployment(&self, spec: &Deployment, origin: Origin, expect: Option<u64>) -> Result<Record, Error> {
        self.put(spec, (origin, usual_cause(origin)), (expect, origin == Origin::Api)).await
    }

    /// The same, with the words that its history has of it. Whatever its origin is, its project must have room for it.
    pub async fn put_deployment_because(
        &self,
        spec: &Deployment,
        (origin, cause): (Origin, &str),
        expect: Option<u64>,
    ) -> Result<Record, Error> {
        self.put(spec, (origin, cause), (expect, true)).await
    }

    /// Entries of the config count for their project, and are never refused: who writes the config sets the quotas.
    async fn put(
        &self,
        spec: &Deployment,
        (origin, cause): (Origin, &str),
        (expect, has_quota): (Option<u64>, bool),
    ) -> Result<Record, Error> {
        let mut change = self.begin().await?;
        let before = find(&mut change, &spec.name).await?;
        let actual = before.as_ref().map_or(0, |there| there.generation);
        if expect.is_some_and(|wanted| wanted != actual) {
            return Err(Error::Stale { name: spec.name.clone(), actual });
        }
        if before.as_ref().is_none_or(|there| there.deleting) {
            routes::must_not_have(&mut change, &spec.name).await?;
        }
        let belonged = before.as_ref().filter(|there| !there.deleting).and_then(|there| there.spec.project.as_ref());
        if has_quota && belonged != spec.project.as_ref() {
            owned::must_fit(&mut change, spec.project.as_ref(), Owned::DEPLOYMENTS).await?;
        }
        let record = next(before, as_stored(spec)?, (origin, cause));
        write(&mut change, &record).await?;
        change.commit().await?;
        Ok(record)
    }

    /// The same wish at its next generation, since what it names means something else now; only if it still has the generation
    /// `expect` and is not to go.
    pub async fn renew_deployment(&self, name: &Name, expect: u64, cause: &str) -> Result<Record, Error> {
        let mut change = self.begin().await?;
        let before = find(&mut change, name).await?;
        let actual = before.as_ref().map_or(0, |there| there.generation);
        let Some(there) = before.filter(|there| there.generation == expect && !there.deleting) else {
            return Err(Error::Stale { name: name.clone(), actual });
        };
        let record = Record { generation: expect + 1, updated_at: Timestamp::now(), cause: cause.to_owned(), ..there };
        write(&mut change, &record).await?;
        change.commit().await?;
        Ok(record)
    }

    /// Notes that a wish is to go; it leaves with [`Store::remove_deployment`]. `None` when there is none.
    pub async fn mark_deployment_deleting(&self, name: &Name) -> Result<Option<Record>, Error> {
        let mut change = self.begin().await?;
        let Some(mut record) = find(&mut change, name).await? else { return Ok(None) };
        if !record.deleting {
            record.deleting = true;
            record.updated_at = Timestamp::now();
            write(&mut change, &record).await?;
            change.commit().await?;
        }
        Ok(Some(record))
    }

    /// Forgets a wish that is to go, and its revisions. `false`, and nothing done, when there is none or when it
    /// has been brought back since.
    pub async fn remove_deployment(&self, name: &Name) -> Result<bool, Error> {
        let done =
            sqlx::query("DELETE FROM deployments WHERE name = ? AND deleting = 1").bind(name.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// What the wish looks like once it has been stored: compared in this form, a wish does not change
/// by losing a fraction of a millisecond, nor because a newer Penstock knows one more default.
fn as_stored(spec: &Deployment) -> Result<Deployment, Error> {
    from_json("deployment", spec.name.as_str(), &to_json("deployment", spec)?)
}

fn usual_cause(origin: Origin) -> &'static str {
    match origin {
        Origin::Config => "the config",
        Origin::Api => "the API",
    }
}

fn next(before: Option<Record>, spec: Deployment, (origin, cause): (Origin, &str)) -> Record {
    let (now, cause) = (Timestamp::now(), cause.to_owned());
    match before {
        None => Record { spec, generation: 1, origin, deleting: false, created_at: now, updated_at: now, cause },
        Some(there) if there.spec == spec => Record { origin, deleting: false, ..there },
        Some(there) => Record { spec, generation: there.generation + 1, origin, deleting: false, updated_at: now, cause, ..there },
    }
}

pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Record>, Error> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM deployments ORDER BY name").fetch_all(connection).await?;
    rows.into_iter().map(Row::read).collect()
}

/// Those whose last change was a later one than this.
pub(crate) async fn changed_after(connection: &mut SqliteConnection, change: i64) -> Result<Vec<Record>, Error> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM deployments WHERE change > ? ORDER BY name").bind(change).fetch_all(connection).await?;
    rows.into_iter().map(Row::read).collect()
}

async fn find(connection: &mut SqliteConnection, name: &Name) -> Result<Option<Record>, Error> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM deployments WHERE name = ?").bind(name.as_str()).fetch_optional(connection).await?;
    row.map(Row::read).transpose()
}

async fn write(connection: &mut SqliteConnection, record: &Record) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO deployments (name, spec, generation, origin, deleting, created_at, updated_at, cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, generation = excluded.generation, origin = excluded.origin,
            deleting = excluded.deleting, updated_at = excluded.updated_at, cause = excluded.cause",
    )
    .bind(record.spec.name.as_str())
    .bind(to_json("deployment", &record.spec)?)
    .bind(to_int(record.generation))
    .bind(to_word("origin", &record.origin)?)
    .bind(record.deleting)
    .bind(record.created_at.as_millis())
    .bind(record.updated_at.as_millis())
    .bind(&record.cause)
    .execute(connection)
    .await?;
    Ok(())
}
