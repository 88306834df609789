//! How long does a caller want a model to stay loaded?

use std::time::Duration;

use serde_json::Value;

use crate::Error;
use crate::chat::bad;

/// What `keep_alive` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long after the last call; zero unloads it.
    For(Duration),
    /// Until somebody unloads it.
    Forever,
}

const HELP: &str = "must be seconds, or a duration such as `5m`; 0 unloads the model, -1 keeps it";

/// Seconds as a number, or a duration as Go writes it; anything below zero is for ever.
pub fn keep_alive(value: &Value) -> Result<Option<Keep>, Error> {
    let seconds = match value {
        Value::Null => return Ok(None),
        Value::Number(seconds) => seconds.as_f64(),
        Value::String(text) => go_duration(text.trim()),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds < 0.0 => Ok(Some(Keep::Forever)),
        // Longer than anybody waits is for ever, too.
        Some(seconds) => Ok(Some(Duration::try_from_secs_f64(seconds).map_or(Keep::Forever, Keep::For))),
        None => Err(bad("keep_alive", HELP)),
    }
}

/// `300ms`, `-1.5h`, `2h45m`; a bare number is seconds.
fn go_duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if let Ok(seconds) = rest.parse::<f64>() {
        return Some(sign * seconds);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    (!text.is_empty()).then_some(sign * total)
}
