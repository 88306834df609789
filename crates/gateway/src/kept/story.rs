//! What is kept of one response.
//!
//! In: the response and the conversation before it. Out: one text, and both again. Fails: in a text that is none of ours.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::KeptResponse;
use wire::scan;

use crate::error::Error;

/// As it is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Story {
    /// The response object.
    pub(crate) response: Value,
    /// The items of the conversation before its output.
    pub(crate) items: Vec<Value>,
    /// The first of them that came with the response itself.
    pub(crate) own: usize,
}

/// As it is written; the items have been.
#[derive(Serialize)]
pub(super) struct Telling<'a> {
    pub(super) response: &'a Value,
    pub(super) items: &'a RawValue,
    pub(super) own: usize,
}

impl Story {
    pub(crate) fn read(told: &KeptResponse) -> Result<Self, Error> {
        serde_json::from_str(&told.body).map_err(|_unreadable| super::unknown(&told.id))
    }

    /// The conversation that another response goes on with.
    pub(crate) fn conversation(self) -> Vec<Value> {
        let mut items = self.items;
        if let Value::Object(mut response) = self.response
            && let Some(Value::Array(output)) = response.remove("output")
        {
            items.extend(output);
        }
        items
    }

    /// Nobody makes it any more: what has not ended never will.
    pub(super) fn settle(&mut self) {
        if ["queued", "in_progress"].iter().any(|status| self.response["status"] == *status) {
            self.response["status"] = "failed".into();
            self.response["error"] = json!({ "code": "server_error", "message": "the server was restarted in the meantime; ask again" });
        }
    }
}

/// What [`Story::conversation`] takes as JSON, in bytes.
pub(crate) fn conversation_bytes(told: &KeptResponse) -> usize {
    let Ok(scan) = scan::object(told.body.as_bytes()) else { return told.body.len() };
    let output = scan.object("response").and_then(|response| response.value("output")).map_or(0, str::len);
    scan.value("items").map_or(0, str::len) + output
}
