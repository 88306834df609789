//! `keep_alive`: a duration, or `-1`, `never` or `forever` to keep the instance.

use std::time::Duration;

use base::clock::human;
use serde::{Deserialize, Deserializer, Serializer};

/// Prints `forever` for none.
pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(duration) => human::serialize(duration, serializer),
        None => serializer.serialize_str("forever"),
    }
}

/// Reads a duration, or a word for "keep it".
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Number(f64),
        Text(String),
    }
    let wrong = |what: String| serde::de::Error::custom(format!("`{what}` is not a keep-alive; write 5m, 0 or forever"));
    match Raw::deserialize(deserializer)? {
        Raw::Number(n) if n < 0.0 => Ok(None),
        Raw::Number(n) => Duration::try_from_secs_f64(n).ok().map(Some).ok_or_else(|| wrong(n.to_string())),
        Raw::Text(text) if matches!(text.as_str(), "forever" | "never" | "-1") => Ok(None),
        Raw::Text(text) => human::parse(&text).map(Some).ok_or_else(|| wrong(text)),
    }
}
