//! Old calls make room, and after them old hours.
//!
//! In: how long each is kept. Out: rows that are gone, a few at a time, so that nobody waits long behind
//! it. Fails: as the database does; the next round tries again. Calls go by full hours (see `span`), and so by whole pages.

use std::time::Duration;

use base::{Timestamp, tasks};

use super::span::hour_of;
use crate::error::Error;
use crate::open::Store;
use crate::row::from_int;

/// Calls or sums of one change: a few milliseconds.
const BATCH: u32 = 2_000;
/// Between two changes others get their turn.
const BREATH: Duration = Duration::from_millis(50);
/// Between two rounds.
const ROUND: Duration = Duration::from_mins(10);

/// How long usage is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepUsage {
    /// Single calls.
    pub calls: Duration,
    /// The sums of hours.
    pub hours: Duration,
}

/// Prunes from time to time; dropping it ends that.
#[derive(Debug)]
pub struct Housekeeping(#[expect(dead_code, reason = "held for its drop")] tasks::Task);

impl Store {
    /// Begins to prune usage that is older than it is to be kept.
    pub fn keep_house(&self, keep: KeepUsage) -> Housekeeping {
        let store = self.clone();
        Housekeeping(tasks::spawn("usage-housekeeping", async move {
            loop {
                match store.prune_usage(keep, Timestamp::now()).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "old usage was removed"),
                    Err(Error::Closed) => return,
                    Err(error) => tracing::warn!(error = base::chain(&error), "old usage was not removed; it will be tried again"),
                }
                tokio::time::sleep(ROUND).await;
            }
        }))
    }

    /// Removes what is older than it is to be kept; gives the number of calls and sums.
    pub async fn prune_usage(&self, keep: KeepUsage, now: Timestamp) -> Result<u64, Error> {
        // As many pages as have BATCH calls, the oldest first; a page of many calls is as much work as some hundred small ones.
        const CALLS: &str = "DELETE FROM call_pages WHERE rowid IN (
                SELECT id FROM (
                    SELECT id, sum(calls) OVER (ORDER BY first_at, id) - calls AS older
                    FROM (SELECT rowid AS id, first_at, calls FROM call_pages WHERE first_at < ?1 ORDER BY first_at, id LIMIT ?2)
                ) WHERE older < ?2
            ) RETURNING calls";
        const HOURS: &str = "DELETE FROM call_hours WHERE (hour, token, project, model, deployment, operation, ending) IN
            (SELECT hour, token, project, model, deployment, operation, ending FROM call_hours WHERE hour < ? ORDER BY hour LIMIT ?)
            RETURNING 1";
        Ok(self.prune(CALLS, before(now, keep.calls)).await? + self.prune(HOURS, before(now, keep.hours)).await?)
    }

    async fn prune(&self, sql: &'static str, before: i64) -> Result<u64, Error> {
        let mut all = 0;
        loop {
            let gone: Vec<i64> = sqlx::query_scalar(sql).bind(before).bind(BATCH).fetch_all(self.writer()).await?;
            let calls = gone.iter().sum();
            all += from_int(calls);
            // A bite ends with so many rows or with so many calls in them, if there are as many.
            if gone.len() < BATCH as usize && calls < i64::from(BATCH) {
                return Ok(all);
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

fn before(now: Timestamp, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    hour_of(Timestamp::from_millis(now.as_millis().saturating_sub(keep)))
}
