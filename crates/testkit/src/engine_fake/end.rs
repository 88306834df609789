//! A life, and how it ends.
//!
//! In: an engine. Out: its status. Fails: when its socket is taken. Holds: its bytes of the ledger until it
//! gives them back, or is dead. From: llama-server takes TERM as everybody does while it loads;
//! afterwards it ends by it when nobody is answered, hangs when somebody is, and ends at once by a second.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use base::tasks;
use nix::unistd::setsid;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::args::{STAY_BEHIND, StayBehind};
use super::{Engine, load, serve, sleep, words};

/// The status after a second TERM, and of a door that does not open.
const FAILED: u8 = 1;

/// From its first breath to its last.
pub(super) async fn live(engine: Arc<Engine>) -> ExitCode {
    engine.note("begun");
    let faults = &engine.behaviour.faults;
    let deaf = if faults.ignore_term { signal(SignalKind::terminate()).ok() } else { None };
    if let Some(how) = faults.leave {
        if let Err(error) = leave(how) {
            engine.log(&format!("E nobody stays behind: {error}"));
            return ExitCode::from(FAILED);
        }
        if faults.leave_and_exit {
            return ExitCode::SUCCESS;
        }
    }
    engine.log("I srv  llama_server: initializing ...");
    let door = match serve::open(&engine) {
        Ok(door) => door,
        Err(error) => {
            let host = engine.args.host.display();
            engine.log(&format!("E srv         start: couldn't bind HTTP server socket, hostname: {host}, port: 8080: {error}"));
            engine.log("E srv  llama_server: exiting due to HTTP server error");
            return ExitCode::from(FAILED);
        }
    };
    match load::load(&engine).await {
        Ok(filled) => engine.slumber.keep(filled),
        Err(status) => return ExitCode::from(status),
    }
    let term = signal(SignalKind::terminate());
    engine.numbers.set_ready();
    let slumber = tasks::spawn("fake-engine-sleep", sleep::by_turns(Arc::clone(&engine)));
    engine.note("ready");
    engine.log("I srv  llama_server: model loaded");
    engine.log(&format!("I srv  llama_server: listening on unix://{}", engine.args.host.display()));
    let status = match (deaf, term) {
        (None, Ok(term)) => until_told(&engine, term).await,
        _ => std::future::pending().await,
    };
    drop((door, slumber));
    if let Some(ledger) = &engine.ledger {
        drop(ledger.give_back()); // what cannot be given back is free when we are dead
    }
    engine.note("ended");
    status
}

async fn until_told(engine: &Engine, mut term: Signal) -> ExitCode {
    term.recv().await;
    engine.note("told");
    engine.log("I srv    operator(): operator(): cleaning up before exit...");
    let end = async {
        if engine.slots.busy() > 0 {
            engine.numbers.ending.store(true, Relaxed);
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(engine.behaviour.faults.slow_end).await;
    };
    tokio::select! {
        () = end => ExitCode::SUCCESS,
        _ = term.recv() => {
            let _ = writeln!(io::stderr(), "Received second interrupt, terminating immediately.");
            ExitCode::from(FAILED)
        }
    }
}

/// Starts a process that stays behind; returns when it is where it shall be.
fn leave(how: StayBehind) -> io::Result<()> {
    let word = if how == StayBehind::Session { "session" } else { "group" };
    let mut child = Command::new(std::env::current_exe()?).args([STAY_BEHIND, word]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut first = [0];
    if let Some(mut said) = child.stdout.take() {
        io::Read::read_exact(&mut said, &mut first)?;
    }
    Ok(())
}

/// The one that stays: no signal but KILL ends it.
pub(super) fn stay_behind(how: StayBehind) -> ExitCode {
    if how == StayBehind::Session && setsid().is_err() {
        return ExitCode::from(FAILED);
    }
    words::log(Duration::ZERO, &format!("I stays behind, pid={}", std::process::id()));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return ExitCode::from(FAILED) };
    runtime.block_on(async {
        let _deaf = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let _ = io::stdout().write_all(b"x").and_then(|()| io::stdout().flush());
        std::future::pending().await
    })
}
