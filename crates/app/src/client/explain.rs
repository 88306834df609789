//! Why it is so, and what would be: `explain`, `fit`.

use base::Timestamp;
use clap::Args;
use serde_json::{Map, Value, json};

use super::http::Server;
use super::look::path;
use super::out::{age, answer, pairs, size, table, text};
use super::{Failure, Output};

/// What to ask about.
#[derive(Debug, Args)]
pub struct Fit {
    /// A deployment, a .gguf file, or a model of the registry
    model: String,
    /// With this context, in tokens
    #[arg(long, value_name = "TOKENS")]
    context: Option<u32>,
    /// With so many calls at once
    #[arg(long, value_name = "CALLS")]
    parallel: Option<u32>,
    /// With keys and values stored so: f16, q8_0, q4_0, …
    #[arg(long, value_name = "TYPE")]
    cache_type: Option<String>,
    /// With so many layers on the GPU
    #[arg(long, value_name = "LAYERS")]
    gpu_layers: Option<u32>,
}

pub(crate) fn explain(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let explained = server.get(&format!("{}/explain", path(name)))?;
    answer(output, &explained, |e| explanation(e, Timestamp::now()))
}

pub(crate) fn fit(server: &Server, words: &Fit, output: Output) -> Result<(), Failure> {
    let found = server.post("/api/v1/fit", &asked(server, words)?)?;
    answer(output, &found, |found| trial(found, Timestamp::now()))
}

/// A deployment of that name is asked about before a file or a model of the same name.
fn asked(server: &Server, words: &Fit) -> Result<Value, Failure> {
    let mut asked = Map::new();
    let is_deployment = !super::run::is_path(&words.model)
        && match server.get(&path(&words.model)) {
            Ok(_) => true,
            Err(failure) if failure.is_missing() => false,
            Err(failure) => return Err(failure),
        };
    let (key, value) = if is_deployment { ("name", words.model.clone()) } else { ("model", super::deploy::absolute(&words.model)) };
    asked.insert(key.to_owned(), json!(value));
    let numbers = [("context", words.context), ("parallel", words.parallel), ("gpu_layers", words.gpu_layers)];
    asked.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), json!(number?)))));
    asked.extend(words.cache_type.as_ref().map(|word| ("cache_type".to_owned(), json!(word))));
    Ok(Value::Object(asked))
}

pub(super) fn explanation(e: &Value, now: Timestamp) -> String {
    let blocked = &e["blocked"];
    let head = pairs(&[
        ("name", text(&e["name"])),
        ("state", text(&e["state"])),
        ("reason", text(&e["reason"]["message"])),
        ("to do", text(&e["reason"]["remedy"])),
        ("memory", size(&e["memory"])),
        ("rollout", rollout(&e["rollout"])),
        ("instances", scaling(&e["scaling"])),
        ("blocked by", if blocked["message"] == e["reason"]["message"] { String::new() } else { text(&blocked["message"]) }),
        ("next try", ahead(&e["again_at"], now)),
        ("room", if e["next"].is_null() { String::new() } else { verdict(&e["next"], now) }),
    ]);
    let instances = list(&e["instances"]).iter().map(|one| {
        let id: String = text(&one["id"]).chars().take(SHORT).collect();
        [id, text(&one["phase"]), age(&one["since"], now), cause(&one["cause"]), text(&one["reason"]["message"])]
    });
    let instances: Vec<_> = instances.collect();
    let here = if instances.is_empty() {
        String::new()
    } else {
        format!("\n{}", table(["INSTANCE", "PHASE", "SINCE", "BECAUSE", "WHY"], instances))
    };
    format!("{head}{here}{}\n{}", leave(&e["next"], now), steps(e))
}

/// Steps that wait for the one before them have its reason; said once, it is easier to see.
fn steps(e: &Value) -> String {
    let mut said = String::new();
    let rows = list(&e["steps"]).iter().map(|s| {
        let why = text(&s["reason"]["message"]);
        let again = why == said;
        said.clone_from(&why);
        let once = |text: String| if again { String::new() } else { text };
        [text(&s["step"]), text(&s["state"]), once(why), once(text(&s["reason"]["remedy"]))]
    });
    table(["STEP", "STATE", "WHY", "TO DO"], rows)
}

/// Digits of an id that a person sees.
const SHORT: usize = 8;

/// What the engine room would do.
pub(super) fn trial(found: &Value, now: Timestamp) -> String {
    let measured = if found["measured"] == true { "as measured" } else { "by estimate" };
    let head = pairs(&[
        ("fits", verdict(found, now)),
        ("memory", format!("{}, {measured}", size(&found["memory"]))),
        ("where", place(&found["grant"])),
        ("to do", text(&found["reason"]["remedy"])),
    ]);
    format!("{head}{}", leave(found, now))
}

/// In one line.
fn verdict(found: &Value, now: Timestamp) -> String {
    let why = text(&found["reason"]["message"]);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    match found["verdict"].as_str() {
        Some("fits") => "would start at once".to_owned(),
        Some("after_others") => {
            let count = list(&found["leave"]).len();
            let others = if count == 1 { "one other instance".to_owned() } else { format!("{count} other instances") };
            format!("would start when {others} has left{why}").replace("instances has", "instances have")
        }
        Some("waits") => {
            let when = ahead(&found["again_at"], now);
            format!("would wait{}{why}", if when.is_empty() { when } else { format!(", looked at again {when}") })
        }
        _ => format!("no{why}"),
    }
}

fn place(grant: &Value) -> String {
    let share = |share: &Value| {
        let layers = share["layers"].as_u64().filter(|layers| *layers > 0).map(|layers| format!(" ({layers} layers)")).unwrap_or_default();
        format!("{} of {}{layers}", size(&share["bytes"]), text(&share["device"]))
    };
    let shares: Vec<String> = list(&grant["shares"]).iter().map(share).collect();
    if shares.is_empty() { String::new() } else { format!("{}: {}", text(&grant["node"]), shares.join(", ")) }
}

/// Who would leave, and what that costs.
fn leave(found: &Value, now: Timestamp) -> String {
    let leavers = list(&found["leave"]);
    if leavers.is_empty() {
        return String::new();
    }
    let rows = leavers.iter().map(|one| {
        let reload = format!("{} ms", text(&one["reload_ms"]));
        let used = format!("{} ago", age(&one["last_used"], now));
        [
            text(&one["deployment"]),
            text(&one["instance"]).chars().take(SHORT).collect(),
            size(&one["memory"]),
            reload,
            text(&one["in_flight"]),
            used,
        ]
    });
    format!("\n{}", table(["WOULD LEAVE", "INSTANCE", "GIVES BACK", "RELOAD", "CALLS", "LAST USED"], rows))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// How long until then.
fn ahead(at: &Value, now: Timestamp) -> String {
    let Some(at) = at.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return String::new() };
    format!("in {} s", at.since(now).as_millis().div_ceil(1000))
}

/// Who or what brought it about.
pub(super) fn cause(cause: &Value) -> String {
    let detail = ["token", "for", "of", "name", "waiting", "revision"].iter().find_map(|key| cause.get(key));
    let detail = detail.map(text).filter(|detail| !detail.is_empty());
    detail.map_or_else(|| text(&cause["kind"]), |detail| format!("{} {detail}", text(&cause["kind"])))
}

/// Nothing to say of one that is over.
fn rollout(status: &Value) -> String {
    if status["from"].is_null() || status["state"] == "complete" {
        return String::new();
    }
    let why = text(&status["reason"]["message"]);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{}, from revision {} to {}{why}", text(&status["state"]), text(&status["from"]), text(&status["to"]))
}

fn scaling(scaling: &Value) -> String {
    let because: Vec<String> =
        scaling["because"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|reason| text(&reason["message"])).collect();
    format!("{} wanted of {} to {}: {}", text(&scaling["wanted"]), text(&scaling["min"]), text(&scaling["max"]), because.join("; "))
}
