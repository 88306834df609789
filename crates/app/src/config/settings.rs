//! The settings: one struct, of which the flags, the variables and the reference page are made.
//!
//! A key appears here once, with its type, its default and its words; [`super::keys`] lists them.
//! Keys with `llama_`, `vram_` and `cors_` are those of older control planes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use access::login::ProviderConfig;
use base::clock::human;
use base::{ByteSize, Secret};
use net::{Allowed, Forwarding, Range};
use serde::{Deserialize, Serialize};
use spec::{Deployment, Route};
use webhooks::Webhook;

use super::types::{AccessLog, Format, Level, Listen, MetricsAccess, Mode, Placement, hidden, maybe};

/// Declares a struct of settings together with the words about each key.
macro_rules! settings {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $(#[serde $serde:tt])* $field:ident: $type:ty = $default:expr,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[doc = $doc])+ $(#[serde $serde])* pub $field: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            /// Name, type and words of each key.
            pub(super) const KEYS: &'static [crate::config::keys::Declared] =
                &[$((stringify!($field), stringify!($type), concat!($($doc),+)),)+];
        }
    };
}

settings! {
    /// All settings of a server.
    Config {
        /// The one address that everything is served on. Off loopback only with `auth.mode: token`.
        listen: Listen = Listen(SocketAddr::from(([127, 0, 0, 1], 8080))),
        /// The folder for all that must survive. By default a folder of the user, the same from wherever Penstock is started, so that the client verbs find the server: `$XDG_DATA_HOME/penstock`, else `~/.local/share/penstock`.
        data_dir: Option<PathBuf> = None,
        /// What is to be served; see below.
        deployments: Vec<Deployment> = Vec::new(),
        /// Public model names with several deployments behind them; see below.
        routes: Vec<Route> = Vec::new(),
        /// Who is told of what happens; see below.
        webhooks: Vec<Webhook> = Vec::new(),
        /// Who is let in.
        auth: Auth = Auth::default(),
        /// The certificate of the address; see [how to use TLS](../how-to/use-tls.md).
        tls: Tls = Tls::default(),
        /// Reverse proxies that are believed about where a request comes from, as addresses or ranges such as `10.0.0.0/8`. Nobody is believed about that otherwise.
        trusted_proxies: Vec<Range> = Vec::new(),
        /// Which header these proxies write, each one behind what is there: `x-forwarded-for` (and `X-Forwarded-Proto`) or `forwarded`. The other one is not read.
        forwarded_header: Forwarding = Forwarding::XForwardedFor,
        /// How much a client may bring, and how slowly; see [headers and limits](headers-and-limits.md).
        limits: Limits = Limits::default(),
        /// Whom URLs that were given through the API may lead to.
        outbound: Outbound = Outbound::default(),
        /// Where the files of models are kept.
        blobs: Blobs = Blobs::default(),
        /// How models are fetched from other machines.
        pull: Pull = Pull::default(),
        /// What is logged.
        log: Log = Log::default(),
        /// A line of JSON for each request: `off`, `stdout`, `stderr`, or a file, which is opened anew on `SIGHUP`.
        access_log: AccessLog = AccessLog::Off,
        /// Who is told the numbers at `/metrics`.
        metrics: Metrics = Metrics::default(),
        /// Where traces are sent.
        otlp: Otlp = Otlp::default(),
        /// What is remembered of calls.
        usage: Usage = Usage::default(),
        /// What is kept of `/v1/responses`.
        responses: Responses = Responses::default(),
        /// The programs of the engines.
        engines: Engines = Engines::default(),
        /// How much memory models may take.
        memory: Memory = Memory::default(),
        /// Leaves engines running when Penstock stops; the next start takes them over. Those that nobody takes over end after `orphan_ttl`.
        adopt: bool = false,
        /// How long an engine lives when no Penstock claims it.
        #[serde(with = "human")]
        orphan_ttl: Duration = Duration::from_mins(1),
        /// How long streams may go on after a stop was asked for, before they end with an error; 0 ends them at once.
        #[serde(with = "human")]
        shutdown_timeout: Duration = Duration::from_secs(20),
        /// How long engines may take to end when Penstock stops; 0 ends them at once.
        #[serde(with = "human")]
        drain_timeout: Duration = Duration::from_secs(15),
        /// The largest body of a call; a dozen photographs in base64 fit.
        max_body_bytes: ByteSize = ByteSize::mib(32),
        /// Each `*.gguf` in this folder is served under its file name, and loaded when it is asked for. Whoever may bring models may name what lies in it.
        models_dir: Option<PathBuf> = None,
        /// The largest model that the registry takes, all of its files together; no limit but the disk when not set.
        max_model_bytes: Option<ByteSize> = None,
        /// The model of `/infer` when a call names none.
        default_model: Option<String> = None,
        /// Callers that may wait in line for a model of `models_dir` or `llama_url`; one more is answered 429.
        max_queue_depth: u32 = 32,
        /// How long they wait there; 0 for not at all.
        #[serde(with = "human")]
        max_wait: Duration = Duration::from_secs(30),
        /// The whole time of a call of `/infer`; the deployment's own limit when not set, or 0.
        #[serde(with = "maybe")]
        infer_timeout: Option<Duration> = None,
        /// A stream that is silent for so long gets a comment, so that no proxy on the way closes it.
        #[serde(with = "human")]
        keep_alive_comment: Duration = Duration::from_secs(15),
        /// A stream that waits for a cold model gets its first comment so long after it came, or after the model's start began. Before that, what goes wrong still has a status of its own; afterwards it is told in the stream.
        #[serde(with = "human")]
        cold_comment: Duration = Duration::from_millis(200),
        /// A client that takes nothing of what it is sent for so long is let go, and its call ends.
        #[serde(with = "human")]
        client_write_timeout: Duration = Duration::from_mins(1),
        /// The same as `memory.budget`, in MiB; 0 for none.
        vram_budget_mb: Option<u64> = None,
        /// The same as `memory.margin`, in MiB.
        vram_margin_mb: Option<u64> = None,
        /// Lets pages of other sites call.
        cors_enabled: bool = false,
        /// Sites that may call; `*` for any.
        cors_origins: Vec<String> = vec!["*".to_owned()],
        /// Methods that they may use.
        cors_methods: Vec<String> = ["GET", "POST", "OPTIONS"].map(str::to_owned).to_vec(),
        /// Headers that they may send; `*` for any.
        cors_headers: Vec<String> = vec!["*".to_owned()],
        /// Base URL of a llama-server, or another OpenAI-compatible server, that already runs; it is served under `default_model`, else as `llama`.
        llama_url: Option<String> = None,
        /// The key that it asks for.
        #[serde(with = "hidden")]
        llama_api_key: Option<Secret> = None,
        /// The whole time of a call to it; 0 for the usual one.
        #[serde(with = "maybe")]
        llama_timeout: Option<Duration> = None,
        /// Until it takes a connection; 0 for the usual time.
        #[serde(with = "maybe")]
        llama_connect_timeout: Option<Duration> = None,
        /// The same as `engines.llama-server.path`.
        llama_bin: Option<PathBuf> = None,
        /// Not used: engines that Penstock starts listen on Unix sockets.
        llama_host: Option<String> = None,
        /// Not used: engines that Penstock starts listen on Unix sockets.
        llama_port_range: Option<String> = None,
        /// Context of the models of `models_dir`, in tokens; 0 for the model's own.
        llama_ctx: Option<u32> = None,
        /// CPU threads of an instance that does not say; 0 for one less than there are cores.
        llama_threads: Option<u32> = None,
        /// Layers of the models of `models_dir` that go to the GPU.
        llama_ngl: Option<u32> = None,
        /// Each event is also appended to this file, a line of JSON each.
        events_file: Option<PathBuf> = None,
    }
}

settings! {
    /// Who is let in.
    Auth {
        /// `token`: who brings one. `open`: everybody, as an operator; on loopback only, and no page of another site.
        mode: Mode = Mode::Token,
        /// Identity providers that people log in with; see below.
        providers: Vec<ProviderConfig> = Vec::new(),
        /// Where browsers reach this server, when that is not where it listens: `https://penstock.example.org`. A provider sends them back to `/auth/callback` below it.
        public_url: Option<String> = None,
        /// A browser that does nothing for so long is logged out.
        #[serde(with = "human")]
        session_idle: Duration = Duration::from_hours(8),
        /// A browser is logged out after so long in any case; what groups have changed holds then at the latest.
        #[serde(with = "human")]
        session_longest: Duration = Duration::from_hours(24),
        /// How long the token lasts that `penstock login` stores.
        #[serde(with = "human")]
        login_token: Duration = Duration::from_hours(7 * 24),
    }
}

settings! {
    /// The certificate of the address. Its files are looked at every few seconds and on `SIGHUP`; new ones are in force at once, bad ones are refused and the old ones stay.
    Tls {
        /// The certificate and those between it and its authority, as PEM. Everything is served by TLS 1.2 and 1.3 then, and by nothing else.
        cert: Option<PathBuf> = None,
        /// Its private key, as PEM.
        key: Option<PathBuf> = None,
        /// Authorities, as PEM, one of which every client must have a certificate of.
        client_ca: Option<PathBuf> = None,
    }
}

settings! {
    /// How much a client may bring, and how slowly.
    Limits {
        /// Connections at the same time; more wait to be accepted.
        connections: u32 = 16_384,
        /// Connections of one address at the same time (of one /64 of IPv6); more are closed at once. Those of `trusted_proxies` are not counted.
        connections_per_address: u32 = 4096,
        /// Requests at the same time on a connection of HTTP/2.
        streams: u32 = 256,
        /// Headers of a request; one with more is answered 431.
        headers: u32 = 100,
        /// The size of all headers of a request together; one with more is answered 431.
        header_bytes: ByteSize = ByteSize(64 << 10),
        /// The head of a request, and a handshake of TLS, must be here within one to two of these; a connection on which nothing is asked is kept as long.
        #[serde(with = "human")]
        header_timeout: Duration = Duration::from_secs(30),
        /// A body of which nothing comes for so long has been given up by its client.
        #[serde(with = "human")]
        body_timeout: Duration = Duration::from_secs(30),
        /// So much of a body must come in a second, once it has been waited for longer than `limits.body_timeout`.
        body_rate: ByteSize = ByteSize(1 << 10),
    }
}

settings! {
    /// Whom URLs that were given through the API may lead to. Those of this file may lead anywhere.
    Outbound {
        /// Addresses inside that may be called all the same: ranges such as `10.0.0.0/8`, single addresses, or names of hosts.
        allow: Vec<Allowed> = Vec::new(),
    }
}

settings! {
    /// Where the files of models are kept that were sent or fetched: by their content, in `data_dir/blobs`. See [how to keep models in an object store](../how-to/keep-models-in-s3.md).
    Blobs {
        /// The object store in which they live: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, or `file:PATH` for a folder that several machines see. `data_dir/blobs` is a cache of it then.
        url: Option<String> = None,
        /// What the store has to be told, as `KEY=VALUE`: `endpoint=https://minio.internal:9000`, `region=eu-central-1`. What is not said comes from the environment, as the store's own tools read it (`AWS_REGION`, …).
        options: Vec<String> = Vec::new(),
        /// The same of what nobody may see, as `KEY=VARIABLE` with the name of an environment variable: `secret_access_key=MINIO_SECRET`.
        secrets: Vec<String> = Vec::new(),
        /// The cache takes so much at most; what is in use stays, what was not used for the longest time goes. No limit but the disk when not set.
        cache: Option<ByteSize> = None,
        /// So much of the disk stays free; what does not fit is refused before its first byte.
        reserve: ByteSize = ByteSize::mib(512),
        /// Files that nothing refers to any more are kept for so long.
        #[serde(with = "human")]
        grace: Duration = Duration::from_hours(24),
        /// What was begun to be sent or fetched and not gone on with for so long is given up.
        #[serde(with = "human")]
        unfinished: Duration = Duration::from_hours(7 * 24),
    }
}

settings! {
    /// How models are fetched from other machines. See [how to fetch models](../how-to/pull-models.md).
    Pull {
        /// The hub that `hf:` means. `HF_ENDPOINT` says the same.
        hub: String = "https://huggingface.co".to_owned(),
        /// The file with the token that the hub is shown. `HF_TOKEN` has the token itself.
        hub_token_file: Option<PathBuf> = None,
        /// The registry that `ollama:` means where no host is named.
        ollama: String = "https://registry.ollama.ai".to_owned(),
        /// What object stores have to be told that `s3:` and the like mean, as `KEY=VALUE`; the same as `blobs.options`.
        options: Vec<String> = Vec::new(),
        /// The same of what nobody may see, as `KEY=VARIABLE`.
        secrets: Vec<String> = Vec::new(),
        /// What of object stores whoever may bring models may name, as `s3://BUCKET` or `s3://BUCKET/PREFIX`: they are read with what this server knows of them. All else takes the right `update server`.
        buckets: Vec<String> = Vec::new(),
        /// Connections for one large file; 1 for a single one.
        connections: u32 = 4,
        /// A line on which nothing comes for so long is given up and taken up again; what has come stays.
        #[serde(with = "human")]
        stall: Duration = Duration::from_secs(30),
    }
}

settings! {
    /// What is logged, to standard error.
    Log {
        /// `error`, `warn`, `info`, `debug` or `trace`; `off` for nothing.
        level: Level = Level::Info,
        /// `text` for people, `json` for programs, `auto` for text on a terminal and JSON elsewhere.
        format: Format = Format::Auto,
    }
}

settings! {
    /// Who is told the numbers at `/metrics`, which name the models of all projects.
    Metrics {
        /// `loopback`: who asks from this machine, not through a proxy, and from elsewhere who brings a token that may `get server`. `token`: only who brings one. `open`: anybody.
        access: MetricsAccess = MetricsAccess::Loopback,
    }
}

settings! {
    /// Where traces are sent.
    Otlp {
        /// A collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; nothing is traced without one. `OTEL_EXPORTER_OTLP_ENDPOINT` says the same.
        endpoint: Option<String> = None,
        /// Headers to send along, as `NAME=VALUE,NAME=VALUE`. `OTEL_EXPORTER_OTLP_HEADERS` says the same.
        #[serde(with = "hidden")]
        headers: Option<Secret> = None,
        /// The share of requests, 0 to 1, that are traced when their client has not decided about it.
        sample_ratio: f64 = 1.0,
    }
}

settings! {
    /// What is remembered of calls.
    Usage {
        /// What the usage journal may take on the disk. It grows while the database stalls; calls go on beyond it, but their rows are lost.
        journal_quota: ByteSize = ByteSize::mib(1024),
        /// How long single calls are kept in the database.
        #[serde(with = "human")]
        keep_calls: Duration = Duration::from_hours(35 * 24),
        /// How long their sums by the hour are kept.
        #[serde(with = "human")]
        keep_sums: Duration = Duration::from_hours(400 * 24),
    }
}

settings! {
    /// What is kept of `/v1/responses`.
    Responses {
        /// How long a response can be fetched, or gone on with by `previous_response_id`.
        #[serde(with = "human")]
        keep_for: Duration = Duration::from_hours(30 * 24),
        /// So many are kept in the database at most; the oldest go first.
        keep_most: u64 = 100_000,
        /// The latest are also kept in memory, up to so much.
        in_memory: ByteSize = ByteSize::mib(64),
    }
}

settings! {
    /// How much memory models may take.
    Memory {
        /// All models together may take so much; what the machine has when not set.
        budget: Option<ByteSize> = None,
        /// Always left free, of main memory and of each card.
        margin: ByteSize = ByteSize(0),
        /// How long callers of a model wait at most until another one, on which others work, makes room for it. A short time is fair, a long one saves loads: between two models that exclude each other there is one swap in about this time.
        #[serde(with = "human")]
        patience: Duration = fleet::PATIENCE,
        /// On which of several cards with room a model goes: `pack` on the one that is filled best, so that what is large finds room later; `spread` on the emptiest.
        placement: Placement = Placement::Pack,
        /// A file that describes devices which no driver of Penstock reads: JSON, a list of `{"id", "kind", "total", "free"}` with `kind` `gpu`, `unified` or `ram`, replaced as a whole when something changes.
        devices_file: Option<PathBuf> = None,
    }
}

settings! {
    /// The programs of the engines.
    Engines {
        /// llama.cpp's server.
        #[serde(rename = "llama-server")]
        llama_server: Program = Program::default(),
    }
}

settings! {
    /// The program of an engine.
    Program {
        /// The program; when not set the one on the `PATH`, else the one that this binary carries.
        path: Option<PathBuf> = None,
    }
}

impl Config {
    /// The memory budget, by whichever of its names.
    pub fn budget(&self) -> Option<ByteSize> {
        self.memory.budget.or(self.vram_budget_mb.filter(|mb| *mb > 0).map(ByteSize::mib))
    }
    /// The memory margin, by whichever of its names.
    pub fn margin(&self) -> ByteSize {
        self.vram_margin_mb.map_or(self.memory.margin, ByteSize::mib)
    }
    /// The program of llama-server, by whichever of its names.
    pub fn llama_server(&self) -> Option<&PathBuf> {
        self.engines.llama_server.path.as_ref().or(self.llama_bin.as_ref())
    }
    /// Every path of the config, to be made absolute.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let paths = [
            &mut self.memory.devices_file,
            &mut self.data_dir,
            &mut self.models_dir,
            &mut self.events_file,
            &mut self.llama_bin,
            &mut self.engines.llama_server.path,
            &mut self.tls.cert,
            &mut self.tls.key,
            &mut self.tls.client_ca,
            &mut self.pull.hub_token_file,
        ];
        let keys = self.deployments.iter_mut().filter_map(|deployment| deployment.api_key_file.as_mut());
        let secrets = self.webhooks.iter_mut().filter_map(|webhook| webhook.secret_file.as_mut());
        let clients = self.auth.providers.iter_mut().filter_map(|provider| provider.client_secret_file.as_mut());
        paths.into_iter().flatten().chain(self.access_log.path()).chain(secrets).chain(keys).chain(clients)
    }
}
