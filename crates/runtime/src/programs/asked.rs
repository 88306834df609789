//! What a program says when it is asked for its version or its help.
//!
//! In: a file and a flag. Out: its words. Fails: when it cannot be run here, takes too long, or ends badly
//! without having said anything. Holds: at most [`MOST_WORDS`] bytes and [`PATIENCE`]; the program is killed
//! when nobody waits any more, with all that it has started: it may be a script around the engine.

use std::collections::BTreeSet;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use spec::DeviceKind;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Asked;
use crate::{Error, environment};

const PATIENCE: Duration = Duration::from_secs(10);
const MOST_WORDS: u64 = 1 << 20;
/// So much of what a program said fits into an error.
const QUOTED: usize = 300;

/// What was said on both outputs.
#[derive(Debug)]
pub(super) struct Words(String);

impl Words {
    /// Runs the program with this flag.
    pub(super) async fn of(asked: &Asked, before: &[&str], flag: &str) -> Result<Self, Error> {
        let broken = |words: String| Error::EngineBroken { engine: asked.engine, path: asked.path.clone(), words };
        let mut child = match spawn(asked, before, flag) {
            Ok(child) => child,
            Err(error) => return Err(broken(format!("it does not start: {error}"))),
        };
        let group = Group::of(&child);
        let said = timeout(PATIENCE, listen(&mut child)).await;
        if let Ok(Ok(_)) = &said {
            group.has_ended();
        }
        match said {
            Ok(Ok((status, words))) if status.success() && !words.trim().is_empty() => Ok(Self(words)),
            Ok(Ok((status, words))) => Err(broken(format!("`{flag}` ended with {status}: {}", quote(&words)))),
            Ok(Err(error)) => Err(broken(format!("`{flag}` cannot be read: {error}"))),
            Err(_) => Err(broken(format!("`{flag}` took longer than {PATIENCE:?}"))),
        }
    }

    /// The version: what follows `version:`, else the first line that holds anything.
    pub(super) fn version(&self) -> String {
        let lines = || self.0.lines().map(str::trim).filter(|line| !line.is_empty());
        let named = lines().find_map(|line| line.strip_prefix("version:"));
        named.or_else(|| lines().next()).unwrap_or_default().trim().to_owned()
    }

    /// The kinds of devices of which a list speaks: `  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)`.
    pub(super) fn kinds(&self) -> Vec<DeviceKind> {
        use DeviceKind::{Cuda, Gpu, Rocm, Unified};
        let names = self.0.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name);
        let backends = names.filter(|name| name.ends_with(|c: char| c.is_ascii_digit()) || *name == "Metal");
        let kinds = backends.flat_map(|name| match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "CUDA" => vec![Cuda, Unified],
            "ROCm" => vec![Rocm, Unified],
            "Metal" | "MTL" => vec![Unified],
            backend if !backend.is_empty() && backend.chars().all(char::is_alphanumeric) => vec![Gpu, Unified],
            _ => Vec::new(),
        });
        let mut kinds: Vec<DeviceKind> = kinds.collect();
        kinds.sort_unstable_by_key(|kind| kind.as_str());
        kinds.dedup();
        kinds
    }

    /// The long flags.
    pub(super) fn flags(&self) -> BTreeSet<String> {
        let is_flag = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let words = self.0.split(|c: char| !is_flag(c));
        let flags = words.filter(|word| word.strip_prefix("--").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())));
        flags.map(|flag| flag.trim_end_matches('-').to_owned()).collect()
    }
}

fn spawn(asked: &Asked, before: &[&str], flag: &str) -> io::Result<Child> {
    Command::new(&asked.path)
        .args(before)
        .arg(flag)
        .env_clear()
        .envs(environment::passed())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true) // and is waited for, so that nobody else gets its number before
        .spawn()
}

/// A program and all that it has started; dropped, they are killed.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw))
    }
    /// Its number may be another's by now.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = killpg(pid, Signal::SIGKILL); // it may have just ended
        }
    }
}

async fn listen(child: &mut Child) -> io::Result<(ExitStatus, String)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = tokio::try_join!(read(stdout), read(stderr))?;
    let status = child.wait().await?;
    Ok((status, format!("{}\n{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))))
}

/// Reads to the end, keeping no more than [`MOST_WORDS`]; the rest is read too, or the program would
/// wait for ever for somebody to read it.
async fn read(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut words = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(MOST_WORDS).read_to_end(&mut words).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(words)
}

fn quote(words: &str) -> String {
    let words = words.trim();
    if words.is_empty() { "it said nothing".to_owned() } else { words.chars().take(QUOTED).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_flags_are_found_among_much_else() {
        let said = Words(
            "load_backend: loaded\nversion: 0.5.0-dev (build 1, commit 0c1e570)\n\
             -t,    --threads N      number of threads (env: --not=real, LLAMA_ARG_THREADS)\n\
             --cache-ram, -cram N [default: 8192] see `--no-ui`; 1--2 --- --X a-b --kv_unified\n"
                .to_owned(),
        );
        assert_eq!(said.version(), "0.5.0-dev (build 1, commit 0c1e570)");
        let flags: Vec<_> = said.flags().into_iter().collect();
        assert_eq!(flags, ["--cache-ram", "--kv_unified", "--no-ui", "--not", "--threads"]);
    }

    #[test]
    fn the_devices_that_it_finds_tell_what_it_was_built_for() {
        let kinds = |said: &str| Words(said.to_owned()).kinds().iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
        assert_eq!(kinds("Available devices:\n"), [""; 0]);
        let said = "load_backend: x\nAvailable devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 1 MiB free)\n  CUDA1: x\n";
        assert_eq!(kinds(said), ["cuda", "unified"]);
        assert_eq!(kinds("Available devices:\n  Vulkan0: AMD (1 MiB)\n"), ["gpu", "unified"]);
    }

    #[test]
    fn a_version_without_a_name_is_the_first_line() {
        assert_eq!(Words("\n  1.2.3 \nmore\n".to_owned()).version(), "1.2.3");
    }
}
