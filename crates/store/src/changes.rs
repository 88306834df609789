//! Which wishes have changed since somebody last looked?
//!
//! In: a [`Mark`], or none. Out: [`Changes`] and the next mark; nothing when nothing has changed, which costs one look at two
//! numbers. Fails: as the database does; the mark stays good, so the next look brings the same and what came since. The numbers rise in the same commit as the
//! change, by triggers of the database: no writer can forget them, and none can be cut off between the two.

use spec::{Name, Record, RouteRecord};
use sqlx::SqliteConnection;

use crate::error::Error;
use crate::open::Store;
use crate::row::from_word;
use crate::{deployments, routes};

/// How far somebody has read. It is good for the store that it came from, and for one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The count of the last change of a wish.
    pub deployments: i64,
    /// The count of the last change of a route.
    pub routes: i64,
}

/// What has been stored since a mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// Whoever has taken these in has read so far.
    pub mark: Mark,
    /// Wishes that are new or have changed, by name; also those that are to go.
    pub deployments: Vec<Record>,
    /// Those are all that there are, and any other is gone.
    pub whole: bool,
    /// Wishes that are gone.
    pub gone: Vec<Name>,
    /// All routes, by name, if any has changed.
    pub routes: Option<Vec<RouteRecord>>,
}

/// Names of wishes that are gone are kept for so many changes: as many as the trigger leaves.
const KEPT: i64 = 1024;

impl Store {
    /// What has changed since the mark; without one, all that there is.
    pub async fn changes(&self, since: Option<Mark>) -> Result<Option<Changes>, Error> {
        if let Some(since) = since {
            let mut connection = self.reader().acquire().await?;
            if mark(&mut connection).await? == since {
                return Ok(None);
            }
        }
        // One reading of one state, however long it takes.
        let mut reading = self.reader().begin().await?;
        let mark = mark(&mut reading).await?;
        let follows = |since: &Mark| (mark.deployments - KEPT..=mark.deployments).contains(&since.deployments);
        let changes = match since.filter(follows) {
            Some(since) => Changes {
                mark,
                deployments: deployments::changed_after(&mut reading, since.deployments).await?,
                whole: false,
                gone: gone(&mut reading, since.deployments).await?,
                routes: if mark.routes == since.routes { None } else { Some(routes::all(&mut reading).await?) },
            },
            None => Changes {
                mark,
                deployments: deployments::all(&mut reading).await?,
                whole: true,
                gone: Vec::new(),
                routes: Some(routes::all(&mut reading).await?),
            },
        };
        reading.rollback().await?;
        Ok(Some(changes))
    }
}

async fn mark(connection: &mut SqliteConnection) -> Result<Mark, Error> {
    const OF: &str = "SELECT (SELECT value FROM counters WHERE name = 'deployments'), (SELECT value FROM counters WHERE name = 'routes')";
    let (deployments, routes) = sqlx::query_as(OF).fetch_one(connection).await?;
    Ok(Mark { deployments, routes })
}

async fn gone(connection: &mut SqliteConnection, since: i64) -> Result<Vec<Name>, Error> {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM deployments_gone WHERE change > ? ORDER BY name").bind(since).fetch_all(connection).await?;
    names.iter().map(|name| from_word("deployment", name)).collect()
}
