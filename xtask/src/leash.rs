//! A program that cannot outlive us, however we end.
//!
//! In: a command and a folder that it works in. Out: its pid, whether it has ended, its log. Fails:
//! when the shell cannot be started. Holds: a small shell that is the program's parent. The shell
//! waits on a pipe whose other end only we hold; at a word from us, or when the pipe closes because
//! we failed, were interrupted or killed, it sends TERM by pid, waits, sends KILL, and removes the folder. No
//! signal handler is needed, and none could do as much. From: the dead man's handle of trains.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(30);
/// For the shell to say that it has started the program.
const START: Duration = Duration::from_secs(10);
const LOG: &str = "output.log";

/// `$1` is the folder, `$2` the log, `$3` the grace in tenths of a second; the rest is the program.
/// Descriptor 4 keeps the pipe open for the watcher, whose own input the shell would close. The
/// watcher is gone before the status is told, so that our last word reaches the right reader.
const KEEPER: &str = r#"
folder=$1 log=$2 tenths=$3; shift 3
"$@" >"$log" 2>&1 </dev/null 4<&- &
pid=$!
exec 4<&0
echo "$pid"
(
    read -r _ <&4
    kill -TERM "$pid"
    while kill -0 "$pid" && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
    kill -KILL "$pid"
) >/dev/null 2>&1 &
watcher=$!
trap '' PIPE
wait "$pid"
code=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
echo "$code"
read -r _ <&4
rm -rf -- "$folder"
exit "$code"
"#;

/// What to run.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [&'a str],
    /// Added to our environment, or all of it.
    pub(crate) environment: &'a [(&'a str, &'a Path)],
    /// Nothing of our environment is passed on.
    pub(crate) bare: bool,
    /// Its working folder; removed at the end.
    pub(crate) folder: &'a Path,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status; 128 and the signal when it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) last_lines: String,
}

/// A running program; dropping this ends it.
#[derive(Debug)]
pub(crate) struct Leash {
    keeper: Child,
    lines: Receiver<String>,
    log: PathBuf,
    pid: u32,
    grace: Duration,
}

impl Leash {
    /// Starts the program.
    pub(crate) fn start(order: &Order<'_>) -> Result<Self> {
        Self::start_with(order, GRACE)
    }

    fn start_with(order: &Order<'_>, grace: Duration) -> Result<Self> {
        let log = order.folder.join(LOG);
        let tenths = grace.as_millis() / 100;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "leash"]).arg(order.folder).arg(&log).arg(tenths.to_string());
        keeper.arg("env").args(order.bare.then_some("-i"));
        for (name, value) in order.environment {
            keeper.arg(format!("{name}={}", value.display()));
        }
        keeper.arg(order.program).args(order.arguments).current_dir(order.folder);
        // In a group of its own, so that Ctrl-C reaches us first and the shell through the pipe.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        // The shell tells its terminal when a child is killed; the status says it too.
        keeper.stderr(Stdio::null());
        let mut keeper = keeper.spawn().context("cannot start `sh`")?;
        let out = keeper.stdout.take().context("the shell has no output")?;
        let (send, lines) = sync_channel(2);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let first = lines.recv_timeout(START).context("the shell did not start the program")?;
        let pid = first.parse().with_context(|| format!("the shell named no pid but `{first}`"))?;
        Ok(Self { keeper, lines, log, pid, grace })
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits a little; refuses to go on when the program has ended, with the end of its log.
    pub(crate) fn expect_alive(&self, wait: Duration) -> Result<()> {
        match self.lines.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(code) => bail!("it ended with status {code}; its last lines:\n{}", self.last_lines()),
            Err(RecvTimeoutError::Disconnected) => bail!("its shell ended; its last lines:\n{}", self.last_lines()),
        }
    }

    /// The end of what the program has printed.
    pub(crate) fn last_lines(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        shell::last_lines(&String::from_utf8_lossy(&log))
    }

    /// Ends the program and waits until it is gone.
    pub(crate) fn stop(mut self) -> Result<Ended> {
        self.end().context("cannot wait for the end of the program")
    }

    fn end(&mut self) -> io::Result<Ended> {
        let mut last_lines = String::new();
        if let Some(mut pipe) = self.keeper.stdin.take() {
            // A shell that is already gone needs no word from us.
            let _ = pipe.write_all(b"stop\n");
            let _ = self.lines.recv_timeout(self.grace + START);
            last_lines = self.last_lines();
        }
        Ok(Ended { code: self.keeper.wait()?.code(), last_lines })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Processes that have the folder in their command line; none where there is no `/proc`.
pub(crate) fn processes_in(folder: &Path) -> Vec<u32> {
    let needle = folder.to_string_lossy().into_owned();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let names_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&needle)
    };
    let ours = std::process::id();
    pids.filter(|pid| *pid != ours).filter(names_it).collect()
}

#[cfg(test)]
mod tests;
