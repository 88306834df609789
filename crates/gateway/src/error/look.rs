//! The table: which error has which status, type, code and param.
//!
//! From: WIRE section 1 for OpenAI's face, section 4 for the NDJSON face.

use std::time::Duration;

use access::{Coin, Denied, Resource};
use base::{Fault as _, Kind, Retry, Timestamp};
use http::StatusCode;
use spec::ReasonCode;

use super::Error;
use crate::call::Face;

/// How an error looks to a client.
pub(super) struct Look {
    pub(super) status: StatusCode,
    /// Another status on the NDJSON face, where it is written so.
    pub(super) lines: Option<StatusCode>,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<&'static str>,
    /// When to ask again.
    pub(super) wait: Option<Duration>,
    /// Asking again will never help.
    pub(super) never: bool,
}

const INVALID: &str = "invalid_request_error";
const UPSTREAM: &str = "upstream_error";
const OVERLOADED: &str = "overloaded_error";
const QUOTA: &str = "insufficient_quota";

impl Look {
    fn new(status: StatusCode, kind: &'static str) -> Self {
        Self { status, lines: None, kind, code: None, param: None, wait: None, never: false }
    }
    fn invalid(status: StatusCode) -> Self {
        Self::new(status, INVALID)
    }
    fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }
    fn param(self, param: impl Into<Option<&'static str>>) -> Self {
        Self { param: param.into(), ..self }
    }
    fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }
    fn on_lines(self, status: StatusCode) -> Self {
        Self { lines: Some(status), ..self }
    }
    fn never(self) -> Self {
        Self { never: true, wait: None, ..self }
    }
    /// The status for this face.
    pub(super) fn status_for(&self, face: Face) -> StatusCode {
        match face {
            Face::Lines => self.lines.unwrap_or(self.status),
            Face::Messages if self.kind == OVERLOADED || self.status == StatusCode::SERVICE_UNAVAILABLE => overloaded(),
            _ => self.status,
        }
    }
}

/// Anthropic's own status for "come back later".
pub(super) fn overloaded() -> StatusCode {
    const OVERLOADED: u16 = 529;
    StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// For 503 when nobody knows better.
const SOON: Duration = Duration::from_secs(1);

impl Error {
    /// The row of the table for this error.
    pub(super) fn look(&self) -> Look {
        match self {
            Self::Route { .. } | Self::UnknownResponse { .. } | Self::NotHere { .. } => Look::invalid(StatusCode::NOT_FOUND),
            Self::Method { .. } => Look::invalid(StatusCode::METHOD_NOT_ALLOWED),
            Self::TooLarge { .. } => Look::invalid(StatusCode::PAYLOAD_TOO_LARGE),
            Self::MediaType { .. } | Self::Encoding { .. } => Look::invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::SlowBody { .. } => Look::invalid(StatusCode::REQUEST_TIMEOUT),
            Self::BodyLost { .. } | Self::NotBackground { .. } => Look::invalid(StatusCode::BAD_REQUEST),
            Self::UnknownModel { .. } | Self::NoModel => model_not_found(),
            Self::NotServed { .. } => Look::invalid(StatusCode::BAD_REQUEST).param("model"),
            Self::TooLong { param, .. } => Look::invalid(StatusCode::BAD_REQUEST).code("context_length_exceeded").param(*param),
            Self::OtherName { .. } | Self::OtherPage { .. } => {
                Look::new(StatusCode::FORBIDDEN, "permission_error").code("permission_denied")
            }
            Self::Wire(error) => wire(error),
            Self::Access(error) => access(error),
            Self::Board(error) => board(error),
            Self::Connect { .. } | Self::Broken { .. } => Look::new(StatusCode::BAD_GATEWAY, UPSTREAM).code(UPSTREAM),
            Self::ConnectTimeout { .. } | Self::FirstByteTimeout | Self::IdleTimeout { .. } | Self::TotalTimeout => {
                Look::new(StatusCode::GATEWAY_TIMEOUT, UPSTREAM).code("upstream_timeout")
            }
            Self::Said(said) => {
                let look = Look { wait: said.wait, ..Look::new(said.status, UPSTREAM).code(UPSTREAM) };
                if said.busy.is_some_and(|again| again.never) { look.never() } else { look }
            }
            Self::UnknownPrevious { .. } => {
                Look::invalid(StatusCode::BAD_REQUEST).code("previous_response_not_found").param("previous_response_id")
            }
            Self::LongConversation { .. } => Look::invalid(StatusCode::BAD_REQUEST).param("previous_response_id"),
            Self::Background { .. } | Self::BackgroundFull { .. } => {
                Look::new(StatusCode::TOO_MANY_REQUESTS, OVERLOADED).code("queue_full").wait(SOON)
            }
            Self::Store(_) | Self::StoreSlow => Look::new(StatusCode::SERVICE_UNAVAILABLE, "server_error").wait(SOON),
            Self::Stopping => stopping(),
            Self::Unsendable { .. } | Self::Lost | Self::Metrics(_) => internal(),
        }
    }
}

fn internal() -> Look {
    Look::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error").code("internal_error")
}

fn model_not_found() -> Look {
    Look::invalid(StatusCode::NOT_FOUND).code("model_not_found").param("model")
}

fn stopping() -> Look {
    Look::new(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED).code("shutting_down").wait(SOON)
}

fn wire(error: &wire::Error) -> Look {
    match error.kind() {
        Kind::Invalid => Look::invalid(StatusCode::BAD_REQUEST).param(error.param()),
        _ => Look::new(StatusCode::BAD_GATEWAY, UPSTREAM).code(UPSTREAM),
    }
}

fn access(error: &access::Error) -> Look {
    use access::Error as E;
    let limited = |what: &Resource| {
        let kind = if *what == Resource::Tokens { "tokens" } else { "requests" };
        Look::new(StatusCode::TOO_MANY_REQUESTS, kind).code("rate_limit_exceeded")
    };
    match error {
        E::Guessing { retry_after } => limited(&Resource::Requests).wait(*retry_after),
        E::MissingToken | E::Afar | E::WrongToken | E::Expired { .. } | E::Disabled { .. } => {
            Look::invalid(StatusCode::UNAUTHORIZED).code("invalid_api_key")
        }
        E::Forbidden { what } => Look::new(StatusCode::FORBIDDEN, "permission_error")
            .code("permission_denied")
            .param(matches!(what, Denied::Model(_)).then_some("model")),
        E::Limited { what, retry_after, .. } => limited(what).wait(*retry_after),
        E::NeverFits { what, .. } => limited(what).never(),
        E::Budget { .. } if error.is_final() => Look::new(StatusCode::TOO_MANY_REQUESTS, QUOTA).code(QUOTA).never(),
        E::Budget { quota, .. } => {
            let kind = if quota.coin == Coin::Tokens { "tokens" } else { "requests" };
            let look = Look::new(StatusCode::TOO_MANY_REQUESTS, kind).code("rate_limit_exceeded");
            if let Retry::After(wait) = error.retry() { look.wait(wait) } else { look }
        }
        E::Login(_) => login(error),
        _ => internal(),
    }
}

/// A token of an identity provider that opens nothing, or of which nothing can be said now.
fn login(error: &access::Error) -> Look {
    match (error.kind(), error.retry()) {
        (Kind::Unauthenticated, _) => Look::invalid(StatusCode::UNAUTHORIZED).code("invalid_api_key"),
        (Kind::Forbidden, _) => Look::new(StatusCode::FORBIDDEN, "permission_error").code("permission_denied"),
        (Kind::Unavailable, Retry::After(wait)) => {
            Look::new(StatusCode::SERVICE_UNAVAILABLE, "server_error").code("identity_unavailable").wait(wait)
        }
        _ => internal(),
    }
}

fn board(error: &board::Error) -> Look {
    use board::Error as E;
    let wait = match error.retry() {
        Retry::After(wait) => wait,
        Retry::No | Retry::Safe => SOON,
    };
    match error {
        E::NotFound(_) => model_not_found(),
        E::QueueFull { .. } => Look::new(StatusCode::TOO_MANY_REQUESTS, OVERLOADED).code("queue_full").wait(wait),
        E::QueueTimeout { .. } => {
            Look::new(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED).code("queue_timeout").wait(wait).on_lines(StatusCode::TOO_MANY_REQUESTS)
        }
        E::Loading { .. } => Look::new(StatusCode::SERVICE_UNAVAILABLE, "model_loading").code("model_loading").wait(wait),
        E::Down { reason, .. } => down(reason.code, reason.again_at().map_or(wait, |at| at.since(Timestamp::now()).max(wait))),
        E::NobodyElse(_) => Look::new(StatusCode::SERVICE_UNAVAILABLE, "server_error").code("model_unavailable").wait(wait),
        E::Closed => stopping(),
    }
}

/// A deployment that cannot be served: asking again helps only where the world may change by itself.
fn down(code: ReasonCode, wait: Duration) -> Look {
    let look = Look::new(StatusCode::SERVICE_UNAVAILABLE, "server_error").code("model_unavailable");
    match code {
        ReasonCode::DoesNotFit => Look { status: StatusCode::INSUFFICIENT_STORAGE, ..look.never() },
        ReasonCode::NoRoom => look.wait(wait).on_lines(StatusCode::INSUFFICIENT_STORAGE),
        ReasonCode::ModelMissing
        | ReasonCode::ModelCorrupt
        | ReasonCode::ModelUnknown
        | ReasonCode::SourceUnreachable
        | ReasonCode::EngineMissing
        | ReasonCode::EngineRejected
        | ReasonCode::KeyMissing => look.never(),
        _ => look.wait(wait),
    }
}
