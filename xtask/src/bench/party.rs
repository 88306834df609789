//! Who takes part: nobody in between, a tunnel, nginx, Penstock in two ways, other gateways.
//!
//! In: the stage. Out: parties that answer, each on the gateways' core. Fails: when one that must be there does not
//! start; another gateway that cannot be had is absent, with the reason. Holds: each on a leash.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::figures::Entrant;
use super::stage::Stage;
use super::{Peers, meter, nginx, peers, penstock};
use crate::http::{Call, send};
use crate::leash::Leash;
use crate::say;
use crate::scratch::Scratch;

/// The upstream's model: whom nobody stands before is asked for it.
pub(super) const UPSTREAM_MODEL: &str = "mock-model";
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MS_PER_SEC: f64 = 1e3;

/// A kind of party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody in between.
    Direct,
    /// Bytes from one socket to another: what no gateway can be faster than.
    Tunnel,
    Nginx,
    /// Open, no limits, no access log.
    Bare,
    /// Token, limits, usage, access log.
    Full,
    Sglang,
    Portkey,
    LiteLlm,
}

/// One that is running.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) kind: Kind,
    /// Whom the clients call.
    pub(super) target: SocketAddr,
    /// What they send besides.
    pub(super) headers: Vec<String>,
    pub(super) model: String,
    pub(super) about: Entrant,
    /// Its processes; none for nobody.
    pub(super) family: Vec<u32>,
    _leash: Option<Leash>,
    _folder: Option<Scratch>,
}

/// A started program, before it answers.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) leash: Leash,
    pub(super) folder: Scratch,
    pub(super) ready: Duration,
    pub(super) target: SocketAddr,
    pub(super) version: String,
    pub(super) headers: Vec<String>,
    pub(super) model: String,
}

impl Kind {
    /// How people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
            Self::Nginx => "nginx",
            Self::Bare => "Penstock, bare",
            Self::Full => "Penstock, full",
            Self::Sglang => "SGLang router",
            Self::Portkey => "Portkey",
            Self::LiteLlm => "LiteLLM",
        }
    }

    /// Who is asked to take part, in the order in which they start. Memory when idle is a fair share, so the one that
    /// the goals are about starts before another has the same program in memory.
    pub(super) fn chosen(peers: Peers) -> &'static [Self] {
        const ALL: [Kind; 8] =
            [Kind::Direct, Kind::Tunnel, Kind::Nginx, Kind::Full, Kind::Bare, Kind::Sglang, Kind::Portkey, Kind::LiteLlm];
        match peers {
            Peers::All => &ALL,
            Peers::Nginx => &ALL[..5],
            Peers::None => &[Self::Direct, Self::Tunnel, Self::Full, Self::Bare],
        }
    }

    /// A benchmark without it says nothing.
    pub(super) fn is_needed(self) -> bool {
        matches!(self, Self::Direct | Self::Tunnel | Self::Bare | Self::Full)
    }

    /// Takes part where thousands of connections are open; the slow ones would only fail.
    pub(super) fn is_fast(self) -> bool {
        !matches!(self, Self::Portkey | Self::LiteLlm)
    }

    /// Starts it and waits until it answers a call.
    pub(super) fn start(self, stage: &Stage) -> Result<Party> {
        let started = match self {
            Self::Direct => return Ok(direct(stage)),
            Self::Tunnel => stage.tunnel(),
            Self::Nginx => nginx::start(stage),
            Self::Bare => penstock::start(stage, false),
            Self::Full => penstock::start(stage, true),
            Self::Sglang => peers::sglang(stage),
            Self::Portkey => peers::portkey(stage),
            Self::LiteLlm => peers::litellm(stage),
        };
        let started = started.with_context(|| format!("{} did not start", self.name()))?;
        let family = meter::family(started.leash.pid());
        let about = Entrant {
            name: self.name().to_owned(),
            version: started.version,
            started_ms: started.ready.as_secs_f64() * MS_PER_SEC,
            idle_kb: meter::share_kb(&family),
        };
        let Started { leash, folder, target, headers, model, .. } = started;
        Ok(Party { kind: self, target, headers, model, about, family, _leash: Some(leash), _folder: Some(folder) })
    }
}

fn direct(stage: &Stage) -> Party {
    let about = Entrant { name: Kind::Direct.name().to_owned(), version: String::new(), started_ms: 0.0, idle_kb: 0.0 };
    let (target, model) = (stage.upstream, UPSTREAM_MODEL.to_owned());
    Party { kind: Kind::Direct, target, headers: Vec::new(), model, about, family: Vec::new(), _leash: None, _folder: None }
}

/// Starts all that were asked for; who cannot be had is named with the reason.
pub(super) fn gather(stage: &Stage, kinds: impl Iterator<Item = Kind>, absent: &mut Vec<String>) -> Result<Vec<Party>> {
    let mut here = Vec::new();
    for kind in kinds {
        match kind.start(stage) {
            Ok(party) => {
                say::note(&format!("{} {}", kind.name(), party.about.version));
                here.push(party);
            }
            Err(error) if kind.is_needed() => return Err(error),
            Err(error) => {
                let why = format!("{error:#}");
                let why = format!("{}: {}", kind.name(), why.lines().next().unwrap_or_default());
                say::note(&format!("without {why}"));
                absent.push(why);
            }
        }
    }
    Ok(here)
}

/// A port that was free a moment ago, for programs that do not take one from the system.
pub(super) fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}

/// Waits until `path` is answered with 200.
pub(super) fn wait(leash: &Leash, target: SocketAddr, path: &str, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut last = String::from("does not listen");
    while begun.elapsed() < limit {
        leash.expect_alive(LOOK_EVERY)?;
        match send(target, Call { path, token: None, body: None }) {
            Ok(reply) if reply.status == 200 => return Ok(()),
            Ok(reply) => last = format!("{path} says {}", reply.status),
            Err(error) => last = format!("{error:#}"),
        }
    }
    bail!("after {}: {last}; its last lines:\n{}", say::took(limit), leash.last_lines())
}

/// Writes a file that a party reads at its start.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}
