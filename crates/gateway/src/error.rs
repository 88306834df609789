//! Why a call failed, and how a client reads it; the only file of this room with error status codes.
//!
//! In: the errors of the rooms below and our own. Out: a status, headers and a body in the client's
//! manner: OpenAI's error object, Anthropic's, Ollama's line, or `{"error","code"}` for the NDJSON face. Fails: never. Logged
//! once, by the account of the call.

mod fault;
mod look;
mod said;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base::Fault as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;
use spec::Name;
use wire::anthropic::Shown;
use wire::openai::error::Body as OpenAiBody;
use wire::talk::Trouble;

pub(crate) use said::{Again, Said, is_busy};

use crate::call::Face;
use crate::send::Cause;

/// What nginx writes into its log for a client that left before there was an answer; it is never sent.
pub(crate) const CLIENT_GONE: u16 = 499;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is served under this path.
    #[error("there is nothing at {method} {path}")]
    Route {
        /// The method.
        method: Method,
        /// The path.
        path: String,
    },
    /// The path is served, but not by this method.
    #[error("{path} does not take {method}")]
    Method {
        /// The method.
        method: Method,
        /// The path.
        path: String,
    },
    /// The body is too large.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// The body is not said to be JSON.
    #[error("the content type must be application/json, not `{found}`")]
    MediaType {
        /// What it is said to be.
        found: String,
    },
    /// The body is compressed.
    #[error("the content encoding `{found}` is not understood")]
    Encoding {
        /// What it is said to be.
        found: String,
    },
    /// The client fell silent in the middle of its body.
    #[error("nothing more came of the body for {} s", after.as_secs())]
    SlowBody {
        /// How long we waited.
        after: Duration,
    },
    /// The client's connection broke in the middle of its body.
    #[error("the body broke off")]
    BodyLost {
        /// How.
        source: axum::Error,
    },
    /// The body, or the engine's stream, is not what it should be.
    #[error(transparent)]
    Wire(wire::Error),
    /// No token is needed, and it was asked for under somebody else's name.
    #[error("`{host}` is not a name of this server, which asks nobody for a token")]
    OtherName {
        /// The name.
        host: String,
    },
    /// No token is needed, and a page of another site may have caused it.
    #[error("it comes from a page of {origin}, and this server asks nobody for a token")]
    OtherPage {
        /// Whose page.
        origin: String,
    },
    /// Turned away at the door.
    #[error(transparent)]
    Access(#[from] access::Error),
    /// No slot.
    #[error(transparent)]
    Board(#[from] board::Error),
    /// Nobody serves this model.
    #[error("there is no model `{model}`")]
    UnknownModel {
        /// As it was asked for.
        model: String,
    },
    /// No model is named, and there is no default.
    #[error("no model is named, and this server has no default model")]
    NoModel,
    /// The model's engine does not do this.
    #[error("the model `{model}` does not serve {what}")]
    NotServed {
        /// The model.
        model: Name,
        /// What was asked for.
        what: &'static str,
    },
    /// The prompt does not fit.
    #[error("this prompt has at least {tokens} tokens; the context of `{model}` is {limit} tokens")]
    TooLong {
        /// The model.
        model: Name,
        /// What was counted.
        tokens: u64,
        /// Tokens of one call.
        limit: u64,
        /// The member of the body that holds the prompt.
        param: &'static str,
    },
    /// The member's address or key cannot stand in a request.
    #[error("the engine's address or key is malformed")]
    Unsendable {
        /// What about it.
        source: http::Error,
    },
    /// The engine cannot be connected to.
    #[error("the engine cannot be reached")]
    Connect {
        /// Why.
        source: Cause,
    },
    /// The engine does not take the connection.
    #[error("the engine did not take the connection within {} s", after.as_secs_f64())]
    ConnectTimeout {
        /// The limit.
        after: Duration,
    },
    /// The connection to the engine broke.
    #[error("the connection to the engine broke")]
    Broken {
        /// How.
        source: Cause,
    },
    /// The engine answered with an error.
    #[error("the engine answered {}", .0.status)]
    Said(Said),
    /// No first byte in time.
    #[error("the engine did not begin to answer in time")]
    FirstByteTimeout,
    /// The stream fell silent.
    #[error("the engine sent nothing for {} s", after.as_secs_f64())]
    IdleTimeout {
        /// The limit.
        after: Duration,
    },
    /// The call took too long as a whole.
    #[error("the call took longer than it may")]
    TotalTimeout,
    /// Penstock stops and the call did not end in time.
    #[error("this server is stopping")]
    Stopping,
    /// Work of ours panicked; the log says where.
    #[error("a piece of work was lost")]
    Lost,
    /// Nobody made such a response, or somebody else did.
    #[error("there is no response `{id}`")]
    UnknownResponse {
        /// As it was asked for.
        id: String,
    },
    /// The response to go on with is not there.
    #[error("the previous response `{id}` is not there")]
    UnknownPrevious {
        /// As it was asked for.
        id: String,
    },
    /// Only what was asked for with `background` can be cancelled.
    #[error("the response `{id}` was not made in the background")]
    NotBackground {
        /// Its id.
        id: String,
    },
    /// The response to go on with is too long for that.
    #[error("the conversation that it goes on with has {bytes} bytes with this request, and a call at most {limit}")]
    LongConversation {
        /// Of both.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// Too many responses of one owner are made in the background.
    #[error("{most} responses of {whose} are being made in the background already")]
    Background {
        /// The bound.
        most: usize,
        /// The owner, in words.
        whose: &'static str,
    },
    /// The same of all together.
    #[error("{most} responses of all callers are being made in the background, which is as many as may")]
    BackgroundFull {
        /// The bound.
        most: usize,
    },
    /// The store could not say.
    #[error("what is kept could not be read")]
    Store(#[from] store::Error),
    /// The store took too long.
    #[error("the store did not answer in time")]
    StoreSlow,
    /// A path of another product that has no meaning here.
    #[error("{what} is not served here")]
    NotHere {
        /// What was asked for.
        what: &'static str,
        /// What to do in its place.
        instead: &'static str,
    },
    /// The metrics could not be written.
    #[error("the metrics could not be written")]
    Metrics(#[from] std::fmt::Error),
}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Self {
        match error {
            wire::Error::Engine { body } => Self::Said(Said::in_stream(&body)),
            other => Self::Wire(other),
        }
    }
}

impl Error {
    /// For the client, what happened and what to do.
    fn message(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{}; {hint}", self.public()),
            None => self.public(),
        }
    }

    /// The status that the client sees.
    pub(crate) fn status(&self, face: Face) -> u16 {
        self.look().status_for(face).as_u16()
    }

    /// One short word for metrics and logs.
    pub(crate) fn word(&self) -> &'static str {
        self.look().code.unwrap_or_else(|| self.kind().as_str())
    }

    /// The answer in the client's manner.
    pub(crate) fn response(&self, face: Face) -> Response {
        let look = self.look();
        let status = look.status_for(face);
        let body = match face {
            Face::OpenAi => self.openai_body(),
            Face::Lines => self.line(false),
            Face::Ollama => wire::ollama::error_line(&self.told()),
            Face::Messages => Bytes::new(),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        if face == Face::Messages {
            response.extensions_mut().insert(Shown { status: status.as_u16(), message: self.told() });
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if look.never {
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        } else if let Some(wait) = look.wait {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
            headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(ms));
        }
        response
    }

    /// `{"error":{message,type,param,code}}`
    pub(crate) fn openai_body(&self) -> Bytes {
        if let Self::Said(said) = self {
            return said.body.clone();
        }
        let look = self.look();
        let mut body = OpenAiBody::new(look.kind, self.openai_message());
        if let Some(param) = look.param {
            body = body.param(param);
        }
        if let Some(code) = look.code {
            body = body.code(code);
        }
        if let Self::Board(board::Error::Loading { phase, progress, eta, .. }) = self {
            body = body.loading(phase.as_str(), *progress, eta.map(|eta| eta.as_secs()));
        }
        body.to_bytes()
    }

    /// As for any client; LiteLLM takes a 401 for a bad request unless it finds these words of OpenAI's.
    fn openai_message(&self) -> String {
        match self {
            Self::Access(access::Error::WrongToken | access::Error::Expired { .. } | access::Error::Disabled { .. }) => {
                format!("Incorrect API key provided: {}", self.message())
            }
            _ => self.message(),
        }
    }

    /// What happened, in the engine's words where they are its.
    fn told(&self) -> String {
        match self {
            Self::Said(said) => said.message(),
            _ => self.message(),
        }
    }

    /// Tells a codec what went wrong.
    pub(crate) fn tell<T>(&self, face: Face, codec: impl FnOnce(&Trouble<'_>) -> T) -> T {
        codec(&Trouble { status: self.status(face), code: self.look().code, message: &self.told() })
    }

    /// `{"error","code"}`, and `"done":true` when it ends a stream.
    pub(crate) fn line(&self, ends_stream: bool) -> Bytes {
        let message = self.told();
        let code = self.status(Face::Lines);
        let line =
            if ends_stream { json!({ "error": message, "code": code, "done": true }) } else { json!({ "error": message, "code": code }) };
        format!("{line}\n").into()
    }
}

/// The id of the request, where Anthropic's clients look for it.
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");

/// Gives an answer to one of Anthropic's clients the id of its request.
pub(crate) fn note_request_id(response: &mut Response, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(ANTHROPIC_ID, id);
    }
}

/// Completes an error for Anthropic's clients: its body holds the id of the request, which only the outermost layer knows.
pub(crate) fn complete(response: &mut Response, id: &str) {
    if let Some(shown) = response.extensions_mut().remove::<Shown>() {
        note_request_id(response, id);
        *response.body_mut() = Body::from(wire::anthropic::error_body(&shown, id));
    }
}

/// The answer of `/readyz` while a call would not be served.
pub(crate) fn not_ready(word: &'static str) -> Response {
    let mut response = Response::new(Body::from(word));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
