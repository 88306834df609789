//! A journal's calls come in, each once.
//!
//! In: calls in the order of their journal, and the place of the first. Out: the number of those that were
//! new. Fails: as the database does, and then nothing has changed. The calls, the sums of their hours
//! and the journal's place change together, so that a crash at any moment neither loses nor doubles one.
//! From: the offset that is committed together with its effects (stream processing's "exactly once").

use std::sync::LazyLock;

use spec::Usage;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::hours;
use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int};

/// The columns, in the order in which [`values`] fills them.
const COLUMNS: &str = "at, journal, place, request_id, token, project, model, deployment, instance, operation, status, ending, error, \
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, estimated, cost, duration_ms, first_byte_ms, wait_ms, retries";
const WIDTH: usize = 23;
/// Rows of one statement: many at once cost a third of what each costs alone; few shapes are prepared once.
const SHAPES: [usize; 3] = [128, 16, 1];

static INSERTS: LazyLock<[String; SHAPES.len()]> = LazyLock::new(|| SHAPES.map(insert));

fn insert(rows: usize) -> String {
    let row = format!("({})", vec!["?"; WIDTH].join(", "));
    format!("INSERT INTO calls ({COLUMNS}) VALUES {} ON CONFLICT DO NOTHING", vec![row; rows].join(", "))
}

impl Store {
    /// How far a journal has come in: the place of the first call that has not; 0 for one that nobody knows.
    pub async fn journal_place(&self, journal: i64) -> Result<u64, Error> {
        let place: Option<i64> =
            sqlx::query_scalar("SELECT place FROM journals WHERE id = ?").bind(journal).fetch_optional(self.reader()).await?;
        Ok(place.map_or(0, from_int))
    }

    /// Stores calls that stand in a journal from the place `first` on, all or none, and passes over those
    /// that it has; gives the number of those that were new.
    pub async fn book_calls(&self, journal: i64, first: u64, calls: &[Usage]) -> Result<u64, Error> {
        let mut change = self.begin().await?;
        let stands: Option<i64> =
            sqlx::query_scalar("SELECT place FROM journals WHERE id = ?").bind(journal).fetch_optional(&mut *change).await?;
        let known = usize::try_from(stands.map_or(0, from_int).saturating_sub(first)).unwrap_or(usize::MAX);
        let new = calls.get(known..).unwrap_or_default();
        if new.is_empty() {
            return Ok(0);
        }
        let from = first + (calls.len() - new.len()) as u64;
        write(&mut change, journal, from, new).await?;
        hours::add(&mut change, new).await?;
        let end = from + new.len() as u64;
        sqlx::query("INSERT INTO journals (id, place) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET place = excluded.place")
            .bind(journal)
            .bind(to_int(end))
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(new.len() as u64)
    }
}

async fn write(change: &mut SqliteConnection, journal: i64, mut place: u64, mut calls: &[Usage]) -> Result<(), Error> {
    for (rows, sql) in SHAPES.iter().zip(INSERTS.iter()) {
        while let Some((now, later)) = calls.split_at_checked(*rows) {
            let mut query = sqlx::query(AssertSqlSafe(sql.as_str()));
            for call in now {
                query = values(query, journal, place, call);
                place += 1;
            }
            query.execute(&mut *change).await?;
            calls = later;
        }
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn values<'q>(query: Query<'q>, journal: i64, place: u64, call: &'q Usage) -> Query<'q> {
    query
        .bind(call.at.as_millis())
        .bind(journal)
        .bind(to_int(place))
        .bind(call.request_id.as_str())
        .bind(call.token.as_deref())
        .bind(call.project.as_deref())
        .bind(call.model.as_str())
        .bind(call.deployment.as_deref())
        .bind(call.instance.as_deref())
        .bind(call.operation.as_str())
        .bind(call.status)
        .bind(call.ending.as_str())
        .bind(call.error.as_deref())
        .bind(to_int(call.prompt_tokens))
        .bind(to_int(call.cached_tokens))
        .bind(to_int(call.completion_tokens))
        .bind(to_int(call.reasoning_tokens))
        .bind(call.estimated)
        .bind(to_int(call.cost.0))
        .bind(to_int(call.duration_ms))
        .bind(call.first_byte_ms.map(to_int))
        .bind(to_int(call.wait_ms))
        .bind(call.retries)
}
