//! How to start and talk to each engine: pure functions from values to orders, probes and dialects.
//!
//! Life of an order: the fleet has a revision and a [`Place`] for one more instance; the [`Engine`]
//! says how much [`Memory`] that takes, writes the [`spec::Order`] for it, says how to [`Probe`]
//! whether it is up, how to read its load, and which [`spec::Dialect`] it speaks. Nothing here does
//! I/O or reads a clock, so every command line is a snapshot test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Secret};
use spec::{Binary, Deployment, Dialect, EngineKind, Grant, InstanceId, Order, Revision, Version};

mod devices;
mod echo;
mod error;
mod llama_server;
mod memory;
mod metrics;
mod openai;

pub use error::Error;
pub use memory::{Memory, Needs, arguments};

/// What runs.
pub trait Engine: Send + Sync {
    /// The order for one instance of this revision at this place.
    fn order(&self, revision: &Revision, place: &Place) -> Result<Order, Error>;
    /// What it will take, all of it in main memory.
    fn memory(&self, version: Option<&Version>, spec: &Deployment) -> Memory;
    /// What it will take, layer by layer, for whoever spreads it over several devices.
    fn needs(&self, version: Option<&Version>, spec: &Deployment) -> Needs;
    /// How to see that it is up.
    fn probe(&self) -> Probe;
    /// What its metrics page says of its load, and its page of slots, where that was asked for, of its KV cache.
    fn load(&self, metrics: &str, slots: Option<&str>) -> Option<Load>;
    /// How one talks to it, given what the deployment asked for.
    fn dialect(&self, spec: &Deployment) -> Dialect;
}

/// Where an instance is to run, and what it gets.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its id.
    pub instance: InstanceId,
    /// The fence of the order.
    pub fence: u64,
    /// A private folder for its socket.
    pub dir: PathBuf,
    /// Its program.
    pub binary: Binary,
    /// CPU threads that it may keep busy.
    pub threads: u32,
    /// The devices that it was given.
    pub grant: Grant,
    /// The key that it shall ask its callers for.
    pub key: Secret,
    /// How long it may live with nobody claiming it.
    pub orphan_ttl: Duration,
}

/// How to see that an engine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// What to GET, beside the base of its endpoint for remote engines.
    pub path: &'static str,
    /// The status of an engine that still loads.
    pub loading: Option<u16>,
    /// Whether a 401 or 403 also shows that it is up.
    pub key_may_be_refused: bool,
    /// What to GET for an answer of the loop that makes the tokens, which says its load; none where no path shows it.
    pub pulse: Option<&'static str>,
    /// What to GET for how full its KV cache is while calls run; none where no path shows it.
    pub slots: Option<&'static str>,
    /// How it sleeps, where it can.
    pub sleep: Option<Sleep>,
    /// Time for one answer.
    pub timeout: Duration,
}

/// How an engine sleeps that can: it keeps its process and gives back most of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// What to GET for a document of which `is_sleeping` says whether it does; answering wakes nobody.
    pub asks: &'static str,
    /// What to POST, and with which body: it is answered once the engine is awake, and makes no token.
    pub wakes: (&'static str, &'static str),
    /// What it keeps of a card while it sleeps, where the card's driver does not tell.
    pub keeps: ByteSize,
}

/// What an engine says of its load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Calls that it works on.
    pub running: u32,
    /// Calls that it holds back.
    pub waiting: u32,
    /// Steps of its loop since its start; they rise while it works, also while it reads a prompt.
    pub steps: u64,
    /// Percent of its KV cache that the calls which run have filled, where it tells.
    pub kv_use: Option<u32>,
}

/// The engine of this kind.
pub fn engine(kind: EngineKind) -> &'static dyn Engine {
    match kind {
        EngineKind::LlamaServer => &llama_server::LlamaServer,
        EngineKind::Openai => &openai::Openai,
        EngineKind::Echo => &echo::Echo,
    }
}

/// What every order has in common.
fn order(revision: &Revision, place: &Place, memory: Memory) -> Order {
    const GRACE: Duration = Duration::from_secs(5);
    const LOG: ByteSize = ByteSize::mib(1);
    Order {
        instance: place.instance.clone(),
        deployment: revision.spec.name.clone(),
        revision: revision.number,
        fence: place.fence,
        program: place.binary.program.clone(),
        build: place.binary.version.clone(),
        args: Vec::new(),
        env: BTreeMap::new(),
        endpoint: spec::Endpoint::Unix(place.dir.join("e.sock")),
        grace: GRACE,
        orphan_ttl: place.orphan_ttl,
        log_bytes: LOG,
        memory: memory.total(),
        slots: revision.spec.slots(),
        grant: place.grant.clone(),
    }
}

#[cfg(test)]
mod tests;
