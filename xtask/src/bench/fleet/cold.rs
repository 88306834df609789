//! How soon does an engine begin, and how soon is it seen that it is ready?
//!
//! In: a Penstock whose engine writes down when it began and when it was ready. Out: times from a call to the one, and from the other to the end of the
//! answer, which this engine makes at once. Fails: when a part does not start or does not end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::{LOOK_EVERY, MODELS, START, call, penstock};
use crate::bench::herd::{self, CALLERS, Herd};
use crate::http::{Call, send};
use crate::scratch::Scratch;
use crate::site::Site;

const MICROS_PER_MS: f64 = 1e3;

/// What each start has taken of Penstock; milliseconds.
pub(super) struct Starts {
    /// From the call to the first line of the engine.
    pub(super) spawn: Vec<f64>,
    /// From the engine's being ready to the end of the answer.
    pub(super) seen: Vec<f64>,
}

/// So many starts, one after the other, of an engine that loads for so long.
pub(super) fn starts(site: &Site, (binary, fake): (&Path, &Path), load: &str, starts: u32) -> Result<Starts> {
    let notes = Scratch::new("diary")?;
    let diary = notes.path().join("diary");
    let env = json!({ "FAKE_ENGINE_DIARY": diary, "FAKE_ENGINE_LOAD": load, "FAKE_ENGINE_TOKENS": "1" });
    let server = penstock(site, binary, fake, &json!({ "env": env }))?;
    let (mut spawn, mut seen) = (Vec::new(), Vec::new());
    for number in 0..starts {
        let model = MODELS[usize::from(number % 2 == 1)];
        let _ = fs::remove_file(&diary); // there is none before the first start
        let asked = now();
        call(server.address, model).with_context(|| server.leash.last_lines())?;
        let answered = now();
        let times = read(&diary)?;
        spawn.push((at(&times, "begun")? - asked) / MICROS_PER_MS);
        seen.push((answered - at(&times, "ready")?) / MICROS_PER_MS);
        let path = format!("/api/v1/deployments/{model}/unload");
        send(server.address, Call { path: &path, token: None, body: Some("{}") })?.rest()?;
        let begun = Instant::now();
        while at(&read(&diary)?, "ended").is_err() {
            if begun.elapsed() > START {
                bail!("`{model}` was not unloaded");
            }
            server.leash.expect_alive(LOOK_EVERY)?;
        }
    }
    server.leash.stop()?;
    Ok(Starts { spawn, seen })
}

/// A thousand callers while the engine loads.
pub(super) fn crowd(site: &Site, (binary, fake): (&Path, &Path), load: &str) -> Result<Herd> {
    let notes = Scratch::new("diary")?;
    let diary = notes.path().join("diary");
    let env = json!({ "FAKE_ENGINE_DIARY": diary, "FAKE_ENGINE_LOAD": load, "FAKE_ENGINE_TOKENS": "1" });
    let server = penstock(site, binary, fake, &json!({ "env": env, "max_queue": CALLERS }))?;
    let rig = site.target().join("release/penstock-bench");
    let starts = || Ok(fs::read_to_string(&diary)?.lines().filter(|line| line.split(' ').nth(2) == Some("begun")).count());
    let herd = herd::send(&rig, server.address, MODELS[0], starts).with_context(|| server.leash.last_lines())?;
    server.leash.stop()?;
    Ok(herd)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of today have 51 bits")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as f64
}

/// What the engine wrote down, by word.
fn read(diary: &Path) -> Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(diary).context("the engine wrote nothing down")?;
    let words = |line: &str| {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        Some((words.nth(1)?.to_owned(), at))
    };
    Ok(text.lines().filter_map(words).collect())
}

fn at(times: &BTreeMap<String, f64>, word: &str) -> Result<f64> {
    times.get(word).copied().with_context(|| format!("the engine has not written down when it {word}"))
}
