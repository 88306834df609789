//! What was spent in this hour, this day and this month, for those who hold budgets?
//!
//! In: when they began, and before when. Out: sums by token, project and deployment. Fails: as the
//! database does. Calls that never reached an engine spent nothing and are left out.

use base::Timestamp;
use spec::Usd;
use sqlx::{QueryBuilder, Sqlite};

use super::span;
use crate::error::Error;
use crate::open::Store;
use crate::row::from_int;

/// The calls of one token, project and deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Whose.
    pub token: Option<String>,
    /// Booked on which project.
    pub project: Option<String>,
    /// At which deployment.
    pub deployment: Option<String>,
    /// Calls.
    pub calls: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// What they cost.
    pub cost: Usd,
    /// In the present hour.
    pub in_hour: bool,
    /// In the present day.
    pub in_day: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    token: String,
    project: String,
    deployment: String,
    in_hour: bool,
    in_day: bool,
    calls: i64,
    tokens: i64,
    cost: i64,
}

impl Store {
    /// Sums since a month began and before `before`, apart for those in the hour and in the day; each of
    /// the three began with a full hour.
    pub async fn spent(&self, [hour, day, month]: [Timestamp; 3], before: Timestamp) -> Result<Vec<Spent>, Error> {
        let hours = self.hours_of(month, before).await?;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT token, project, deployment, hour >= ");
        sql.push_bind(hour.as_millis()).push(" AS in_hour, hour >= ").push_bind(day.as_millis());
        sql.push(" AS in_day, sum(calls) AS calls, sum(prompt_tokens + completion_tokens) AS tokens, sum(cost) AS cost FROM ");
        span::push(&mut sql, hours);
        sql.push(" WHERE ending <> 'rejected' GROUP BY 1, 2, 3, 4, 5");
        let rows: Vec<Row> = sql.build_query_as().fetch_all(self.reader()).await?;
        Ok(rows.into_iter().map(Row::read).collect())
    }
}

impl Row {
    fn read(self) -> Spent {
        let named = |name: String| Some(name).filter(|name| !name.is_empty());
        Spent {
            token: named(self.token),
            project: named(self.project),
            deployment: named(self.deployment),
            calls: from_int(self.calls),
            tokens: from_int(self.tokens),
            cost: Usd(from_int(self.cost)),
            in_hour: self.in_hour,
            in_day: self.in_day,
        }
    }
}
