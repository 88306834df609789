//! What stands in the URL: names, ids and parameters.
//!
//! In: a path segment, percent-decoded (a slash in a name is written `%2F`), and the query. Out:
//! typed values. Fails: 400 for a name that cannot be one, for a parameter that is unknown or has
//! a bad value.

use axum::extract::{FromRequestParts, Path};
use base::Timestamp;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use spec::{Invalid, Name};
use utoipa::IntoParams;

use crate::error::Error;

/// The `{name}` of the path.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) Name);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Ident(text) = Ident::from_request_parts(parts, state).await?;
        Ok(Self(Name::parse(&text)?))
    }
}

/// The `{name}` of the path, and the segment behind it, as it is.
#[derive(Debug)]
pub(crate) struct NamedPart(pub(crate) Name, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for NamedPart {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let not_text = |_| Invalid::one("path", "a segment is not UTF-8 text", "percent-encode the name as UTF-8");
        let Path((name, part)) = Path::<(String, String)>::from_request_parts(parts, state).await.map_err(not_text)?;
        Ok(Self(Name::parse(&name)?, part))
    }
}

/// The `{id}` of the path, as it is.
#[derive(Debug)]
pub(crate) struct Ident(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Ident {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let not_text = |_| Invalid::one("path", "a segment is not UTF-8 text", "percent-encode the name as UTF-8");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(not_text)?;
        Ok(Self(text))
    }
}

/// The parameters after `?`; every one is known, or the ask is refused.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let axum::extract::Query(value) = axum::extract::Query::from_request_parts(parts, state).await.map_err(Error::Query)?;
        Ok(Self(value))
    }
}

/// Most items of one page.
pub(crate) const MOST_ITEMS: usize = 1000;

/// Parameters of a list that can be watched.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// Go on after this: the `next` of the page before.
    pub(crate) after: Option<String>,
    /// Only those that belong to this project.
    pub(crate) project: Option<String>,
    /// `1` streams server-sent events: `snapshot` with all items first, then `added`, `changed` and
    /// `removed` with one item each, until the client goes.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = Option<u8>)]
    pub(crate) watch: bool,
}

/// Parameters of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// Go on after this: the `next` of the page before.
    pub(crate) after: Option<String>,
}

/// Parameters of the list of tokens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokensQuery {
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// Go on after this: the `next` of the page before.
    pub(crate) after: Option<String>,
    /// Only those of the user with this id.
    pub(crate) user: Option<String>,
}

/// Parameter of a list that is never long.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
}

/// Parameters of the story.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// At most so many events (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// Only events after the one with this id; the newest when not given.
    pub(crate) after: Option<u64>,
    /// Only events of this deployment.
    pub(crate) deployment: Option<String>,
    /// Only events of these kinds, with commas between; `audit` for who changed what.
    pub(crate) kind: Option<String>,
    /// `1` streams server-sent events as they happen, each with its id. It begins after `after`, or
    /// after the header `Last-Event-ID`, or with the newest `limit`, or else with what comes next.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = Option<u8>)]
    pub(crate) watch: bool,
}

/// A span of time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpanQuery {
    /// From this time on (RFC 3339, or a day in UTC such as `2026-01-31`); a day before `to` when not given.
    #[serde(deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time, or this day; now when not given.
    #[serde(deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    pub(crate) to: Option<Timestamp>,
    /// By what the calls are summed, with commas between: `day`, `hour`, `model`, `deployment`, `token`,
    /// `project`, `operation`, `ending`; `model` when not given, one sum of all when empty.
    pub(crate) group_by: Option<String>,
    /// `json` or `csv`; the header `accept: text/csv` asks for the latter too.
    pub(crate) format: Option<String>,
}

/// Parameters of the list of single calls.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallQuery {
    /// From this time on (RFC 3339, or a day in UTC such as `2026-01-31`); a day before `to` when not given.
    #[serde(deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time, or this day; now when not given.
    #[serde(deserialize_with = "moment")]
    #[param(value_type = Option<String>)]
    pub(crate) to: Option<Timestamp>,
    /// Only calls with this request id.
    pub(crate) request_id: Option<String>,
    /// At most so many items (1000 unless told, and at most).
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
    /// Go on after this: the `next` of the page before.
    pub(crate) after: Option<String>,
}

/// A time, or the beginning of a day.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let found = text.parse::<Timestamp>().or_else(|error| format!("{text}T00:00:00Z").parse().map_err(|_as_a_day| error));
    let wrong = |_| serde::de::Error::custom(format!("`{text}` is not a time; write 2026-01-31T12:00:00Z or 2026-01-31"));
    found.map(Some).map_err(wrong)
}

/// Parameters of a log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Only so many last lines; all that is kept when not given.
    pub(crate) tail: Option<usize>,
    /// `1` goes on as lines are written, until the client goes.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = Option<u8>)]
    pub(crate) follow: bool,
}

/// Parameter of a single thing that can be watched.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchQuery {
    /// `1` streams server-sent events: `changed` with each new state, until it is over.
    #[serde(deserialize_with = "flag")]
    #[param(value_type = Option<u8>)]
    pub(crate) watch: bool,
}

/// A yes or no in a query: `1`, `true` or nothing after the name say yes.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither 1 nor 0"))),
    }
}
