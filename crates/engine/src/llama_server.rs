//! llama.cpp's server as a child process on a Unix socket.
//!
//! In: a GGUF version and a deployment. Out: its command line. From: `llama-server --help` and its
//! README; what its defaults would do to us is said beside each flag that overrides one.

use std::time::Duration;

use spec::{Deployment, Dialect, Endpoint, Order, Revision, Version};

mod memory;
mod slots;
mod tuning;

use memory::{DRIVER, Estimate};

use crate::{Engine, Error, Load, Memory, Needs, Place, Probe, Sleep, devices, metrics, order};

/// llama.cpp's server.
#[derive(Debug)]
pub(crate) struct LlamaServer;

/// Bytes that `sun_path` holds, less its final zero.
const LONGEST_SOCKET_PATH: usize = 107;

impl Engine for LlamaServer {
    fn order(&self, revision: &Revision, place: &Place) -> Result<Order, Error> {
        let spec = &revision.spec;
        let version =
            revision.version.as_ref().ok_or_else(|| Error::NoVersion { deployment: spec.name.clone(), revision: revision.number })?;
        check_arguments(spec)?;
        let mut order = order(revision, place, self.memory(Some(version), spec));
        let socket = socket_path(&order)?;
        let mut line = Line::new(&place.binary);
        line.must("--model", version.path.display())?;
        if let Some(projector) = version.projector() {
            line.must("--mmproj", projector.display())?;
        }
        line.must("--alias", &spec.name)?;
        line.must("--host", socket)?;
        // Without -kvu the context is split between the slots, so each gets all that was promised.
        line.must("--ctx-size", u64::from(context(version, spec)) * u64::from(spec.slots()))?;
        line.must("--parallel", spec.slots())?;
        line.flag("--no-kv-unified");
        line.must("--threads", spec.threads.unwrap_or(place.threads).max(1))?;
        line.option("--threads-http", spec.slots().saturating_add(SPARE_HTTP_THREADS));
        line.option("--cache-ram", 0); // else up to 8 GiB that no budget knows of
        line.option("--ctx-checkpoints", tuning::CHECKPOINTS); // else 32 copies of all windows and states for each slot
        if let Some(kind) = spec.cache_type {
            line.must("--cache-type-k", kind)?;
            line.must("--cache-type-v", kind)?;
        }
        for (flag, value) in devices::arguments(&place.grant) {
            line.option(flag, value);
        }
        line.flag_or("--no-ui", "--no-webui");
        line.option("--cors-origins", "localhost"); // else any page may ask with the person's credentials
        line.flag("--no-cors-credentials");
        line.flag("--slots"); // prompts stand there only where LLAMA_SERVER_SLOTS_DEBUG is set, and a deployment may not set it
        line.flag("--metrics");
        line.flag("--offline");
        if let Some(after) = spec.replicas.sleep_after {
            line.must("--sleep-idle-seconds", after.as_secs().max(1))?;
        }
        if spec.embeddings {
            let context = context(version, spec);
            line.must("--embeddings", "")?;
            line.option("--pooling", "mean");
            // An input longer than one physical batch is refused with 500.
            line.option("--batch-size", context);
            line.option("--ubatch-size", context);
        }
        as_the_card_says(&mut line, version)?;
        line.args.extend(spec.args.iter().cloned()); // later words win: a deployment may know better than its model's card
        order.args = line.args;
        order.env.clone_from(&spec.env);
        order.env.retain(|name, _| spec::Deployment::takes_variable(name)); // a wish that was stored before such names were refused
        order.env.extend(devices::environment(&place.grant));
        order.env.insert("LLAMA_API_KEY".to_owned(), place.key.expose().to_owned()); // an argument could be read by all
        Ok(order)
    }

    fn memory(&self, version: Option<&Version>, spec: &Deployment) -> Memory {
        version.map_or_else(Memory::default, |version| Estimate::of(version, spec).memory())
    }

    fn needs(&self, version: Option<&Version>, spec: &Deployment) -> Needs {
        version.map_or_else(Needs::default, |version| Estimate::of(version, spec).needs())
    }

    fn probe(&self) -> Probe {
        Probe {
            path: "/health",
            loading: Some(503),
            key_may_be_refused: false,
            // A task of the loop answers it, in the line of all other tasks: the answer is a canary that harms nobody's cache.
            pulse: Some("/metrics"),
            slots: Some("/slots"),
            // To count tokens takes the vocabulary, and so wakes it, and keeps no slot busy.
            sleep: Some(Sleep { asks: "/props", wakes: ("/tokenize", r#"{"content":""}"#), keeps: DRIVER }),
            timeout: Duration::from_secs(5),
        }
    }

    fn load(&self, page: &str, slots: Option<&str>) -> Option<Load> {
        let number = |name| metrics::value(page, name);
        let running = metrics::count(number("llamacpp:requests_processing")?);
        Some(Load {
            running,
            waiting: metrics::count(number("llamacpp:requests_deferred").unwrap_or(0.0)),
            steps: metrics::total(
                ["llamacpp:n_decode_total", "llamacpp:tokens_predicted_total"].into_iter().find_map(number).unwrap_or(0.0),
            ),
            kv_use: if running == 0 { Some(0) } else { slots.and_then(slots::kv_use) },
        })
    }

    fn dialect(&self, spec: &Deployment) -> Dialect {
        Dialect { chat: true, completions: true, embeddings: spec.embeddings, always_stream: true, stream_usage: true }
    }
}

/// Its HTTP threads beside one for each slot: probes, metrics, a caller that just left.
const SPARE_HTTP_THREADS: u32 = 4;
fn context(version: &Version, spec: &Deployment) -> u32 {
    spec.context_with(Some(version)).unwrap_or(0).max(1)
}

/// What a call gets where it says nothing, and the chat template that stands for the file's.
fn as_the_card_says(line: &mut Line<'_>, version: &Version) -> Result<(), Error> {
    let serving = &version.contents.serving;
    for (flag, value) in serving.parameters.flags() {
        line.must(flag, value)?;
    }
    if let Some(template) = &serving.chat_template {
        line.must("--chat-template", template)?;
        line.flag("--jinja"); // older builds take only templates that they know by heart without it
    }
    Ok(())
}

/// Also of a wish that was stored before such words were refused.
fn check_arguments(spec: &Deployment) -> Result<(), Error> {
    spec.argument_problems().into_iter().next().map_or(Ok(()), |problem| Err(Error::Argument(problem)))
}

fn socket_path(order: &Order) -> Result<String, Error> {
    let path = match &order.endpoint {
        Endpoint::Unix(path) => path.display().to_string(),
        Endpoint::Url(url) => url.clone(),
    };
    let length = path.len();
    if length > LONGEST_SOCKET_PATH { Err(Error::SocketPath { length, most: LONGEST_SOCKET_PATH, path }) } else { Ok(path) }
}

/// A command line that is built from the flags which this build of the engine knows.
struct Line<'a> {
    binary: &'a spec::Binary,
    args: Vec<String>,
}

impl<'a> Line<'a> {
    fn new(binary: &'a spec::Binary) -> Self {
        Self { binary, args: Vec::new() }
    }
    fn knows(&self, flag: &str) -> bool {
        self.binary.flags.contains(flag)
    }
    /// A flag without which the engine cannot be run.
    fn must(&mut self, flag: &'static str, value: impl std::fmt::Display) -> Result<(), Error> {
        if !self.knows(flag) {
            return Err(Error::MissingFlag { program: "llama-server", version: self.binary.version.clone(), flag });
        }
        self.option(flag, value);
        Ok(())
    }
    /// A flag with a value, if the engine knows it.
    fn option(&mut self, flag: &str, value: impl std::fmt::Display) {
        if self.knows(flag) {
            self.args.push(flag.to_owned());
            let value = value.to_string();
            if !value.is_empty() {
                self.args.push(value);
            }
        }
    }
    /// A bare flag, if the engine knows it.
    fn flag(&mut self, flag: &str) {
        self.option(flag, "");
    }
    /// The first of two names of the same flag that the engine knows.
    fn flag_or(&mut self, flag: &str, older: &str) {
        self.flag(if self.knows(flag) { flag } else { older });
    }
}
