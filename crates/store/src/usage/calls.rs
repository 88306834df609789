//! Single calls, as they were booked.
//!
//! In: a span of time, perhaps a request id. Out: calls with their place in the books, oldest first. Fails:
//! as the database does. Bounded: a page at a time; the last one's place leads to the next page.

use base::Timestamp;
use spec::{Usage, Usd};
use sqlx::{QueryBuilder, Sqlite};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, from_word};

/// Most calls of one page.
const LARGEST_PAGE: u32 = 10_000;

/// A place in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallsAfter {
    /// When the call began.
    pub at: Timestamp,
    /// The journal that it came from.
    pub journal: i64,
    /// Its place there.
    pub place: u64,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallQuery {
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Only those with this request id.
    pub request_id: Option<String>,
    /// Only those behind this one.
    pub after: Option<CallsAfter>,
    /// At most so many; 10,000 at most.
    pub limit: u32,
}

/// A call in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedCall {
    /// Where it stands.
    pub place: CallsAfter,
    /// The call.
    pub call: Usage,
}

#[derive(sqlx::FromRow)]
struct Row {
    at: i64,
    journal: i64,
    place: i64,
    request_id: String,
    token: Option<String>,
    project: Option<String>,
    model: String,
    deployment: Option<String>,
    instance: Option<String>,
    operation: String,
    status: u16,
    ending: String,
    error: Option<String>,
    prompt_tokens: i64,
    cached_tokens: i64,
    completion_tokens: i64,
    reasoning_tokens: i64,
    estimated: bool,
    cost: i64,
    duration_ms: i64,
    first_byte_ms: Option<i64>,
    wait_ms: i64,
    retries: u32,
}

impl Store {
    /// Calls as asked for.
    pub async fn list_calls(&self, query: &CallQuery) -> Result<Vec<BookedCall>, Error> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM calls WHERE at >= ");
        sql.push_bind(query.from.as_millis()).push(" AND at < ").push_bind(query.to.as_millis());
        if let Some(id) = &query.request_id {
            sql.push(" AND request_id = ").push_bind(id.as_str());
        }
        if let Some(after) = &query.after {
            sql.push(" AND (at, journal, place) > (").push_bind(after.at.as_millis()).push(", ").push_bind(after.journal);
            sql.push(", ").push_bind(crate::row::to_int(after.place)).push(")");
        }
        sql.push(" ORDER BY at, journal, place LIMIT ").push_bind(query.limit.min(LARGEST_PAGE));
        let rows: Vec<Row> = sql.build_query_as().fetch_all(self.reader()).await?;
        rows.into_iter().map(Row::read).collect()
    }
}

impl Row {
    fn read(self) -> Result<BookedCall, Error> {
        let at = Timestamp::from_millis(self.at);
        let call = Usage {
            request_id: self.request_id,
            at,
            token: self.token,
            project: self.project,
            model: self.model,
            deployment: self.deployment,
            instance: self.instance,
            operation: self.operation,
            status: self.status,
            ending: from_word("usage row", &self.ending)?,
            error: self.error,
            prompt_tokens: from_int(self.prompt_tokens),
            cached_tokens: from_int(self.cached_tokens),
            completion_tokens: from_int(self.completion_tokens),
            reasoning_tokens: from_int(self.reasoning_tokens),
            estimated: self.estimated,
            cost: Usd(from_int(self.cost)),
            duration_ms: from_int(self.duration_ms),
            first_byte_ms: self.first_byte_ms.map(from_int),
            wait_ms: from_int(self.wait_ms),
            retries: self.retries,
        };
        Ok(BookedCall { place: CallsAfter { at, journal: self.journal, place: from_int(self.place) }, call })
    }
}
