//! A deployment: the wish, and how it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::explain::{Here, Trial};
use super::instance::Reason;
use super::rollout::{ReplicaTargets, ReplicaWindow, Rollout, RolloutStatus, Scaling};
use super::token::{Budget, Limits};

/// What one person wants served under one public model name; an entry of the config's
/// `deployments` as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentSpec {
    /// The public model name that clients send: letters, digits and `. _ - : /`, at most 128.
    #[schema(example = "qwen/qwen3:8b")]
    pub name: String,
    /// The project that it belongs to: who has a role within that may do with it what the role says, and it counts for the project's quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Where the model comes from: `file:PATH`, `hf:ORG/REPO`, `s3://BUCKET/KEY`, `http(s)://…`, or
    /// a registry name `NAME[:TAG|@DIGEST]`; not for remote engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "file:./models/tiny.gguf")]
    pub model: Option<String>,
    /// What runs: `llama-server`, `openai` (a remote or already running server) or `echo`. When it is
    /// not given: `openai` if `url` is set, else `llama-server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Where it runs: `process` or `external`; by default where the engine usually runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The steps from wish to service: `opensourcellm` or `remote`; by default what fits the runtime.
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
    pub cache_type: Option<String>,
    /// Whether the instance also serves embeddings.
    #[schema(default = false, required = false)]
    pub embeddings: bool,
    /// How many instances, and for how long without callers.
    #[schema(required = false)]
    pub replicas: Replicas,
    /// Keeps the instance loaded whatever its keep-alive says.
    #[schema(default = false, required = false)]
    pub pinned: bool,
    /// Callers that may wait in line for a slot; one more is answered 429.
    #[schema(default = 512, required = false)]
    pub max_queue: u32,
    /// Calls that all instances together serve at once; what their slots allow when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// What happens to a call that finds every slot taken: `queue` (it waits in line), `reject` (429 at
    /// once) or `fallback` (it goes to the fallback at once; it waits only where there is none).
    #[schema(default = "queue", required = false)]
    pub when_full: String,
    /// Deployments or routes that are asked, in this order, when this one cannot serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// What keeps related calls on one of several instances: `none`, `session` (the header
    /// `x-session-id`, else `prompt_cache_key` or `user` of the body) or `prefix` (the session, else
    /// the beginning of the prompt).
    #[schema(default = "prefix", required = false)]
    pub affinity: String,
    /// At most so many percent of the instances are passed over for failing or being slow; 0 for none.
    #[schema(default = 50, required = false)]
    pub max_ejected: u32,
    /// Time limits of a call.
    #[schema(required = false)]
    pub timeouts: Timeouts,
    /// How often a call is tried before anything of an answer has come.
    #[schema(required = false)]
    pub retries: Retries,
    /// How instances of the revision before make way when the wish changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How much all of its callers together may use at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How much they may use within an hour, a day, a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What a call costs; shown in the usage, and counted against budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Base URL of a remote engine, with its `/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "http://127.0.0.1:9000/v1")]
    pub url: Option<String>,
    /// HTTP that the remote engine is spoken to by: 1, or 2 (h2c where its URL is plain `http`). When it is not given: what
    /// an `https` server prefers, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2)]
    pub http_version: Option<u8>,
    /// Name of the environment variable with the remote engine's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The file with it; only the config can name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<String>,
    /// Name of the secret with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret: Option<String>,
    /// Model name to send to the remote engine; the deployment's name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// More arguments for the engine, as they are; flags that reach files or the network, and unknown ones, stand in the config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// More environment for the engine. Who may not set it sees `(hidden)` for each value; sent back, that means the value as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How many instances there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replicas {
    /// Always at least so many; 0 loads on the first call.
    #[schema(default = 0, required = false)]
    pub min: u32,
    /// Never more than so many.
    #[schema(default = 1, required = false)]
    pub max: u32,
    /// How long an instance above `min` stays without callers: `5m`, a number of seconds, or `forever`.
    #[schema(default = "5m", required = false)]
    pub keep_alive: String,
    /// How long an instance stays awake without callers, where its engine can sleep; it never sleeps when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after: Option<String>,
    /// What one instance is meant to bear; more come, up to `max`, when it is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ReplicaTargets>,
    /// Other bounds at certain times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ReplicaWindow>,
    /// An instance that is no longer needed for the target stays for so long; `5m` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_after: Option<String>,
}

/// How often one call is tried, always before anything of an answer has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Retries {
    /// Instances that are asked for one call, the first included; 1 for no retry.
    #[schema(default = 3, minimum = 1, maximum = 10, required = false)]
    pub attempts: u32,
}

/// What a call costs, in US dollars; what is not said costs nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prices {
    /// For a million tokens in.
    #[schema(default = 0.0, required = false)]
    pub input_per_million: f64,
    /// For a million tokens in that the engine had cached; as any other token in when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_per_million: Option<f64>,
    /// For a million tokens out, reasoning included.
    #[schema(default = 0.0, required = false)]
    pub output_per_million: f64,
    /// For the call itself.
    #[schema(default = 0.0, required = false)]
    pub per_request: f64,
}

/// Time limits of a call, each its own; `500ms`, `30s`, `5m`, `1h`, or a number of seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeouts {
    /// Until the engine accepts the connection.
    #[schema(default = "5s", required = false)]
    pub connect: String,
    /// From sending the call until the first byte of the answer.
    #[schema(default = "5m", required = false)]
    pub first_token: String,
    /// Between two pieces of a stream.
    #[schema(default = "1m", required = false)]
    pub idle: String,
    /// The whole call.
    #[schema(default = "1h", required = false)]
    pub total: String,
    /// In line for a slot of a ready instance.
    #[schema(default = "30s", required = false)]
    pub wait: String,
    /// For a start without any sign of progress; also how long a caller waits for a cold model.
    #[schema(default = "5m", required = false)]
    pub start: String,
    /// For calls of an instance that is to leave, to make room or for a newer revision; as long as `total` when not given, so that
    /// none is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
}

/// A deployment as a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Its name, as in the spec.
    pub name: String,
    /// The wish.
    pub spec: DeploymentSpec,
    /// How it stands.
    pub status: DeploymentStatus,
    /// Rises by one with every change of the wish; the ETag.
    pub generation: u64,
    /// When it was first stored.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the wish last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

/// How a deployment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStatus {
    /// `ready`; `cold` (starts on the first call); `pending`; `failed`; `deleting`; else the phase of
    /// its foremost instance: `fetching`, `placing`, `starting`, `loading`, `warming`, `unhealthy`,
    /// `draining`, `stopping`, `reclaiming`.
    pub state: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The revision that serves or is on its way up; absent until the fleet has seen
    /// the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Instances that serve now.
    pub ready: u32,
    /// Calls running now.
    pub in_flight: u32,
    /// Callers in line.
    pub waiting: u32,
    /// The ids of its instances.
    pub instances: Vec<String>,
    /// Who wrote the wish: `config` entries follow the file, `api` entries stay until they are deleted.
    pub origin: String,
    /// The rollout that is under way, or the last one.
    pub rollout: RolloutStatus,
}

/// Why a deployment is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Its name.
    pub name: String,
    /// As in its status.
    pub state: String,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The pipeline that takes it from wish to service.
    pub pipeline: String,
    /// The steps of the pipeline, in order, for its foremost instance.
    pub steps: Vec<StepView>,
    /// Bytes of memory that one instance takes: as measured of an earlier one, else by estimate; 0 until the model is read.
    pub memory: u64,
    /// Bytes that all instances hold.
    pub used: u64,
    /// Bytes that they may hold at most, when a budget is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// The rollout that is under way, or the last one.
    pub rollout: RolloutStatus,
    /// How many instances there should be, and why.
    pub scaling: Scaling,
    /// Each instance, oldest first.
    #[serde(default)]
    #[schema(required = false)]
    pub instances: Vec<Here>,
    /// What keeps it from having another instance; absent where none is wanted, or nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Reason>,
    /// When that is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub again_at: Option<String>,
    /// What would happen if another instance were wanted now; absent before its model is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Trial>,
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// `resolve`, `fetch`, `verify`, `estimate`, `place`, `launch`, `warm`, `expose` or `check`.
    pub step: String,
    /// `done`, `open` or `impossible`.
    pub state: String,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}
