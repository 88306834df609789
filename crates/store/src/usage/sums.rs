//! How much was used, summed by what one likes?
//!
//! In: a span of time and the groups. Out: a sum for each combination that occurs; by time first, then the
//! busiest. Fails: as the database does. Bounded by the caller's `most`: one more is given when there is more.

use std::collections::BTreeSet;

use base::Timestamp;
use spec::Usd;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::span::{self, HOUR};
use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_json};

const DAY: i64 = 24 * HOUR;

/// By what calls are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupBy {
    /// By the day (UTC) in which they began.
    Day,
    /// By the hour (UTC) in which they began.
    Hour,
    /// By the public model name; none for models that nobody serves.
    Model,
    /// By the deployment that was found.
    Deployment,
    /// By the token.
    Token,
    /// By the project.
    Project,
    /// By the kind of call.
    Operation,
    /// By how they ended.
    Ending,
}

impl GroupBy {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Day, Self::Hour, Self::Model, Self::Deployment, Self::Token, Self::Project, Self::Operation, Self::Ending];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Model => "model",
            Self::Deployment => "deployment",
            Self::Token => "token",
            Self::Project => "project",
            Self::Operation => "operation",
            Self::Ending => "ending",
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Hour)
    }
}

/// What to sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// By what; one sum of all when empty.
    pub by: Vec<GroupBy>,
    /// At most so many sums, and one more if there are more.
    pub most: u32,
}

/// Calls with one of these tokens, or booked on one of these projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallsOf {
    /// Ids of tokens.
    pub tokens: BTreeSet<String>,
    /// Names of projects.
    pub projects: BTreeSet<String>,
}

impl CallsOf {
    /// Whether a call is one of them.
    pub(super) fn has(&self, token: Option<&str>, project: Option<&str>) -> bool {
        token.is_some_and(|token| self.tokens.contains(token)) || project.is_some_and(|project| self.projects.contains(project))
    }

    fn push(&self, sql: &mut QueryBuilder<Sqlite>) -> Result<(), Error> {
        let (tokens, projects) = (to_json("tokens", &self.tokens)?, to_json("projects", &self.projects)?);
        sql.push(" WHERE (token IN (SELECT value FROM json_each(").push_bind(tokens);
        sql.push(")) OR project IN (SELECT value FROM json_each(").push_bind(projects).push(")))");
        Ok(())
    }
}

/// The sum of some calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// What they have in common, in the order of the query: a time in RFC 3339, a day, a name; none for none.
    pub keys: Vec<Option<String>>,
    /// Calls, however they ended.
    pub calls: u64,
    /// Those with a whole answer.
    pub completed: u64,
    /// Those whose caller went away.
    pub cancelled: u64,
    /// Those whose engine failed.
    pub failed: u64,
    /// Those that never reached an engine.
    pub rejected: u64,
    /// Tokens in.
    pub prompt_tokens: u64,
    /// Of those, cached ones.
    pub cached_tokens: u64,
    /// Tokens out.
    pub completion_tokens: u64,
    /// Of those, reasoning.
    pub reasoning_tokens: u64,
    /// Calls whose tokens we counted ourselves.
    pub estimated: u64,
    /// What they cost.
    pub cost: Usd,
    /// Their durations, added up.
    pub duration_ms: u64,
    /// Their time in line, added up.
    pub wait_ms: u64,
    /// Times that they were sent anew.
    pub retries: u64,
}

const SUMS: &str = "coalesce(sum(calls), 0) AS n, coalesce(sum(calls * (ending = 'completed')), 0), \
    coalesce(sum(calls * (ending = 'cancelled')), 0), coalesce(sum(calls * (ending = 'failed')), 0), \
    coalesce(sum(calls * (ending = 'rejected')), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0), \
    coalesce(sum(completion_tokens), 0), coalesce(sum(reasoning_tokens), 0), coalesce(sum(estimated), 0), coalesce(sum(cost), 0), \
    coalesce(sum(duration_ms), 0), coalesce(sum(wait_ms), 0), coalesce(sum(retries), 0)";
const SUMS_WIDTH: usize = 14;

impl Store {
    /// Sums calls up.
    pub async fn usage_sums(&self, query: &UsageQuery) -> Result<Vec<UsageSum>, Error> {
        self.usage_sums_of(query, None).await
    }

    /// Sums up the calls of these tokens and these projects.
    pub async fn usage_sums_of(&self, query: &UsageQuery, whose: Option<&CallsOf>) -> Result<Vec<UsageSum>, Error> {
        let hours = self.hours_of(query.from, query.to).await?;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT ");
        for group in &query.by {
            match group {
                GroupBy::Day => sql.push("hour / ").push(DAY).push(" * ").push(DAY),
                GroupBy::Hour => sql.push("hour"),
                other => sql.push(other.as_str()),
            };
            sql.push(", ");
        }
        sql.push(SUMS).push(" FROM ");
        span::push(&mut sql, hours);
        if let Some(whose) = whose {
            whose.push(&mut sql)?;
        }
        let places: Vec<String> = (1..=query.by.len()).map(|place| place.to_string()).collect();
        if !places.is_empty() {
            sql.push(" GROUP BY ").push(places.join(", "));
        }
        let times = query.by.iter().zip(&places).filter(|(group, _)| group.is_time()).map(|(_, place)| place.clone());
        let order: Vec<String> = times.chain(["n DESC".to_owned()]).chain(places.iter().cloned()).collect();
        sql.push(" ORDER BY ").push(order.join(", ")).push(" LIMIT ").push_bind(i64::from(query.most) + 1);
        let rows = sql.build().fetch_all(self.reader()).await?;
        rows.iter().map(|row| read(row, &query.by)).collect()
    }
}

fn read(row: &SqliteRow, by: &[GroupBy]) -> Result<UsageSum, Error> {
    let mut keys = Vec::with_capacity(by.len());
    for (place, group) in by.iter().enumerate() {
        keys.push(match group {
            GroupBy::Day => Some(Timestamp::from_millis(row.try_get(place)?).to_string().chars().take("2026-01-31".len()).collect()),
            GroupBy::Hour => Some(Timestamp::from_millis(row.try_get(place)?).to_string()),
            _ => Some(row.try_get::<String, _>(place)?).filter(|text| !text.is_empty()),
        });
    }
    let mut sums = [0; SUMS_WIDTH];
    for (place, sum) in sums.iter_mut().enumerate() {
        *sum = from_int(row.try_get(by.len() + place)?);
    }
    let [
        calls,
        completed,
        cancelled,
        failed,
        rejected,
        prompt,
        cached,
        completion,
        reasoning,
        estimated,
        cost,
        duration_ms,
        wait_ms,
        retries,
    ] = sums;
    Ok(UsageSum {
        keys,
        calls,
        completed,
        cancelled,
        failed,
        rejected,
        prompt_tokens: prompt,
        cached_tokens: cached,
        completion_tokens: completion,
        reasoning_tokens: reasoning,
        estimated,
        cost: Usd(cost),
        duration_ms,
        wait_ms,
        retries,
    })
}
