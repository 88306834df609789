//! How long does each of a thousand callers wait for the first byte, when they come all at once and the model is not loaded?
//!
//! In: a Penstock whose engine takes seconds to load. Out: times until the first byte, how many failed, and how often the engine
//! was started. Fails: when the crowd could not be sent. The crowd shares the machine's cores with Penstock and the engine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::stage::{MANY_FILES, Spread};
use crate::shell;

/// Who calls at once.
pub(super) const CALLERS: u32 = 1_000;
const MICROS_PER_MS: f64 = 1e3;

/// What was found; milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Herd {
    pub(super) first_p50: f64,
    pub(super) first_p99: f64,
    pub(super) whole_p99: f64,
    pub(super) failed: usize,
    pub(super) starts: usize,
}

/// What the rig says of its crowd; microseconds.
#[derive(Debug, Deserialize)]
struct Said {
    first: Spread,
    whole: Spread,
    failed: usize,
    first_error: Option<String>,
}

/// Sends the crowd; `starts` counts the engine's starts afterwards.
pub(super) fn send(rig: &Path, target: std::net::SocketAddr, model: &str, starts: impl Fn() -> Result<usize>) -> Result<Herd> {
    let text = shell::text(
        Command::new("sh").args(["-c", MANY_FILES, "sh"]).arg(rig).arg("herd").arg(target.to_string()).arg(model).arg(CALLERS.to_string()),
    )?;
    let said: Said = serde_json::from_str(&text).with_context(|| format!("the rig said: {text}"))?;
    if let Some(error) = &said.first_error {
        crate::say::note(&format!("{} callers failed, the first with: {error}", said.failed));
    }
    Ok(Herd {
        first_p50: said.first.p50 / MICROS_PER_MS,
        first_p99: said.first.p99 / MICROS_PER_MS,
        whole_p99: said.whole.p99 / MICROS_PER_MS,
        failed: said.failed,
        starts: starts()?,
    })
}
