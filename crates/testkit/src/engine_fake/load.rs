//! From a file to a model that answers.
//!
//! In: an engine. Out: true once it is loaded. Fails: with a status, after llama.cpp's words. Holds: the bytes
//! that it takes, until its end; waits for as long as it is told to.

use std::time::Duration;

use base::ByteSize;

use super::Engine;
use super::behaviour::Crash;
use super::memory::{self, Piece};
use super::words::{self, Part};
use crate::device_ledger::Taken;

/// The status of a server that could not load its model.
const NOT_LOADED: u8 = 1;

/// Loads it; gives the status to end with when that goes wrong.
pub(super) async fn load(engine: &Engine) -> Result<Vec<Vec<u8>>, u8> {
    engine.log(&format!("I srv    load_model: loading model '{}'", engine.args.model.display()));
    let mut filled = Vec::new();
    let pieces = pieces(engine)?;
    let (weights, rest): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|piece| piece.part == Part::Weights);
    for piece in weights {
        take(engine, piece, ByteSize(0))?;
        filled.push(fill(engine, piece));
    }
    read_file(engine).await;
    let last = rest.len().saturating_sub(1);
    for (index, piece) in rest.into_iter().enumerate() {
        let extra = if index == last { engine.behaviour.faults.memory_extra } else { ByteSize(0) };
        take(engine, piece, extra)?;
        filled.push(fill(engine, piece));
    }
    let (slots, context) = (engine.slots.all(), engine.args.context / u64::from(engine.slots.all()));
    engine.log(&format!("I srv    load_model: initializing, n_slots = {slots}, n_ctx_slot = {context}, kv_unified = 'false'"));
    Ok(filled)
}

/// What it takes of main memory is filled, so that the size of its process shows it.
fn fill(engine: &Engine, piece: &Piece) -> Vec<u8> {
    let is_main = engine.behaviour.is_filling && piece.name == memory::MAIN;
    vec![1; if is_main { usize::try_from(piece.bytes.0).unwrap_or(usize::MAX) } else { 0 }]
}

fn pieces(engine: &Engine) -> Result<Vec<Piece>, u8> {
    let Some(ledger) = &engine.ledger else { return Ok(Vec::new()) };
    let found = ledger.look().map_err(|error| base::chain(&error)).and_then(|book| memory::pieces(&engine.args, &engine.behaviour, &book));
    found.map_err(|error| {
        engine.log(&format!("E llama_model_load: error loading model: {error}"));
        not_loaded(engine)
    })
}

fn take(engine: &Engine, piece: &Piece, extra: ByteSize) -> Result<(), u8> {
    let Some(ledger) = &engine.ledger else { return Ok(()) };
    let what = format!("{} {:?}", engine.args.alias, piece.part);
    let asked = piece.bytes + extra;
    let taken = if engine.behaviour.faults.out_of_memory {
        Taken::No { free: ByteSize(0) }
    } else {
        ledger.take(&piece.device, asked, &what, engine.behaviour.late).map_err(|error| {
            engine.log(&format!("E the ledger cannot be used: {error}"));
            NOT_LOADED
        })?
    };
    if taken == Taken::Yes {
        return Ok(());
    }
    for line in words::out_of_memory(piece.part, &piece.name, asked, &engine.args.model) {
        engine.log(&line);
    }
    Err(NOT_LOADED)
}

fn not_loaded(engine: &Engine) -> u8 {
    for line in words::not_loaded(&engine.args.model.display().to_string(), Part::Weights) {
        engine.log(&line);
    }
    NOT_LOADED
}

/// The long part, in steps, each of which shows itself in the log.
async fn read_file(engine: &Engine) {
    let faults = &engine.behaviour.faults;
    let steps = engine.behaviour.load_lines.max(1);
    let step = engine.behaviour.load / steps;
    for number in 0..=steps {
        let part = f64::from(number) / f64::from(steps);
        if faults.crash_loading.is_some_and(|at| at <= part) {
            crash(engine);
        }
        if faults.hang_loading.is_some_and(|at| at <= part) {
            std::future::pending::<()>().await;
        }
        if number == steps {
            return at_gate(engine).await;
        }
        if engine.behaviour.load_lines > 0 && step > Duration::ZERO {
            engine.log(&format!("I srv    load_model: reading tensors, progress = {part:.2}"));
        }
        tokio::time::sleep(step).await;
    }
}

/// It may be held up until somebody opens the way.
async fn at_gate(engine: &Engine) {
    const LOOK_EVERY: Duration = Duration::from_millis(5);
    let Some(gate) = &engine.behaviour.load_gate else { return };
    while !gate.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends at once, as it is told to.
pub(super) fn crash(engine: &Engine) -> ! {
    match engine.behaviour.faults.crash {
        Crash::Abort => {
            engine.log(words::ASSERTION);
            std::process::abort()
        }
        Crash::Status(status) => {
            engine.log("E error: told to end");
            #[expect(clippy::exit, reason = "a crash does not unwind")]
            std::process::exit(status);
        }
    }
}
