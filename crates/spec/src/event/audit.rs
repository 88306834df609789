//! Who changed what, from where, and what was it before and after?
//!
//! In: nothing. Out: a part of an [`Event`](crate::Event) of kind `audit`. Fails: never. Holds no secret: before and after are
//! what the API shows of a thing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One change, as the operators' face saw it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Audit {
    /// What was asked: a method and the path.
    pub action: String,
    /// The verb of the authorization table.
    pub verb: String,
    /// The kind of thing that was changed.
    pub kind: String,
    /// Which one, where the answer or the path says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The id of the user, where a user did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The address that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The id of the request, as in its answer and in the log.
    pub request_id: String,
    /// How it was answered.
    pub status: u16,
    /// What it was before; none where it was not there, or a change is not of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is after; none where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}
