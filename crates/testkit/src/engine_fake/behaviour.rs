//! What is different from a good engine.
//!
//! In: the variables that begin with `FAKE_ENGINE_`; a deployment's `env:` sets them. Out: a value.
//! Fails: on a name that is not known and on a value that cannot be read.
//!
//! | `FAKE_ENGINE_…` | what |
//! |---|---|
//! | `DEVICES` | path of the shared ledger; without it memory is not counted |
//! | `DIARY` | path of a file: when (microseconds of Unix time) which model's engine began, was ready, was told to end, ended |
//! | `MEMORY` | bytes to take; else what the file's header and the arguments ask for |
//! | `MEMORY_EXTRA` | bytes beyond what anybody could know of; they are taken last |
//! | `MEMORY_LATE` | its bytes come back so long after its end |
//! | `FILL` | `0`: it does not really fill the main memory that it takes |
//! | `OUT_OF_MEMORY` | `1`: its first ask for bytes is refused |
//! | `LOAD` | how long it loads |
//! | `LOAD_LINES` | lines that it logs meanwhile |
//! | `LOAD_GATE` | path of a file: its load does not end before that is there |
//! | `TOKENS` | length of an answer |
//! | `TOKENS_PER_SECOND` | pace of each answer; 0 for as fast as it goes |
//! | `FIRST_TOKEN` | time to the first token |
//! | `METRICS` | `llama` or `vllm` |
//! | `HANG_LOADING` | stops for ever at this part of its load, from 0 to 1 |
//! | `CRASH_LOADING` | ends at this part of its load |
//! | `CRASH_AT_TOKEN` | ends when it has made so many tokens in all |
//! | `DEAD_IDLE` | so long after it is ready its loop dies, though nobody calls: healthy, no token, no metrics |
//! | `DEAD_AFTER` | after so many calls it stays healthy, and its loop is dead: no token, no metrics |
//! | `CRASH_WAKING` | `1`: it ends when it is woken |
//! | `CRASH` | how it crashes: `abort`, or a status |
//! | `IGNORE_TERM` | `1`: only KILL ends it |
//! | `SLOW_END` | after TERM it takes so long |
//! | `LEAVE` | `group` or `session`: starts a process that stays behind |
//! | `LEAVE_AND_EXIT` | `1`: ends by itself when it has started that |
//! | `FAULTY_LIVES` | faults are played by the first so many lives of the model, as the ledger counts |

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base::ByteSize;
use base::clock::human;

use super::args::StayBehind;

/// How all of its variables begin.
const PREFIX: &str = "FAKE_ENGINE_";

/// What it does.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Behaviour {
    pub(super) key: Option<String>,
    pub(super) cuda: Option<Vec<String>>,
    pub(super) rocm: Option<Vec<String>>,
    pub(super) devices: Option<PathBuf>,
    pub(super) diary: Option<PathBuf>,
    pub(super) memory: Option<ByteSize>,
    pub(super) late: Duration,
    pub(super) is_filling: bool,
    pub(super) load: Duration,
    pub(super) load_lines: u32,
    pub(super) load_gate: Option<PathBuf>,
    pub(super) tokens: Option<u64>,
    pub(super) tokens_per_second: f64,
    pub(super) first_token: Duration,
    pub(super) vllm: bool,
    pub(super) faulty_lives: Option<u64>,
    pub(super) faults: Faults,
}

/// What it does badly.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(super) struct Faults {
    pub(super) memory_extra: ByteSize,
    pub(super) out_of_memory: bool,
    pub(super) hang_loading: Option<f64>,
    pub(super) crash_loading: Option<f64>,
    pub(super) crash_at_token: Option<u64>,
    pub(super) dead_after: Option<u64>,
    pub(super) dead_idle: Option<Duration>,
    pub(super) crash_waking: bool,
    pub(super) crash: Crash,
    pub(super) ignore_term: bool,
    pub(super) slow_end: Duration,
    pub(super) leave: Option<StayBehind>,
    pub(super) leave_and_exit: bool,
}

/// How it crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Crash {
    /// As an assertion of ggml does.
    #[default]
    Abort,
    /// With this status.
    Status(i32),
}

impl Behaviour {
    /// From the environment.
    pub(super) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, String> {
        let mut read = Self { load_lines: 10, is_filling: true, ..Self::default() };
        for (name, value) in variables {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            match (name, name.strip_prefix(PREFIX)) {
                ("LLAMA_API_KEY", _) => read.key = Some(value.to_owned()),
                ("CUDA_VISIBLE_DEVICES", _) => read.cuda = Some(list(value)),
                ("HIP_VISIBLE_DEVICES" | "ROCR_VISIBLE_DEVICES", _) => read.rocm = Some(list(value)),
                (_, Some(own)) => read.set(own, value).ok_or_else(|| format!("{name}: `{value}` is not understood"))?,
                _ => {}
            }
        }
        Ok(read)
    }

    /// The same without faults.
    pub(super) fn without_faults(self) -> Self {
        Self { faults: Faults::default(), ..self }
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "DEVICES" => self.devices = Some(value.into()),
            "DIARY" => self.diary = Some(value.into()),
            "MEMORY" => self.memory = Some(value.parse().ok()?),
            "MEMORY_LATE" => self.late = human::parse(value)?,
            "FILL" => self.is_filling = one_of(value, "0", "1")?,
            "LOAD" => self.load = human::parse(value)?,
            "LOAD_GATE" => self.load_gate = Some(value.into()),
            "LOAD_LINES" => self.load_lines = value.parse().ok()?,
            "TOKENS" => self.tokens = Some(value.parse().ok()?),
            "TOKENS_PER_SECOND" => self.tokens_per_second = value.parse().ok()?,
            "FIRST_TOKEN" => self.first_token = human::parse(value)?,
            "METRICS" => self.vllm = one_of(value, "llama", "vllm")?,
            "FAULTY_LIVES" => self.faulty_lives = Some(value.parse().ok()?),
            _ => self.faults.set(name, value)?,
        }
        Some(())
    }
}

impl Faults {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "MEMORY_EXTRA" => self.memory_extra = value.parse().ok()?,
            "OUT_OF_MEMORY" => self.out_of_memory = one_of(value, "0", "1")?,
            "HANG_LOADING" => self.hang_loading = Some(value.parse().ok()?),
            "CRASH_LOADING" => self.crash_loading = Some(value.parse().ok()?),
            "CRASH_AT_TOKEN" => self.crash_at_token = Some(value.parse().ok()?),
            "DEAD_AFTER" => self.dead_after = Some(value.parse().ok()?),
            "DEAD_IDLE" => self.dead_idle = Some(human::parse(value)?),
            "CRASH" if value == "abort" => self.crash = Crash::Abort,
            "CRASH" => self.crash = Crash::Status(value.parse().ok()?),
            "CRASH_WAKING" => self.crash_waking = one_of(value, "0", "1")?,
            "IGNORE_TERM" => self.ignore_term = one_of(value, "0", "1")?,
            "SLOW_END" => self.slow_end = human::parse(value)?,
            "LEAVE" => self.leave = Some(if one_of(value, "group", "session")? { StayBehind::Session } else { StayBehind::Group }),
            "LEAVE_AND_EXIT" => self.leave_and_exit = one_of(value, "0", "1")?,
            _ => return None,
        }
        Some(())
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// Whether it is the second of two words; none for any other.
fn one_of(value: &str, no: &str, yes: &str) -> Option<bool> {
    (value == no || value == yes).then(|| value == yes)
}
