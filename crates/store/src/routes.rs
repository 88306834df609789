//! Which public names have several deployments behind them?
//!
//! In: routes. Out: [`RouteRecord`]s. Fails: [`Error::RouteTaken`], [`Error::NameTaken`], [`Error::StaleRoute`]. The
//! generation rises by one when the route changes and only then. A name belongs to a route or to a deployment,
//! never to both: whoever stores one looks at the other in the same change.

use base::Timestamp;
use spec::deployment::Origin;
use spec::{Name, Route, RouteRecord};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, from_json, from_word, to_int, to_json, to_word};

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    spec: String,
    generation: i64,
    origin: String,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    fn read(self) -> Result<RouteRecord, Error> {
        Ok(RouteRecord {
            spec: from_json("route", &self.name, &self.spec)?,
            generation: from_int(self.generation),
            origin: from_word("origin", &self.origin)?,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
        })
    }
}

impl Store {
    /// All routes, by name.
    pub async fn list_routes(&self) -> Result<Vec<RouteRecord>, Error> {
        let mut connection = self.reader().acquire().await?;
        all(&mut connection).await
    }

    /// The route of this name.
    pub async fn get_route(&self, name: &Name) -> Result<Option<RouteRecord>, Error> {
        let mut connection = self.reader().acquire().await?;
        find(&mut connection, name).await
    }

    /// Stores a new route at generation 1.
    pub async fn create_route(&self, spec: &Route, origin: Origin) -> Result<RouteRecord, Error> {
        match self.put_route(spec, origin, Some(0)).await {
            Err(Error::StaleRoute { name, .. }) => Err(Error::RouteTaken(name)),
            stored => stored,
        }
    }

    /// Stores a route, new or changed. With `expect` only if it still has that generation (0: only if it
    /// does not exist).
    pub async fn put_route(&self, spec: &Route, origin: Origin, expect: Option<u64>) -> Result<RouteRecord, Error> {
        let mut change = self.begin().await?;
        let before = find(&mut change, &spec.name).await?;
        let actual = before.as_ref().map_or(0, |there| there.generation);
        if expect.is_some_and(|wanted| wanted != actual) {
            return Err(Error::StaleRoute { name: spec.name.clone(), actual });
        }
        let deployment: Option<i64> = sqlx::query_scalar("SELECT 1 FROM deployments WHERE name = ? AND deleting = 0")
            .bind(spec.name.as_str())
            .fetch_optional(&mut *change)
            .await?;
        if deployment.is_some() {
            return Err(Error::NameTaken { name: spec.name.clone(), by: "deployment" });
        }
        let record = next(before, spec, origin);
        write(&mut change, &record).await?;
        change.commit().await?;
        Ok(record)
    }

    /// Forgets a route; `false` when there is none.
    pub async fn remove_route(&self, name: &Name) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM routes WHERE name = ?").bind(name.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Fails when a route has this name.
pub(crate) async fn must_not_have(connection: &mut SqliteConnection, name: &Name) -> Result<(), Error> {
    let route: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM routes WHERE name = ?").bind(name.as_str()).fetch_optional(connection).await?;
    if route.is_some() { Err(Error::NameTaken { name: name.clone(), by: "route" }) } else { Ok(()) }
}

fn next(before: Option<RouteRecord>, spec: &Route, origin: Origin) -> RouteRecord {
    let (now, spec) = (Timestamp::now(), spec.clone());
    match before {
        None => RouteRecord { spec, generation: 1, origin, created_at: now, updated_at: now },
        Some(there) if there.spec == spec => RouteRecord { origin, ..there },
        Some(there) => RouteRecord { spec, generation: there.generation + 1, origin, updated_at: now, ..there },
    }
}

pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<RouteRecord>, Error> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM routes ORDER BY name").fetch_all(connection).await?;
    rows.into_iter().map(Row::read).collect()
}

async fn find(connection: &mut SqliteConnection, name: &Name) -> Result<Option<RouteRecord>, Error> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM routes WHERE name = ?").bind(name.as_str()).fetch_optional(connection).await?;
    row.map(Row::read).transpose()
}

async fn write(connection: &mut SqliteConnection, record: &RouteRecord) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO routes (name, spec, generation, origin, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, generation = excluded.generation, origin = excluded.origin,
            updated_at = excluded.updated_at",
    )
    .bind(record.spec.name.as_str())
    .bind(to_json("route", &record.spec)?)
    .bind(to_int(record.generation))
    .bind(to_word("origin", &record.origin)?)
    .bind(record.created_at.as_millis())
    .bind(record.updated_at.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
