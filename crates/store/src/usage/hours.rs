//! The sums of each hour, kept up with every batch of calls.
//!
//! In: calls. Out: rows of `call_hours` that say more than before. Fails: as the database does. A model
//! that nobody serves is the client's word; it is summed under no name, so that the sums stay few. Sums go
//! to the database as JSON: one statement takes all of them, however many they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use serde::Serialize;
use spec::Ending;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::span::hour_of;
use super::text::Read;
use crate::error::Error;
use crate::row::to_int;

/// Of how many hours, tokens and so on the sums are told apart at first; more make it grow.
const FEW: usize = 16;

/// By what calls are summed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Key<'a> {
    hour: i64,
    token: Cow<'a, str>,
    project: Cow<'a, str>,
    model: Cow<'a, str>,
    deployment: Cow<'a, str>,
    operation: Cow<'a, str>,
    ending: Ending,
}

/// Token and deployment tell nearly all sums apart; to take in the rest would cost each call more than to compare it.
impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.token.hash(state);
        self.deployment.hash(state);
    }
}

#[derive(Debug, Default, Serialize)]
struct Sum {
    calls: i64,
    prompt_tokens: i64,
    cached_tokens: i64,
    completion_tokens: i64,
    reasoning_tokens: i64,
    estimated: i64,
    cost: i64,
    duration_ms: i64,
    wait_ms: i64,
    retries: i64,
}

impl<'a> Key<'a> {
    fn of(call: Read<'a>) -> Self {
        Self {
            hour: hour_of(call.at),
            token: call.token.unwrap_or_default(),
            project: call.project.unwrap_or_default(),
            model: if call.deployment.is_some() { call.model } else { Cow::Borrowed("") },
            deployment: call.deployment.unwrap_or_default(),
            operation: call.operation,
            ending: call.ending,
        }
    }

    fn owned(self) -> Key<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Key {
            hour: self.hour,
            token: owned(self.token),
            project: owned(self.project),
            model: owned(self.model),
            deployment: owned(self.deployment),
            operation: owned(self.operation),
            ending: self.ending,
        }
    }
}

/// No call takes more tokens, nano-USD or milliseconds than that: an engine's absurd word must not make a sum overflow, which the
/// database would refuse for good.
const MOST: u64 = 1 << 43;

fn sane(count: u64) -> i64 {
    to_int(count.min(MOST))
}

impl Sum {
    fn of(call: &Read<'_>) -> Self {
        Self {
            calls: 1,
            prompt_tokens: sane(call.prompt_tokens),
            cached_tokens: sane(call.cached_tokens),
            completion_tokens: sane(call.completion_tokens),
            reasoning_tokens: sane(call.reasoning_tokens),
            estimated: i64::from(call.estimated),
            cost: sane(call.cost.0),
            duration_ms: sane(call.duration_ms),
            wait_ms: sane(call.wait_ms),
            retries: i64::from(call.retries),
        }
    }

    fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.calls, more.calls),
            (&mut self.prompt_tokens, more.prompt_tokens),
            (&mut self.cached_tokens, more.cached_tokens),
            (&mut self.completion_tokens, more.completion_tokens),
            (&mut self.reasoning_tokens, more.reasoning_tokens),
            (&mut self.estimated, more.estimated),
            (&mut self.cost, more.cost),
            (&mut self.duration_ms, more.duration_ms),
            (&mut self.wait_ms, more.wait_ms),
            (&mut self.retries, more.retries),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Sums of some calls.
#[derive(Debug)]
pub(super) struct Sums<'a>(HashMap<Key<'a>, Sum>);

impl Default for Sums<'_> {
    fn default() -> Self {
        Self(HashMap::with_capacity(FEW))
    }
}

impl<'a> Sums<'a> {
    /// Adds a call.
    pub(super) fn add(&mut self, call: Read<'a>) {
        let sum = Sum::of(&call);
        self.put(Key::of(call), &sum);
    }

    fn put(&mut self, key: Key<'a>, sum: &Sum) {
        self.0.entry(key).or_default().add(sum);
    }

    /// As JSON, for [`ROWS`] to read.
    pub(super) fn to_json(&self) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Row<'s, 'a> {
            #[serde(flatten)]
            key: &'s Key<'a>,
            #[serde(flatten)]
            sum: &'s Sum,
        }
        let rows: Vec<Row<'_, '_>> = self.0.iter().map(|(key, sum)| Row { key, sum }).collect();
        serde_json::to_string(&rows)
    }
}

impl Sums<'static> {
    /// Adds sums whose texts will go.
    pub(super) fn take(&mut self, sums: Sums<'_>) {
        for (key, sum) in sums.0 {
            self.put(key.owned(), &sum);
        }
    }
}

/// The columns of `call_hours` out of sums in JSON; ends where that is bound.
pub(super) const ROWS: &str = "SELECT value ->> 'hour' AS hour, value ->> 'token' AS token, value ->> 'project' AS project, \
    value ->> 'model' AS model, value ->> 'deployment' AS deployment, value ->> 'operation' AS operation, value ->> 'ending' AS ending, \
    value ->> 'calls' AS calls, value ->> 'prompt_tokens' AS prompt_tokens, value ->> 'cached_tokens' AS cached_tokens, \
    value ->> 'completion_tokens' AS completion_tokens, value ->> 'reasoning_tokens' AS reasoning_tokens, \
    value ->> 'estimated' AS estimated, value ->> 'cost' AS cost, value ->> 'duration_ms' AS duration_ms, value ->> 'wait_ms' AS wait_ms, \
    value ->> 'retries' AS retries FROM json_each(";

/// Adds sums, as JSON, to those of their hours.
pub(super) async fn add(change: &mut SqliteConnection, sums: String) -> Result<(), Error> {
    // A SELECT without a WHERE would take the ON for that of a join.
    static ADD: LazyLock<String> = LazyLock::new(|| {
        format!(
            "INSERT INTO call_hours (hour, token, project, model, deployment, operation, ending, calls, prompt_tokens, cached_tokens,
                completion_tokens, reasoning_tokens, estimated, cost, duration_ms, wait_ms, retries)
             {ROWS}?) WHERE true
             ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                cached_tokens = cached_tokens + excluded.cached_tokens, completion_tokens = completion_tokens + excluded.completion_tokens,
                reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, estimated = estimated + excluded.estimated,
                cost = cost + excluded.cost, duration_ms = duration_ms + excluded.duration_ms, wait_ms = wait_ms + excluded.wait_ms,
                retries = retries + excluded.retries"
        )
    });
    sqlx::query(AssertSqlSafe(ADD.as_str())).bind(sums).execute(change).await?;
    Ok(())
}
