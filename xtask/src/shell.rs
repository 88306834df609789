//! Running other programs so that a failure says what failed and what it printed.
//!
//! In: a `Command`. Out: its success, its text, or its lines as they come. Fails: with the command
//! line, the exit status and the last lines of its output. Holds: a thread for each piped stream.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How many of a program's last lines stand in an error.
const LAST_LINES: usize = 25;
/// Lines that may wait between a reader and us.
const WAITING_LINES: usize = 256;
/// How often we look whether a program with a limit has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs it with our own terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs it unseen; gives both its outputs as text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    let mut all = String::from_utf8_lossy(&out.stdout).into_owned();
    all.push_str(&String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        bail!("{} ended with {}:\n{}", shown(command), out.status, last_lines(&all));
    }
    Ok(all)
}

/// Runs it unseen, for no longer than `limit`.
pub(crate) fn within(command: &mut Command, limit: Duration) -> Result<()> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().with_context(|| cannot_start(command))?;
    let begun = Instant::now();
    while begun.elapsed() < limit {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{} ended with {status}", shown(command)),
            None => thread::sleep(LOOK_EVERY),
        }
    }
    child.kill()?;
    child.wait()?;
    bail!("{} took longer than {limit:?}", shown(command))
}

/// Runs it and hands over each line of both its outputs; an unhappy end is an error with the last lines.
pub(crate) fn watched(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut last = VecDeque::with_capacity(LAST_LINES);
    let status = lines(command, |text| {
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(text.to_owned());
        line(text);
    })?;
    if !status.success() {
        let last: Vec<String> = last.into();
        bail!("{} ended with {status}:\n{}", shown(command), last.join("\n"));
    }
    Ok(())
}

/// Runs it, hands over each line of both its outputs, and tells how it ended.
pub(crate) fn lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let (send, receive) = sync_channel::<String>(WAITING_LINES);
    let readers = [child.stdout.take().map(|out| forward(out, send.clone())), child.stderr.take().map(|err| forward(err, send))];
    for text in receive {
        line(&text);
    }
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    Ok(child.wait()?)
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The end of a long text.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`; is it installed?", shown(command))
}

fn forward(stream: impl Read + Send + 'static, to: SyncSender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut raw = Vec::new();
        while reader.read_until(b'\n', &mut raw).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&raw).trim_end().to_owned();
            raw.clear();
            if to.send(text).is_err() {
                return;
            }
        }
    })
}

#[cfg(test)]
mod tests;
