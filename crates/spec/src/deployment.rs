//! The wish: this model, on this engine and runtime, so many replicas, within these limits.
//!
//! In: an entry of the config's `deployments`, or the body of `POST /api/v1/deployments`; both are
//! this struct. Out: [`Deployment::check`] says all that is wrong. A [`Revision`] is a wish frozen
//! together with the version of the model that it resolved to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::Timestamp;
use base::clock::human;
use serde::{Deserialize, Serialize};

mod arguments;
mod check;
mod context;
mod environment;
pub mod keep_alive;
mod key;
mod renewal;
mod rollout;
mod scaling;
mod sending;

pub use key::KeyFrom;
pub use rollout::{Canary, RevisionStatus, Rollout, RolloutPhase, RolloutStatus, Strategy};
pub use scaling::{Day, Hour, Targets, Window};
pub use sending::{HttpVersion, Retries};

use crate::budget::Budget;
use crate::engine::{CacheType, EngineKind, RuntimeKind};
use crate::identity::Limits;
use crate::model::Version;
use crate::name::Name;
use crate::prices::Prices;
use crate::route::{Affinity, WhenFull};
use crate::source::Source;

/// What one person wants served under one public model name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The public model name that clients send.
    pub name: Name,
    /// The project that it belongs to: who has a role within that may do with it what the role says, and it counts for the project's quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Where the model comes from; not for remote engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Source>,
    /// What runs. When it is not given: `openai` if `url` is set, else `llama-server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// Where it runs; by default where the engine usually runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// The steps from wish to service: `opensourcellm`, `remote`, or one from the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Context length of one call, in tokens; the model's own when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Calls that one instance serves at once (slots): 1 for an engine of ours, 256 for a remote one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
    /// CPU threads of one instance; one for each core of the machine at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Layers to put on the GPU; all when not given and a GPU is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_layers: Option<u32>,
    /// How keys and values of the context are stored: `f32`, `f16`, `bf16`, `q8_0`, `q5_1`, `q5_0`, `q4_1`, `q4_0` or `iq4_nl`; `f16`
    /// when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_type: Option<CacheType>,
    /// Whether the instance also serves embeddings.
    #[serde(default)]
    pub embeddings: bool,
    /// How many instances, and for how long without callers.
    #[serde(default)]
    pub replicas: Replicas,
    /// Keeps the instance loaded whatever its keep-alive says.
    #[serde(default)]
    pub pinned: bool,
    /// Callers that may wait in line for a slot; one more is answered 429.
    #[serde(default = "default_max_queue")]
    pub max_queue: u32,
    /// Calls that all instances together serve at once; what their slots allow when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// What happens to a call that finds every slot taken.
    #[serde(default)]
    pub when_full: WhenFull,
    /// Deployments or routes that are asked, in this order, when this one cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Name>,
    /// What keeps related calls on one of several instances.
    #[serde(default)]
    pub affinity: Affinity,
    /// At most so many percent of the instances are passed over for failing or being slow; 0 for none.
    #[serde(default = "default_max_ejected")]
    pub max_ejected: u32,
    /// Time limits of a call.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How often a call is tried before anything of an answer has come.
    #[serde(default)]
    pub retries: Retries,
    /// How instances of the revision before make way when the wish changes.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
    /// How much all of its callers together may use at a time.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// How much they may use within an hour, a day, a month.
    #[serde(default, skip_serializing_if = "Budget::is_none")]
    pub budget: Budget,
    /// What a call costs.
    #[serde(default, skip_serializing_if = "Prices::is_none")]
    pub prices: Prices,
    /// Base URL of a remote engine, with its `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP that the remote engine is spoken to by: 1, or 2 (h2c where its URL is plain `http`). When it is not given: what
    /// an `https` server prefers, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_version: Option<HttpVersion>,
    /// Name of the environment variable with the remote engine's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The file with it. Only the config may name one: who writes it may read every file of this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Name of the secret with it, as `penstock secret set` keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret: Option<Name>,
    /// Model name to send to the remote engine; the deployment's name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// More arguments for the engine, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// More environment for the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn default_max_queue() -> u32 {
    512
}

/// Half: with more out of service, what is wrong is probably not with the instances.
fn default_max_ejected() -> u32 {
    50
}

/// How many instances there may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replicas {
    /// Always at least so many; 0 loads on the first call.
    pub min: u32,
    /// Never more than so many.
    pub max: u32,
    /// How long an instance above `min` stays without callers; `None` keeps it.
    #[serde(with = "keep_alive")]
    pub keep_alive: Option<Duration>,
    /// How long an instance stays awake without callers, where its engine can sleep: it keeps its process and gives back most of its
    /// memory. `None` never sleeps.
    #[serde(with = "scaling::maybe", skip_serializing_if = "Option::is_none")]
    pub sleep_after: Option<Duration>,
    /// What one instance is meant to bear; more come, up to `max`, when it is more.
    #[serde(skip_serializing_if = "Targets::is_none")]
    pub target: Targets,
    /// Other bounds at certain times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Window>,
    /// An instance that is no longer needed for the target stays for so long.
    #[serde(with = "human", skip_serializing_if = "is_usual_down_after")]
    pub down_after: Duration,
}

/// Load comes in waves; an instance that leaves between two of them is loaded again.
const DOWN_AFTER: Duration = Duration::from_mins(5);

fn is_usual_down_after(time: &Duration) -> bool {
    *time == DOWN_AFTER
}

impl Default for Replicas {
    fn default() -> Self {
        const FIVE_MINUTES: Duration = Duration::from_mins(5); // what Ollama's users know
        let keep_alive = Some(FIVE_MINUTES);
        Self { min: 0, max: 1, keep_alive, sleep_after: None, target: Targets::default(), schedule: Vec::new(), down_after: DOWN_AFTER }
    }
}

/// Time limits of a call, each its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the engine accepts the connection.
    #[serde(with = "human")]
    pub connect: Duration,
    /// From sending the call until the first byte of the answer.
    #[serde(with = "human")]
    pub first_token: Duration,
    /// Between two pieces of a stream.
    #[serde(with = "human")]
    pub idle: Duration,
    /// The whole call.
    #[serde(with = "human")]
    pub total: Duration,
    /// In line for a slot of a ready instance.
    #[serde(with = "human")]
    pub wait: Duration,
    /// For a start without any sign of progress; also how long a caller waits for a cold model.
    #[serde(with = "human")]
    pub start: Duration,
    /// For calls of an instance that is to leave, to make room or for a newer revision; as long as `total` when not given, so that
    /// none is cut.
    #[serde(with = "scaling::maybe", skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_mins(5),
            idle: Duration::from_mins(1),
            total: Duration::from_hours(1),
            wait: Duration::from_secs(30),
            start: Duration::from_mins(5),
            drain: None,
        }
    }
}

impl Deployment {
    /// A wish with defaults for all but its name.
    pub fn named(name: Name) -> Self {
        Self {
            name,
            project: None,
            model: None,
            engine: None,
            runtime: None,
            pipeline: None,
            context: None,
            parallel: None,
            threads: None,
            gpu_layers: None,
            cache_type: None,
            embeddings: false,
            replicas: Replicas::default(),
            pinned: false,
            max_queue: default_max_queue(),
            max_concurrent: None,
            when_full: WhenFull::default(),
            fallback: Vec::new(),
            affinity: Affinity::default(),
            max_ejected: default_max_ejected(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            rollout: Rollout::default(),
            limits: Limits::default(),
            budget: Budget::default(),
            prices: Prices::default(),
            url: None,
            http_version: None,
            api_key_env: None,
            api_key_file: None,
            api_key_secret: None,
            upstream_model: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
    /// The engine, given or implied.
    pub fn engine(&self) -> EngineKind {
        self.engine.unwrap_or(if self.url.is_some() { EngineKind::Openai } else { EngineKind::LlamaServer })
    }
    /// The runtime, given or implied.
    pub fn runtime(&self) -> RuntimeKind {
        self.runtime.unwrap_or_else(|| self.engine().default_runtime())
    }
    /// Calls that one instance serves at once. One at a time gives each the whole context, and more is
    /// a choice that costs memory; a remote engine keeps its own line.
    pub fn slots(&self) -> u32 {
        self.parallel.unwrap_or(match self.runtime() {
            RuntimeKind::Process => 1,
            RuntimeKind::External => check::MOST_PARALLEL,
        })
    }
    /// The pipeline, given or implied.
    pub fn pipeline(&self) -> &str {
        self.pipeline.as_deref().unwrap_or(match self.runtime() {
            RuntimeKind::Process => "opensourcellm",
            RuntimeKind::External => "remote",
        })
    }
}

/// A wish as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The wish.
    pub spec: Deployment,
    /// Rises by one with every change of the wish.
    pub generation: u64,
    /// Who wrote it: `config` entries follow the file, `api` entries stay until they are deleted.
    pub origin: Origin,
    /// Set when it is to go; it leaves the store when its instances have.
    pub deleting: bool,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When the wish last changed.
    pub updated_at: Timestamp,
    /// Who changed it last, or what did.
    #[serde(default)]
    pub cause: String,
}

/// Who wrote a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The config file, or a flag.
    Config,
    /// The REST API.
    Api,
}

/// A wish frozen together with what it resolved to. Its number is the wish's generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The generation it was frozen from.
    pub number: u64,
    /// The wish.
    pub spec: Deployment,
    /// The model's version; remote engines have none.
    pub version: Option<Version>,
}

/// A step of a pipeline, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Find the version that the source names.
    Resolve,
    /// Bring its files here.
    Fetch,
    /// Check that they are what they say.
    Verify,
    /// How much memory it will take.
    Estimate,
    /// Where it goes.
    Place,
    /// Start it.
    Launch,
    /// Wait until it can answer.
    Warm,
    /// Let callers in.
    Expose,
    /// Ask a remote engine whether it is there.
    Check,
}

/// The steps of a built-in pipeline, in order.
pub fn pipeline(name: &str) -> Option<&'static [Step]> {
    use Step::{Check, Estimate, Expose, Fetch, Launch, Place, Resolve, Verify, Warm};
    match name {
        "opensourcellm" => Some(&[Resolve, Fetch, Verify, Estimate, Place, Launch, Warm, Expose]),
        "remote" => Some(&[Check, Expose]),
        _ => None,
    }
}
