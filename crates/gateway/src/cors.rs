//! Which pages of other sites may call: none, unless the config says so.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};

/// Cross-origin calls; off when there is none of this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins that may call; `*` for any.
    pub origins: Vec<String>,
    /// Methods that they may use; `*` for any.
    pub methods: Vec<String>,
    /// Headers that they may send; `*` for any.
    pub headers: Vec<String>,
}

impl Default for Cors {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self { origins: words(&["*"]), methods: words(&["GET", "POST", "OPTIONS"]), headers: words(&["*"]) }
    }
}

/// Headers of ours that a page may read.
const EXPOSED: [&str; 11] = [
    "x-request-id",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];
/// How long a browser may remember the answer.
const MAX_AGE: Duration = Duration::from_mins(5);

/// The layer, where cross-origin calls are allowed. What is not a header's text is left out.
pub(crate) fn layer(cors: Option<&Cors>) -> Option<CorsLayer> {
    let cors = cors?;
    let any = |words: &[String]| words.iter().any(|word| word == "*");
    let origins = if any(&cors.origins) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(cors.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let methods = if any(&cors.methods) {
        AllowMethods::any()
    } else {
        AllowMethods::list(cors.methods.iter().filter_map(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()))
    };
    let headers = if any(&cors.headers) {
        AllowHeaders::mirror_request() // `*` would not cover `Authorization`
    } else {
        AllowHeaders::list(cors.headers.iter().filter_map(|header| header.parse::<HeaderName>().ok()))
    };
    let exposed = ExposeHeaders::list(EXPOSED.map(HeaderName::from_static));
    Some(CorsLayer::new().allow_origin(origins).allow_methods(methods).allow_headers(headers).expose_headers(exposed).max_age(MAX_AGE))
}
