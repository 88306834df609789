//! How long is a turn of the fleet over 10,000 deployments and 1,000 instances, and how long does it take to publish one change?
//!
//! In: the site. Out: medians, in milliseconds. The micro bench `fleet` has a real store, board and owner of that size; criterion
//! measures it and leaves its estimates under `target/criterion`, where they are read. Fails: when the bench does, or its names are others.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::shell;
use crate::site::Site;

const NANOS_PER_MS: f64 = 1e6;

/// What was found; milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Turn {
    /// A whole turn in which nothing happens.
    pub(crate) idle: f64,
    /// All turns from a changed wish in the store to its being frozen, stored and shown, and an idle one.
    pub(crate) change: f64,
    /// The longest of these turns.
    pub(crate) longest: f64,
    /// Its parts: the plan when somebody waits for room.
    pub(crate) plan: f64,
    /// Reading every wish, as after a start.
    pub(crate) read_all: f64,
    /// Taking all of them into the world.
    pub(crate) take_in_all: f64,
    /// Seeing that none has changed.
    pub(crate) read_none: f64,
    /// One change on a board of that size: a new table, its swap, and the end of the old one.
    pub(crate) publish: f64,
}

/// Runs the micro bench.
pub(crate) fn measure(site: &Site, jobs: usize) -> Result<Turn> {
    shell::run(site.cargo().args(["bench", "--package", "bench", "--bench", "fleet", "--jobs", &jobs.to_string()]))?;
    let of = |name: &str| {
        let path = site.target().join("criterion/fleet").join(name).join("new/estimates.json");
        let text = fs::read_to_string(&path).with_context(|| format!("the micro bench has left no {}", path.display()))?;
        let estimates: Value = serde_json::from_str(&text)?;
        let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
        Ok::<_, anyhow::Error>(median.with_context(|| format!("no median stands in {}", path.display()))? / NANOS_PER_MS)
    };
    Ok(Turn {
        idle: of("turn_idle")?,
        change: of("turns_of_a_change")?,
        longest: of("longest_turn_of_a_change")?,
        plan: of("plan_when_one_needs_room")?,
        read_all: of("read_all_wishes")?,
        take_in_all: of("take_in_all_wishes")?,
        read_none: of("see_that_no_wish_has_changed")?,
        publish: of("publish_one_change")?,
    })
}
