//! Asleep when there is nothing to do, as llama-server with `--sleep-idle-seconds`.
//!
//! In: an engine that is loaded, calls. Out: its bytes come back while it sleeps; a call that needs the model waits until all of
//! them are taken again. Fails: as llama-server, which aborts when it cannot load its model again. Holds: what fills main memory,
//! while it is awake. From: llama.cpp (`server-queue.cpp`, `start_loop`): it sleeps when no task came for so long and none runs;
//! questions about its health, its load, its settings and its models are answered in sleep and wake nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Engine, load};

/// How often it looks whether there is anything to do.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether it sleeps, and since when it could.
#[derive(Debug)]
pub(super) struct Slumber {
    asleep: watch::Sender<bool>,
    called: Notify,
    last_task: Mutex<Instant>,
    filled: Mutex<Vec<Vec<u8>>>,
}

impl Slumber {
    pub(super) fn new() -> Self {
        Self { asleep: watch::Sender::new(false), called: Notify::new(), last_task: Mutex::new(Instant::now()), filled: Mutex::default() }
    }
    pub(super) fn is_asleep(&self) -> bool {
        *self.asleep.borrow()
    }
    /// There is something to do, or has been until now.
    pub(super) fn touch(&self) {
        *self.last_task.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
    fn idle(&self) -> Duration {
        self.last_task.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
    /// This is what it has in main memory.
    pub(super) fn keep(&self, filled: Vec<Vec<u8>>) {
        *self.filled.lock().unwrap_or_else(PoisonError::into_inner) = filled;
    }
    /// Waits until it is awake, and wakes it.
    pub(super) async fn wake(&self) {
        let mut asleep = self.asleep.subscribe();
        if *asleep.borrow_and_update() {
            self.called.notify_one();
            drop(asleep.wait_for(|asleep| !asleep).await); // an engine that ends answers nobody
        }
    }
}

/// Falls asleep and wakes for as long as it lives; for ever awake where it was not told to sleep.
pub(super) async fn by_turns(engine: Arc<Engine>) {
    let Some(after) = engine.args.sleep else { return std::future::pending().await };
    let slumber = &engine.slumber;
    slumber.touch();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let busy = engine.slots.busy() > 0 || engine.slots.deferred() > 0;
        if busy || slumber.idle() < after || engine.is_dead() {
            continue;
        }
        engine.log("I que    start_loop: entering sleeping state");
        slumber.asleep.send_replace(true);
        slumber.keep(Vec::new());
        if let Some(ledger) = &engine.ledger {
            drop(ledger.give_back()); // what cannot be given back is free when we are dead
        }
        engine.note("sleeps");
        slumber.called.notified().await;
        engine.log("I que    start_loop: exiting sleeping state");
        if engine.behaviour.faults.crash_waking {
            load::crash(&engine);
        }
        let Ok(filled) = load::load(&engine).await else {
            engine.log("server-context.cpp:1: failed to reload model after sleeping");
            load::crash(&engine);
        };
        slumber.keep(filled);
        engine.note("awake");
        slumber.touch();
        slumber.asleep.send_replace(false);
    }
}
