//! A folder with a process runtime, and orders for shell scripts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::ByteSize;
use futures_util::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::process::{Config, ProcessRuntime, socket_dir};
use runtime::{LogsFrom, Runtime as _};
use spec::{Endpoint, Exit, InstanceId, Name, Order, Program, Seen, SeenState};
use tempfile::TempDir;

/// The keeper of this room.
pub(crate) const KEEP: &str = env!("CARGO_BIN_EXE_keep");
/// For anything that happens in its own time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Ends every keeper, and with it every engine, when the test is over, however it ends.
pub(crate) struct Stage {
    temp: Arc<TempDir>,
    pub(crate) runtime: Arc<ProcessRuntime>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let temp = Arc::new(tempfile::tempdir().unwrap());
        let runtime = open(&temp.path().join("instances"));
        Self { temp, runtime }
    }
    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("instances")
    }
    /// What a crash and a new start of Penstock do to the runtime.
    pub(crate) fn reopen(&mut self) {
        self.runtime = open(&self.dir());
    }
    pub(crate) fn order(&self, script: &str) -> Order {
        order(&self.dir(), &InstanceId::random(), 1, script)
    }
    pub(crate) async fn launch(&self, script: &str) -> Order {
        let order = self.order(script);
        self.runtime.launch(&order).await.unwrap();
        order
    }
    pub(crate) async fn seen(&self, id: &InstanceId) -> Option<Seen> {
        self.runtime.list().await.unwrap().into_iter().find(|seen| seen.order.instance == *id)
    }
    /// Waits, by the runtime's ticks alone, until the instance is so.
    pub(crate) async fn until<T>(&self, id: &InstanceId, what: &str, is: impl Fn(Option<&Seen>) -> Option<T>) -> T {
        let mut changes = self.runtime.changes();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            changes.mark_unchanged();
            let seen = self.seen(id).await;
            if let Some(found) = is(seen.as_ref()) {
                return found;
            }
            let ticked = tokio::time::timeout_at(deadline, changes.changed()).await;
            assert!(ticked.is_ok(), "no tick while waiting until it is {what}: {seen:?}");
        }
    }
    pub(crate) async fn exit(&self, id: &InstanceId) -> Exit {
        self.until(id, "ended", |seen| match &seen?.state {
            SeenState::Exited(exit) => Some(exit.clone()),
            _ => None,
        })
        .await
    }
    /// The log from its beginning, followed until it holds this text.
    pub(crate) async fn log_until(&self, id: &InstanceId, text: &str) -> String {
        let mut stream = self.runtime.logs(id, LogsFrom { tail: None, follow: true }).await.unwrap();
        let mut log = String::new();
        while !log.contains(text) {
            let piece = tokio::time::timeout(PATIENCE, stream.next()).await.expect("the log goes on");
            let Some(piece) = piece else { panic!("the log ended without `{text}`: {log}") };
            log.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        log
    }
    /// The keeper's process.
    pub(crate) fn keeper(&self, id: &InstanceId) -> Pid {
        fact(&self.dir().join(id.as_str()), "keeper").unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for folder in fs::read_dir(self.dir()).into_iter().flatten().flatten() {
            if let Some(keeper) = fact(&folder.path(), "keeper").filter(|keeper| is_keeper(*keeper)) {
                let _ = kill(keeper, Signal::SIGKILL);
            }
        }
    }
}

fn open(dir: &Path) -> Arc<ProcessRuntime> {
    ProcessRuntime::open(Config::new(dir, KEEP)).unwrap()
}

/// An order for a shell script that will not live longer than a minute unclaimed.
pub(crate) fn order(dir: &Path, id: &InstanceId, fence: u64, script: &str) -> Order {
    Order {
        instance: id.clone(),
        deployment: Name::parse("tiny").unwrap(),
        revision: 1,
        fence,
        program: Program::Path(PathBuf::from("/bin/sh")),
        build: String::new(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::new(),
        endpoint: Endpoint::Unix(socket_dir(dir, id).join("e.sock")),
        grace: GRACE,
        orphan_ttl: Duration::from_mins(1),
        log_bytes: ByteSize::mib(1),
        memory: ByteSize::mib(10),
        slots: 1,
        grant: spec::Grant::default(),
    }
}

fn fact(folder: &Path, key: &str) -> Option<Pid> {
    let facts: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("facts.json")).ok()?).ok()?;
    facts[key].as_i64().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw)
}

fn is_keeper(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "penstock-keep")
}

/// Whether a process is there; one that has ended and was not reaped counts as there.
pub(crate) fn exists(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// Whether a process runs; a zombie does not.
pub(crate) fn runs(pid: Pid) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

pub(crate) fn state(pid: Pid) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

/// Waits until something that nobody announces is so.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "it never became so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The number behind `word=` in a log.
pub(crate) fn pid_in(log: &str, word: &str) -> Pid {
    let rest = log.split(&format!("{word}=")).nth(1).expect("the word stands in the log");
    Pid::from_raw(rest.split_whitespace().next().unwrap().parse().unwrap())
}
