//! How does an error read on Anthropic's wire?
//!
//! In: a status and a message. Out: `{"type":"error","error":{"type","message"},"request_id"}`. The type follows the
//! status, as Anthropic documents it; 529 is theirs for "overloaded".

use bytes::Bytes;
use serde_json::{Value, json};

use super::event;

/// What is shown of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The status; it decides the type.
    pub status: u16,
    /// For people.
    pub message: String,
}

impl Shown {
    fn kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }

    fn to_json(&self, request_id: Option<&str>) -> Value {
        let mut body = json!({ "type": "error", "error": { "type": self.kind(), "message": self.message } });
        if let Some(id) = request_id {
            body["request_id"] = id.into();
        }
        body
    }
}

/// The body of an answer that never began.
pub fn error_body(shown: &Shown, request_id: &str) -> Bytes {
    shown.to_json(Some(request_id)).to_string().into()
}

/// The last event of a stream that broke.
pub fn error_event(shown: &Shown) -> Bytes {
    event("error", &shown.to_json(None))
}
