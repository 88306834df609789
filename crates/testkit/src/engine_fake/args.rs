//! llama-server's command line, as far as anybody needs it here.
//!
//! In: arguments. Out: what they ask for. Fails: as llama-server does, with its words. Every flag that
//! [`help`] lists is understood, and no other: Penstock writes only flags that it has found there.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use gguf::KvType;

/// What the program is to do.
#[derive(Debug)]
pub(super) enum Asked {
    Version,
    Help,
    StayBehind(StayBehind),
    Serve(Box<Args>),
}

/// Where a process goes that stays behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StayBehind {
    /// In the engine's process group.
    Group,
    /// In a session of its own.
    Session,
}

/// By which a process that stays behind is started.
pub(super) const STAY_BEHIND: &str = "--stay-behind";

/// A server's settings.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Args {
    /// The file.
    pub(super) model: PathBuf,
    /// Its public name.
    pub(super) alias: String,
    /// A path of a Unix socket.
    pub(super) host: PathBuf,
    /// Tokens of all slots; 0 for what the model was made for.
    pub(super) context: u64,
    /// Slots.
    pub(super) parallel: u32,
    /// Layers on graphics cards; `u64::MAX` for all.
    pub(super) gpu_layers: u64,
    /// Devices that may be used, as llama.cpp names them; all when empty.
    pub(super) devices: Vec<String>,
    /// Shares of the devices; by what is free when empty.
    pub(super) tensor_split: Vec<f64>,
    /// Tokens in one physical batch.
    pub(super) batch: u64,
    /// How keys and values are stored.
    pub(super) cache: (KvType, KvType),
    /// Serves embeddings.
    pub(super) embeddings: bool,
    /// Serves metrics.
    pub(super) metrics: bool,
    /// Tells of its slots.
    pub(super) slots: bool,
    /// Sleeps when it has had nothing to do for so long.
    pub(super) sleep: Option<Duration>,
}

/// Its names, what stands behind it, what the help says of it.
type Flag = (&'static [&'static str], &'static str, &'static str);

const FLAGS: [Flag; 39] = [
    (&["-h", "--help", "--usage"], "", "print usage and exit"),
    (&["--version"], "", "show version and build info"),
    (&["-m", "--model"], "FNAME", "model path to load"),
    (&["-a", "--alias"], "STRING", "set model name aliases, comma-separated (to be used by API)"),
    (&["--host"], "HOST", "ip address to listen, or bind to an UNIX socket if the address ends with .sock"),
    (&["--port"], "PORT", "port to listen (default: 8080)"),
    (&["-c", "--ctx-size"], "N", "size of the prompt context (default: 0, 0 = loaded from model)"),
    (&["-np", "--parallel"], "N", "number of server slots"),
    (&["-kvu", "--kv-unified"], "", "use single unified KV buffer shared across all sequences"),
    (&["-no-kvu", "--no-kv-unified"], "", "a KV buffer for each sequence"),
    (&["-t", "--threads"], "N", "number of CPU threads to use during generation"),
    (&["--threads-http"], "N", "number of threads used to process HTTP requests"),
    (&["-cram", "--cache-ram"], "N", "set the maximum cache size in MiB"),
    (&["-ngl", "--gpu-layers", "--n-gpu-layers"], "N", "max. number of layers to store in VRAM, either an exact number, 'auto', or 'all'"),
    (&["-sm", "--split-mode"], "{none,layer,row}", "how to split the model across multiple GPUs"),
    (&["-ts", "--tensor-split"], "N0,N1,N2,...", "fraction of the model to offload to each GPU"),
    (&["-mg", "--main-gpu"], "INDEX", "the GPU to use for the model"),
    (&["-dev", "--device"], "<dev1,dev2,..>", "comma-separated list of devices to use for offloading (none = don't offload)"),
    (&["--no-ui", "--no-webui"], "", "no web page"),
    (&["--cors-origins"], "ORIGINS", "origins that may call"),
    (&["--no-cors-credentials"], "", "no credentials across origins"),
    (&["--slots"], "", "expose slots monitoring endpoint (default: enabled)"),
    (&["--no-slots"], "", "no slots monitoring endpoint"),
    (&["--metrics"], "", "enable prometheus compatible metrics endpoint"),
    (&["--offline"], "", "forces use of cache, prevents network access"),
    (&["--embedding", "--embeddings"], "", "restrict to only support embedding use case"),
    (&["--pooling"], "{none,mean,cls,last,rank}", "pooling type for embeddings"),
    (&["-b", "--batch-size"], "N", "logical maximum batch size (default: 2048)"),
    (&["-ub", "--ubatch-size"], "N", "physical maximum batch size (default: 512)"),
    (&["-ctk", "--cache-type-k"], "TYPE", "KV cache data type for K (default: f16)"),
    (&["-ctv", "--cache-type-v"], "TYPE", "KV cache data type for V (default: f16)"),
    (&["-ctxcp", "--ctx-checkpoints", "--swa-checkpoints"], "N", "max number of context checkpoints to create per slot"),
    (&["-fa", "--flash-attn"], "[on|off|auto]", "set Flash Attention use"),
    (&["--no-mmap"], "", "do not memory-map model"),
    (&["--mlock"], "", "force system to keep model in RAM"),
    (&["--no-warmup"], "", "skip warming up the model with an empty run"),
    (&["--fit"], "[on|off]", "adjust unset arguments to fit in device memory"),
    (&["--swa-full"], "", "use full-size SWA cache"),
    (&["--sleep-idle-seconds"], "SECONDS", "number of seconds of idleness after which the server will sleep (default: -1; -1 = disabled)"),
];

/// What `--help` prints.
pub(super) fn help() -> String {
    let line = |(names, value, what): &Flag| format!("{:<40}{what}\n", format!("{} {value}", names.join(", ")));
    format!("----- common params -----\n\n{}", FLAGS.iter().map(line).collect::<String>())
}

impl Default for Args {
    fn default() -> Self {
        Self {
            model: PathBuf::new(),
            alias: String::new(),
            host: PathBuf::new(),
            context: 0,
            parallel: 1,
            gpu_layers: u64::MAX,
            devices: Vec::new(),
            tensor_split: Vec::new(),
            batch: 512,
            cache: (KvType::F16, KvType::F16),
            embeddings: false,
            metrics: false,
            slots: true,
            sleep: None,
        }
    }
}

impl Args {
    pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
        let mut all = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
        let mut read = Self::default();
        while let Some(arg) = all.next() {
            if arg == STAY_BEHIND {
                let session = all.next().is_some_and(|how| how == "session");
                return Ok(Asked::StayBehind(if session { StayBehind::Session } else { StayBehind::Group }));
            }
            let Some((names, value, _)) = FLAGS.iter().find(|(names, ..)| names.contains(&arg.as_str())) else {
                return Err(format!("error: invalid argument: {arg}\n"));
            };
            let value = if value.is_empty() { None } else { Some(all.next().ok_or("error: expected value for argument\n")?) };
            match names.last().copied().unwrap_or_default() {
                "--usage" => return Ok(Asked::Help),
                "--version" => return Ok(Asked::Version),
                name => read.set(name, value.as_deref().unwrap_or_default()).ok_or_else(|| format!("error: invalid value for {name}\n"))?,
            }
        }
        if read.model.as_os_str().is_empty() || read.host.as_os_str().is_empty() {
            return Err("error: --model and a socket for --host are required\n".to_owned());
        }
        if read.alias.is_empty() {
            read.alias = read.model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        }
        Ok(Asked::Serve(Box::new(read)))
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--model" => self.model = value.into(),
            "--alias" => value.clone_into(&mut self.alias),
            "--host" => self.host = value.into(),
            "--ctx-size" => self.context = value.parse().ok()?,
            "--parallel" => self.parallel = value.parse().ok()?,
            "--n-gpu-layers" => self.gpu_layers = if matches!(value, "all" | "auto") { u64::MAX } else { value.parse().ok()? },
            "--device" => self.devices = value.split(',').map(str::to_owned).collect(),
            "--tensor-split" => self.tensor_split = value.split(',').map(str::parse).collect::<Result<_, _>>().ok()?,
            "--ubatch-size" => self.batch = value.parse().ok()?,
            "--cache-type-k" => self.cache.0 = KvType::of(value)?,
            "--cache-type-v" => self.cache.1 = KvType::of(value)?,
            "--embeddings" => self.embeddings = true,
            "--metrics" => self.metrics = true,
            "--slots" => self.slots = true,
            "--no-slots" => self.slots = false,
            "--sleep-idle-seconds" => self.sleep = u64::try_from(value.parse::<i64>().ok()?).ok().map(Duration::from_secs),
            _ => {}
        }
        Some(())
    }
}
