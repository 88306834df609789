//! What an error says about itself to the rooms above.

use base::{Fault, Kind, Retry};

use super::Error;

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Route { .. } | Self::UnknownModel { .. } | Self::NoModel | Self::UnknownResponse { .. } | Self::NotHere { .. } => {
                Kind::NotFound
            }
            Self::Method { .. }
            | Self::TooLarge { .. }
            | Self::MediaType { .. }
            | Self::Encoding { .. }
            | Self::BodyLost { .. }
            | Self::NotServed { .. }
            | Self::UnknownPrevious { .. }
            | Self::LongConversation { .. }
            | Self::NotBackground { .. }
            | Self::TooLong { .. } => Kind::Invalid,
            Self::SlowBody { .. }
            | Self::ConnectTimeout { .. }
            | Self::FirstByteTimeout
            | Self::IdleTimeout { .. }
            | Self::TotalTimeout => Kind::Timeout,
            Self::OtherName { .. } | Self::OtherPage { .. } => Kind::Forbidden,
            Self::Wire(error) => error.kind(),
            Self::Access(error) => error.kind(),
            Self::Board(error) => error.kind(),
            Self::Connect { .. } | Self::Broken { .. } | Self::Said(_) => Kind::Upstream,
            Self::Stopping | Self::Store(_) | Self::StoreSlow => Kind::Unavailable,
            Self::Background { .. } | Self::BackgroundFull { .. } => Kind::Limited,
            Self::Unsendable { .. } | Self::Lost | Self::Metrics(_) => Kind::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Access(error) => error.retry(),
            Self::Board(error) => error.retry(),
            Self::Connect { .. } | Self::ConnectTimeout { .. } => Retry::Safe,
            _ => Retry::No,
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Wire(error) => error.public(),
            Self::Access(error) => error.public(),
            Self::Board(error) => error.public(),
            _ if self.kind() == Kind::Internal => "something went wrong inside; the log has the request id".to_owned(),
            _ => self.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Wire(error) => return error.hint(),
            Self::Access(error) => return error.hint(),
            Self::Board(error) => return error.hint(),
            Self::Route { .. } => "check the method and the spelling of the path; models are called at POST /v1/chat/completions",
            Self::Method { .. } => "the `Allow` header lists the methods that it takes",
            Self::TooLarge { .. } => "send less, or raise `max_body_bytes`",
            Self::MediaType { .. } => "send the header `Content-Type: application/json`",
            Self::Encoding { .. } => "send the body as it is, without compression",
            Self::SlowBody { .. } => "send the whole body without pausing",
            Self::OtherName { .. } => {
                "ask for localhost or 127.0.0.1, set `auth.public_url` to the name that it has, or use `auth.mode: token`"
            }
            Self::OtherPage { .. } => "let it call models with `cors_enabled` and `cors_origins`, or use `auth.mode: token`",
            Self::UnknownModel { .. } => "GET /v1/models lists what is served",
            Self::UnknownResponse { .. } => "it was deleted, was made by another token or project, or is older than what is kept",
            Self::UnknownPrevious { .. } => "send the whole conversation as `input` instead; responses with `store: false` are not kept",
            Self::NotBackground { .. } => "close its connection to end it; only responses with `background: true` can be cancelled",
            Self::LongConversation { .. } => "begin a new one with a summary of it as `input`, or raise `max_body_bytes`",
            Self::Background { .. } => "wait for some of them, or cancel them",
            Self::BackgroundFull { .. } => "ask again later, or without `background`",
            Self::Store(_) | Self::StoreSlow => "try again; if it stays so, look at the store",
            Self::NotHere { instead, .. } => instead,
            Self::NoModel => "add `model`, or start the server with `--default-model`",
            Self::NotServed { .. } => "choose another model; a deployment of llama-server serves embeddings with `embeddings: true`",
            Self::TooLong { .. } => "shorten the prompt, or raise `context` of the deployment",
            Self::Connect { .. } | Self::Broken { .. } => "try again; the engine's log says more",
            Self::ConnectTimeout { .. } => "try again, or raise `timeouts.connect` of the deployment",
            Self::FirstByteTimeout => "try again with a shorter prompt, or raise `timeouts.first_token` of the deployment",
            Self::IdleTimeout { .. } => "try again, or raise `timeouts.idle` of the deployment",
            Self::TotalTimeout => "ask for fewer tokens, or raise `timeouts.total` of the deployment",
            Self::Stopping => "ask again; it comes back, or another server takes over",
            Self::BodyLost { .. } | Self::Said(_) | Self::Unsendable { .. } | Self::Lost | Self::Metrics(_) => return None,
        };
        Some(text.to_owned())
    }
}
