//! How calls are sent to an engine: by which HTTP, and how often.
//!
//! In: keys of a deployment. Out: plain values. Fails: on a version of HTTP that is not spoken.

use serde::{Deserialize, Serialize};

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum HttpVersion {
    /// HTTP/1.1: a connection for each call that runs.
    Http1,
    /// HTTP/2: many calls on each connection; without TLS by prior knowledge (h2c).
    Http2,
}

impl TryFrom<u8> for HttpVersion {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1 => Ok(Self::Http1),
            2 => Ok(Self::Http2),
            other => Err(format!("`{other}` is no version of HTTP that is spoken here; write 1 or 2")),
        }
    }
}

impl From<HttpVersion> for u8 {
    fn from(version: HttpVersion) -> Self {
        match version {
            HttpVersion::Http1 => 1,
            HttpVersion::Http2 => 2,
        }
    }
}

/// How often one call is tried, always before anything of an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Instances that are asked for one call, the first included; 1 for no retry.
    pub attempts: u32,
}

impl Retries {
    /// More than so many tries of one call help nobody.
    pub const MOST_ATTEMPTS: u32 = 10;
}

impl Default for Retries {
    fn default() -> Self {
        const ONE_MORE_AND_ANOTHER: u32 = 3; // a restart takes one, a race with it another
        Self { attempts: ONE_MORE_AND_ANOTHER }
    }
}
