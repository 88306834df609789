//! A span of time in terms of what is kept: full hours from their sums, the edges from the calls.
//!
//! In: from when on and before when. Out: a subquery with the columns of `call_hours`. Fails: as the database does. Where the
//! calls have gone already, a span counts in full hours.

use base::Timestamp;
use futures_util::TryStreamExt as _;
use sqlx::{QueryBuilder, Sqlite};

use super::hours::{self, Sums};
use super::page;
use crate::error::Error;
use crate::open::Store;

pub(super) const HOUR: i64 = 3_600_000;

/// When the hour of this time began, in milliseconds.
pub(super) fn hour_of(at: Timestamp) -> i64 {
    floor(at.as_millis())
}

fn floor(at: i64) -> i64 {
    at.div_euclid(HOUR).saturating_mul(HOUR)
}

fn ceil(at: i64) -> i64 {
    if at.rem_euclid(HOUR) == 0 { at } else { floor(at).saturating_add(HOUR) }
}

/// Where the parts of a span are read; a part may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Full hours.
    hours: (i64, i64),
    /// Before the first full hour and after the last one, from the calls.
    edges: [(i64, i64); 2],
}

impl Span {
    /// `from <= at < to`, where calls are kept from `kept` on.
    fn new(from: i64, to: i64, kept: i64) -> Self {
        // Whoever prunes the calls does so by full hours.
        let kept = floor(kept);
        let from = if floor(from) < kept { floor(from) } else { from };
        let to = if floor(to) < kept { ceil(to) } else { to };
        let (first, last) = (ceil(from), floor(to));
        if first > last {
            return Self { hours: (0, 0), edges: [(from, to), (to, to)] };
        }
        Self { hours: (first, last), edges: [(from, first), (last, to)] }
    }
}

/// The sums of a span's hours, the parts of hours at its edges among them.
#[derive(Debug)]
pub(super) struct Hours {
    full: (i64, i64),
    /// The sums of the edges, as JSON.
    edges: String,
}

impl Store {
    /// Reads what a span's edges come to.
    pub(super) async fn hours_of(&self, from: Timestamp, to: Timestamp) -> Result<Hours, Error> {
        let oldest: Option<i64> = sqlx::query_scalar("SELECT min(first_at) FROM call_pages").fetch_one(self.reader()).await?;
        let span = Span::new(from.as_millis(), to.as_millis(), oldest.unwrap_or(i64::MAX));
        let mut sums = Sums::default();
        for edge in span.edges {
            self.add_edge(edge, &mut sums).await?;
        }
        let edges = sums.to_json().map_err(|source| Error::Unstorable { what: "sums of calls", source })?;
        Ok(Hours { full: span.hours, edges })
    }

    async fn add_edge(&self, (from, to): (i64, i64), sums: &mut Sums<'static>) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        let mut pages = page::of_span(from, to, None, self.reader());
        while let Some(page) = pages.try_next().await? {
            let mut those = Sums::default();
            for (_, call) in page.calls()?.filter(|(_, call)| (from..to).contains(&call.at.as_millis())) {
                those.add(call);
            }
            sums.take(those);
        }
        Ok(())
    }
}

/// Writes `(SELECT hour, ... calls, ...)`, the sums that a span consists of.
pub(super) fn push(sql: &mut QueryBuilder<Sqlite>, hours: Hours) {
    const COLUMNS: &str = "hour, token, project, model, deployment, operation, ending, calls, prompt_tokens, cached_tokens, \
        completion_tokens, reasoning_tokens, estimated, cost, duration_ms, wait_ms, retries";
    sql.push("(SELECT ").push(COLUMNS).push(" FROM call_hours WHERE hour >= ").push_bind(hours.full.0);
    sql.push(" AND hour < ").push_bind(hours.full.1);
    sql.push(" UNION ALL ").push(hours::ROWS).push_bind(hours.edges).push("))");
}
