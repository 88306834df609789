//! How long does it take until another model has the memory of one and answers?
//!
//! In: the real engine. Out: times of calls that go to two models in turn, with memory for one: of Penstock, of the engine's own router; and what the engine
//! alone takes to load, to end and to answer. Fails: when a part does not start.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{MODELS, MS_PER_SEC, START, call, copy, penstock};
use crate::bench::figures::median;
use crate::bench::party::{free_port, wait};
use crate::http::{Call, send};
use crate::leash::{Leash, Order};
use crate::scratch::Scratch;
use crate::site::Site;

/// More than one and less than two of them fit.
const ROOM_FOR: f64 = 1.3;

/// Its load, its end and a call, in milliseconds; medians of some lives.
pub(super) fn alone(site: &Site, real: &Path) -> Result<(f64, f64, f64)> {
    const LIVES: usize = 9;
    let (mut loads, mut ends, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let model = site.tiny_model().display().to_string();
    for _ in 0..LIVES {
        let folder = Scratch::new("engine")?;
        let address = free_port()?;
        let port = address.port().to_string();
        let arguments = ["--model", &model, "--port", &port, "--parallel", "1", "--cache-ram", "0", "--offline"];
        let begun = Instant::now();
        let leash = Leash::start(&Order { program: real, arguments: &arguments, environment: &[], bare: false, folder: folder.path() })?;
        wait(&leash, address, "/health", START)?;
        loads.push(begun.elapsed().as_secs_f64() * MS_PER_SEC);
        calls.push(call(address, "tiny")?);
        let begun = Instant::now();
        leash.stop()?;
        ends.push(begun.elapsed().as_secs_f64() * MS_PER_SEC);
    }
    Ok((median(&loads), median(&ends), median(&calls)))
}

pub(super) fn of_penstock(site: &Site, binary: &Path, real: &Path, swaps: u32) -> Result<Vec<f64>> {
    let server = penstock(site, binary, real, &json!({}))?;
    call(server.address, MODELS[0]).with_context(|| server.leash.last_lines())?;
    let text = send(server.address, Call { path: "/api/v1/instances", token: None, body: None })?.rest()?;
    server.leash.stop()?;
    let shown: Value = serde_json::from_str(&text)?;
    let memory = shown.pointer("/items/0/reserved").and_then(Value::as_f64).with_context(|| format!("no memory is told in {text}"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of bytes")]
    let budget = (memory * ROOM_FOR) as u64;
    let server = penstock(site, binary, real, &json!({ "budget": budget }))?;
    let times = in_turn(server.address, swaps).with_context(|| server.leash.last_lines())?;
    server.leash.stop()?;
    Ok(times)
}

pub(super) fn of_router(site: &Site, real: &Path, swaps: u32) -> Result<Vec<f64>> {
    let folder = Scratch::new("router")?;
    let models = folder.path().join("models");
    fs::create_dir(&models)?;
    for name in MODELS {
        copy(site, &models, name)?;
    }
    let address = free_port()?;
    let (port, models) = (address.port().to_string(), models.display().to_string());
    let arguments = ["--models-dir", &models, "--models-max", "1", "--port", &port, "--parallel", "1", "--cache-ram", "0", "--offline"];
    let leash = Leash::start(&Order { program: real, arguments: &arguments, environment: &[], bare: false, folder: folder.path() })?;
    wait(&leash, address, "/health", START)?;
    let times = in_turn(address, swaps).with_context(|| leash.last_lines())?;
    leash.stop()?;
    Ok(times)
}

/// The first call loads the first one; each one after it is a swap.
fn in_turn(address: SocketAddr, swaps: u32) -> Result<Vec<f64>> {
    call(address, MODELS[0])?;
    (1..=swaps).map(|number| call(address, MODELS[usize::from(number % 2 == 1)])).collect()
}
