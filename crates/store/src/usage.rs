//! Who used what, and how much?
//!
//! In: [`Usage`] rows; a row whose request id is stored already is passed over, so a batch can be
//! sent again after a failure. Out: sums for each model. Fails: as the database does.

use base::Timestamp;
use spec::Usage;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int, to_word};

/// Most models of one answer.
const MOST_TOTALS: i64 = 1_000;

/// The calls of one model within a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTotal {
    /// The public model name.
    pub model: String,
    /// Calls, however they ended.
    pub calls: u64,
    /// Those of them that were completed.
    pub completed: u64,
    /// Tokens in.
    pub prompt_tokens: u64,
    /// Tokens out.
    pub completion_tokens: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    model: String,
    calls: i64,
    completed: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
}

impl Store {
    /// Stores rows, all or none; gives the number of those that were new.
    pub async fn append_usage(&self, rows: &[Usage]) -> Result<u64, Error> {
        let mut change = self.begin().await?;
        let mut new = 0;
        for row in rows {
            let done = sqlx::query(
                "INSERT INTO usage (request_id, at, token, project, model, operation, status, ending, prompt_tokens, completion_tokens,
                    estimated, duration_ms, first_byte_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (request_id) DO NOTHING",
            )
            .bind(&row.request_id)
            .bind(row.at.as_millis())
            .bind(row.token.as_ref().map(spec::TokenId::as_str))
            .bind(row.project.as_deref())
            .bind(&row.model)
            .bind(&row.operation)
            .bind(row.status)
            .bind(to_word("usage row", &row.ending)?)
            .bind(to_int(row.prompt_tokens))
            .bind(to_int(row.completion_tokens))
            .bind(row.estimated)
            .bind(to_int(row.duration_ms))
            .bind(row.first_byte_ms.map(to_int))
            .execute(&mut *change)
            .await?;
            new += done.rows_affected();
        }
        change.commit().await?;
        Ok(new)
    }

    /// Sums for each model over `from <= at < to`, the busiest first; 1,000 models at most.
    pub async fn usage_totals(&self, from: Timestamp, to: Timestamp) -> Result<Vec<UsageTotal>, Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT model, count(*) AS calls, sum(ending = 'completed') AS completed, sum(prompt_tokens) AS prompt_tokens,
                sum(completion_tokens) AS completion_tokens
             FROM usage WHERE at >= ? AND at < ? GROUP BY model ORDER BY calls DESC, model LIMIT ?",
        )
        .bind(from.as_millis())
        .bind(to.as_millis())
        .bind(MOST_TOTALS)
        .fetch_all(self.reader())
        .await?;
        Ok(rows.into_iter().map(Row::read).collect())
    }
}

impl Row {
    fn read(self) -> UsageTotal {
        UsageTotal {
            model: self.model,
            calls: from_int(self.calls),
            completed: from_int(self.completed),
            prompt_tokens: from_int(self.prompt_tokens),
            completion_tokens: from_int(self.completion_tokens),
        }
    }
}
