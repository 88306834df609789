//! What an engine says of itself in Prometheus' text.
//!
//! In: counts. Out: llama-server's page, or one with vLLM's names. Fails: never. From: llama.cpp
//! (`server-task.cpp`, `to_metrics`) and vLLM (`v1/metrics/loggers.py`). llama-server prints six digits
//! and no more, so a large counter stands still for a while: that is played too.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Engine;

/// Counts since the start.
#[derive(Debug)]
pub(super) struct Numbers {
    begun: Instant,
    ready: OnceLock<Instant>,
    pub(super) ending: AtomicBool,
    /// Its loop makes no step any more.
    pub(super) dead: AtomicBool,
    pub(super) calls: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) prompt_micros: AtomicU64,
    pub(super) tokens: AtomicU64,
    pub(super) token_micros: AtomicU64,
    /// Tokens that lie in slots.
    pub(super) held_tokens: AtomicU64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            begun: Instant::now(),
            ready: OnceLock::new(),
            ending: AtomicBool::default(),
            dead: AtomicBool::default(),
            calls: zero(),
            finished: zero(),
            prompt_tokens: zero(),
            prompt_micros: zero(),
            tokens: zero(),
            token_micros: zero(),
            held_tokens: zero(),
        }
    }
    /// It is loaded.
    pub(super) fn set_ready(&self) {
        self.ready.get_or_init(Instant::now);
    }
    /// Since when it is loaded, if it is.
    pub(super) fn ready_for(&self) -> Option<Duration> {
        self.ready.get().map(Instant::elapsed)
    }
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// The page.
pub(super) fn page(engine: &Engine) -> String {
    if engine.behaviour.vllm { vllm(engine) } else { llama(engine) }
}

fn llama(engine: &Engine) -> String {
    let numbers = &engine.numbers;
    let (prompt, tokens) = (count(&numbers.prompt_tokens), count(&numbers.tokens));
    let (prompt_seconds, token_seconds) = (seconds(&numbers.prompt_micros), seconds(&numbers.token_micros));
    let rate = |count: f64, seconds: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
    let mut page = String::new();
    let mut add = |kind: &str, name: &str, help: &str, value: f64| {
        let value = six_digits(value);
        let _ = write!(page, "# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n");
    };
    add("counter", "prompt_tokens_total", "Number of prompt tokens processed, excluding cached tokens", prompt);
    add("counter", "prompt_tokens_cached_total", "Number of prompt tokens reused from the cache", 0.0);
    add("counter", "prompt_seconds_total", "Total time spent processing prompts", prompt_seconds);
    add("counter", "tokens_predicted_total", "Number of generation tokens processed", tokens);
    add("counter", "tokens_predicted_seconds_total", "Total time spent generating tokens", token_seconds);
    add("counter", "n_decode_total", "Total number of llama_decode() calls", tokens);
    add("counter", "n_tokens_max", "Largest observed sequence length (prompt + generation)", 0.0);
    add("gauge", "prompt_tokens_seconds", "Average prompt throughput in tokens/s", rate(prompt, prompt_seconds));
    add("gauge", "predicted_tokens_seconds", "Average generation throughput in tokens/s", rate(tokens, token_seconds));
    add("gauge", "requests_processing", "Number of requests processing", f64::from(engine.slots.busy()));
    add("gauge", "requests_deferred", "Number of requests deferred", f64::from(engine.slots.deferred()));
    add("gauge", "n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call", f64::from(engine.slots.busy()));
    page
}

fn vllm(engine: &Engine) -> String {
    let numbers = &engine.numbers;
    let labels = format!("engine=\"0\",model_name=\"{}\"", engine.args.alias);
    let cells = engine.args.context.max(1);
    let mut page = String::new();
    let mut add = |kind: &str, name: &str, help: &str, value: f64| {
        let _ = write!(page, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}\nvllm:{name}{{{labels}}} {value:?}\n");
    };
    add("gauge", "num_requests_running", "Number of requests in model execution batches.", f64::from(engine.slots.busy()));
    add("gauge", "num_requests_waiting", "Number of requests waiting to be processed.", f64::from(engine.slots.deferred()));
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let used = numbers.held_tokens.load(Relaxed) as f64 / cells as f64;
    add("gauge", "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", used.min(1.0));
    add(
        "counter",
        "prefix_cache_queries_total",
        "Prefix cache queries, in terms of number of queried tokens.",
        count(&numbers.prompt_tokens),
    );
    add("counter", "prefix_cache_hits_total", "Prefix cache hits, in terms of number of cached tokens.", 0.0);
    add("counter", "num_preemptions_total", "Cumulative number of preemption from the engine.", 0.0);
    add("counter", "prompt_tokens_total", "Number of prefill tokens processed.", count(&numbers.prompt_tokens));
    add("counter", "generation_tokens_total", "Number of generation tokens processed.", count(&numbers.tokens));
    let done = count(&numbers.finished);
    let _ = write!(
        page,
        "# HELP vllm:request_success_total Count of successfully processed requests.\n# TYPE vllm:request_success_total counter\n\
         vllm:request_success_total{{{labels},finished_reason=\"stop\"}} {done:?}\n"
    );
    page
}

#[expect(clippy::cast_precision_loss, reason = "shown with six digits")]
fn count(number: &AtomicU64) -> f64 {
    number.load(Relaxed) as f64
}

fn seconds(micros: &AtomicU64) -> f64 {
    Duration::from_micros(micros.load(Relaxed)).as_secs_f64()
}

/// As C++ prints a number unless told otherwise.
pub(super) fn six_digits(value: f64) -> String {
    const DIGITS: i32 = 6;
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    // The exponent after rounding, so that 999999.7 becomes 1e+06.
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed =
        |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}
