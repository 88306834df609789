//! The sums of each hour, kept up with every batch of calls.
//!
//! In: calls. Out: rows of `call_hours` that say more than before. Fails: as the database does. A model
//! that nobody serves is the client's word; it is summed under no name, so that the sums stay few.

use std::collections::HashMap;

use spec::{Ending, Usage};
use sqlx::SqliteConnection;

use super::span::hour_of;
use crate::error::Error;
use crate::row::to_int;

/// By what calls are summed.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    hour: i64,
    token: &'a str,
    project: &'a str,
    model: &'a str,
    deployment: &'a str,
    operation: &'a str,
    ending: Ending,
}

#[derive(Default)]
struct Sum {
    calls: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    reasoning_tokens: u64,
    estimated: u64,
    cost: u64,
    duration_ms: u64,
    wait_ms: u64,
    retries: u64,
}

impl<'a> Key<'a> {
    fn of(call: &'a Usage) -> Self {
        Self {
            hour: hour_of(call.at),
            token: call.token.as_deref().unwrap_or_default(),
            project: call.project.as_deref().unwrap_or_default(),
            model: if call.deployment.is_some() { &call.model } else { "" },
            deployment: call.deployment.as_deref().unwrap_or_default(),
            operation: &call.operation,
            ending: call.ending,
        }
    }
}

impl Sum {
    fn add(&mut self, call: &Usage) {
        let pairs = [
            (&mut self.calls, 1),
            (&mut self.prompt_tokens, call.prompt_tokens),
            (&mut self.cached_tokens, call.cached_tokens),
            (&mut self.completion_tokens, call.completion_tokens),
            (&mut self.reasoning_tokens, call.reasoning_tokens),
            (&mut self.estimated, u64::from(call.estimated)),
            (&mut self.cost, call.cost.0),
            (&mut self.duration_ms, call.duration_ms),
            (&mut self.wait_ms, call.wait_ms),
            (&mut self.retries, u64::from(call.retries)),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Adds calls to the sums of their hours.
pub(super) async fn add(change: &mut SqliteConnection, calls: &[Usage]) -> Result<(), Error> {
    let mut sums: HashMap<Key<'_>, Sum> = HashMap::new();
    for call in calls {
        sums.entry(Key::of(call)).or_default().add(call);
    }
    for (key, sum) in &sums {
        put(change, key, sum).await?;
    }
    Ok(())
}

async fn put(change: &mut SqliteConnection, key: &Key<'_>, sum: &Sum) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO call_hours (hour, token, project, model, deployment, operation, ending, calls, prompt_tokens, cached_tokens,
            completion_tokens, reasoning_tokens, estimated, cost, duration_ms, wait_ms, retries)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
            cached_tokens = cached_tokens + excluded.cached_tokens, completion_tokens = completion_tokens + excluded.completion_tokens,
            reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, estimated = estimated + excluded.estimated,
            cost = cost + excluded.cost, duration_ms = duration_ms + excluded.duration_ms, wait_ms = wait_ms + excluded.wait_ms,
            retries = retries + excluded.retries",
    )
    .bind(key.hour)
    .bind(key.token)
    .bind(key.project)
    .bind(key.model)
    .bind(key.deployment)
    .bind(key.operation)
    .bind(key.ending.as_str())
    .bind(to_int(sum.calls))
    .bind(to_int(sum.prompt_tokens))
    .bind(to_int(sum.cached_tokens))
    .bind(to_int(sum.completion_tokens))
    .bind(to_int(sum.reasoning_tokens))
    .bind(to_int(sum.estimated))
    .bind(to_int(sum.cost))
    .bind(to_int(sum.duration_ms))
    .bind(to_int(sum.wait_ms))
    .bind(to_int(sum.retries))
    .execute(change)
    .await?;
    Ok(())
}
