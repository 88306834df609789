//! A span of time in terms of the two tables: full hours from the sums, the rest from the calls.
//!
//! In: from when on and before when. Out: a subquery with the columns of `call_hours`. Pure but for one
//! look at how far back the calls go: where they have gone already, a span counts in full hours.

use base::Timestamp;
use sqlx::{QueryBuilder, Sqlite};

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
pub(super) struct Span {
    /// Before the first full hour, from the calls.
    before: (i64, i64),
    /// Full hours.
    hours: (i64, i64),
    /// After the last full hour, from the calls.
    after: (i64, i64),
}

impl Span {
    /// `from <= at < to`, where calls are kept from `kept` on.
    pub(super) fn new(from: i64, to: i64, kept: i64) -> Self {
        // Whoever prunes the calls does so by full hours.
        let kept = floor(kept);
        let from = if floor(from) < kept { floor(from) } else { from };
        let to = if floor(to) < kept { ceil(to) } else { to };
        let (first, last) = (ceil(from), floor(to));
        if first > last {
            return Self { before: (from, to), hours: (0, 0), after: (0, 0) };
        }
        Self { before: (from, first), hours: (first, last), after: (last, to) }
    }
}

/// What both tables say of a call.
const SUMMED: &str = "prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, estimated, cost, duration_ms, wait_ms, retries";
const KEYS: &str = "token, project, model, deployment, operation, ending";
const KEYS_OF_CALLS: &str = "coalesce(token, ''), coalesce(project, ''), CASE WHEN deployment IS NULL THEN '' ELSE model END, \
    coalesce(deployment, ''), operation, ending";

impl Store {
    /// The parts of a span.
    pub(super) async fn span(&self, from: Timestamp, to: Timestamp) -> Result<Span, Error> {
        let oldest: Option<i64> = sqlx::query_scalar("SELECT min(at) FROM calls").fetch_one(self.reader()).await?;
        Ok(Span::new(from.as_millis(), to.as_millis(), oldest.unwrap_or(i64::MAX)))
    }
}

/// Writes `(SELECT hour, ... calls, ...)` of a span.
pub(super) fn push(sql: &mut QueryBuilder<Sqlite>, span: Span) {
    sql.push("(SELECT hour, ").push(KEYS).push(", calls, ").push(SUMMED).push(" FROM call_hours WHERE hour >= ");
    sql.push_bind(span.hours.0).push(" AND hour < ").push_bind(span.hours.1);
    for (from, to) in [span.before, span.after].into_iter().filter(|(from, to)| from < to) {
        sql.push(" UNION ALL SELECT at / ").push(HOUR).push(" * ").push(HOUR).push(", ").push(KEYS_OF_CALLS);
        sql.push(", 1, ").push(SUMMED).push(" FROM calls WHERE at >= ").push_bind(from).push(" AND at < ").push_bind(to);
    }
    sql.push(")");
}
