//! An engine that tells the truth: it can stand in llama-server's place for the real process runtime.
//!
//! Life of a fake engine: its command line is llama-server's ([`args`]), what is different from a good
//! engine stands in its environment ([`behaviour`]); it listens at once and answers that it loads, while
//! it takes its bytes from the shared ledger, part by part ([`load`], [`memory`]), in llama.cpp's own words
//! ([`words`]); then it answers calls ([`serve`]), each in a slot ([`slots`]), a token at a time ([`answer`]),
//! and counts them ([`metrics`]); when nobody calls it may sleep ([`sleep`]); TERM ends it as it ends llama-server ([`end`]).
//!
//! In: arguments and environment. Out: a process that ends with llama-server's statuses. Fails: with 2 and
//! a word when its environment holds something that it does not understand, for a test with a fault
//! that is not played cannot fail. Holds: what the ledger says.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::device_ledger::DeviceLedger;

mod end;
mod serve;

mod answer;
mod ask;

mod sleep;

mod load;
mod memory;

mod metrics;
mod slots;

mod args;
mod behaviour;
mod words;

use args::{Args, Asked};
use behaviour::Behaviour;
use metrics::Numbers;
use sleep::Slumber;
use slots::Slots;

/// An argument or a variable that is not understood.
const MISUSED: u8 = 2;

/// What all parts of one engine share.
#[derive(Debug)]
struct Engine {
    args: Args,
    behaviour: Behaviour,
    ledger: Option<DeviceLedger>,
    numbers: Numbers,
    slots: Slots,
    slumber: Slumber,
}

/// The whole program.
pub fn main(args: impl IntoIterator<Item = OsString>, variables: impl IntoIterator<Item = (OsString, OsString)>) -> ExitCode {
    let args = match Args::read(args) {
        Ok(Asked::Version) => return say(words::VERSION, 0),
        Ok(Asked::Help) => return say(&args::help(), 0),
        Ok(Asked::StayBehind(how)) => return end::stay_behind(how),
        Ok(Asked::Serve(args)) => *args,
        Err(error) => return say(&error, 1),
    };
    let behaviour = match Behaviour::read(variables) {
        Ok(behaviour) => behaviour,
        Err(error) => return say(&format!("fake-engine: {error}\n"), MISUSED),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(&format!("fake-engine: {error}\n"), 1),
    };
    let engine = Engine::new(args, behaviour);
    runtime.block_on(async move { end::live(Arc::new(engine)).await })
}

impl Engine {
    fn new(args: Args, behaviour: Behaviour) -> Self {
        let ledger = behaviour.devices.as_ref().map(DeviceLedger::at);
        let slots = Slots::new(args.parallel);
        let engine = Self { args, behaviour, ledger, numbers: Numbers::new(), slots, slumber: Slumber::new() };
        engine.choose_faults()
    }

    /// Faults may be meant for the first lives of a model only.
    fn choose_faults(mut self) -> Self {
        let life = self.ledger.as_ref().and_then(|ledger| ledger.enter(&self.args.alias).ok()).unwrap_or(1);
        if self.behaviour.faulty_lives.is_some_and(|lives| life > lives) {
            self.behaviour = self.behaviour.without_faults();
        }
        self
    }

    /// Its loop makes no step any more.
    fn is_dead(&self) -> bool {
        let idle = self.behaviour.faults.dead_idle;
        self.numbers.dead.load(Relaxed) || idle.is_some_and(|after| self.numbers.ready_for().is_some_and(|time| time >= after))
    }

    fn log(&self, line: &str) {
        words::log(self.numbers.age(), line);
    }

    /// One line in the diary, whole whoever else writes.
    fn note(&self, what: &str) {
        let Some(path) = &self.behaviour.diary else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("{} {} {what}\n", now.as_micros(), self.args.alias);
        let written = std::fs::File::options().create(true).append(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            self.log(&format!("E the diary cannot be written: {error}"));
        }
    }
}

fn say(text: &str, code: u8) -> ExitCode {
    let _ = std::io::stdout().lock().write_all(text.as_bytes()); // whoever asked may have left
    ExitCode::from(code)
}

#[cfg(test)]
mod tests;
