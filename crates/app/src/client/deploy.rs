//! `penstock deploy`: puts a model into service, or changes how it is served.
//!
//! In: words, or a file, or both. Out: the stored wish. Words alone change only what they name; a
//! file is the whole wish. Fails: when the server refuses it, and when the deployment belongs to the
//! server's config, which would fight the change at its next start.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::act::{await_seen, load_and_wait};
use super::http::Server;
use super::look::path;
use super::out::{answer, text};
use super::{Failure, Output};

/// What to put into service.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The public model name
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Read the whole deployment from a YAML or JSON file; words beside it win
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Where the model comes from: a path, file:PATH, or a registry name
    #[arg(short, long)]
    model: Option<String>,
    /// The project that it belongs to; `none` takes it out of one
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// What runs: llama-server, openai (remote) or echo
    #[arg(short, long)]
    engine: Option<String>,
    /// Context length of one call, in tokens
    #[arg(short, long, value_name = "TOKENS")]
    context: Option<u32>,
    /// Calls that one instance serves at once
    #[arg(short, long, value_name = "CALLS")]
    parallel: Option<u32>,
    /// CPU threads of one instance
    #[arg(long, value_name = "COUNT")]
    threads: Option<u32>,
    /// Layers to put on the GPU
    #[arg(long, value_name = "COUNT")]
    gpu_layers: Option<u32>,
    /// How the context is stored: f16, q8_0, q4_0, ...
    #[arg(long, value_name = "TYPE")]
    cache_type: Option<String>,
    /// Serve embeddings too
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", hide_possible_values = true)]
    embeddings: Option<bool>,
    /// Keep it loaded, whatever its keep-alive says
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", hide_possible_values = true)]
    pin: Option<bool>,
    /// Always at least so many instances; 0 loads on the first call
    #[arg(long, value_name = "COUNT")]
    min: Option<u32>,
    /// Never more than so many instances
    #[arg(long, value_name = "COUNT")]
    max: Option<u32>,
    /// How long an instance stays without callers: 5m, 0 or forever
    #[arg(long, value_name = "TIME")]
    keep_alive: Option<String>,
    /// Calls that all instances together serve at once
    #[arg(long, value_name = "CALLS")]
    max_concurrent: Option<u32>,
    /// What happens to a call that finds every slot taken: queue, reject or fallback
    #[arg(long, value_name = "WHAT", value_parser = ["queue", "reject", "fallback"], hide_possible_values = true)]
    when_full: Option<String>,
    /// A deployment or route to ask when this one cannot serve; may be given again
    #[arg(long, value_name = "NAME")]
    fallback: Vec<String>,
    /// What keeps related calls on one instance: none, session or prefix
    #[arg(long, value_name = "BY", value_parser = ["none", "session", "prefix"], hide_possible_values = true)]
    affinity: Option<String>,
    /// Base URL of a remote engine, with its /v1
    #[arg(long)]
    url: Option<String>,
    /// Variable in the server's environment with the remote engine's key
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Secret of the server with the remote engine's key, as `penstock secret set` keeps it
    #[arg(long, value_name = "NAME", conflicts_with = "api_key_env")]
    api_key_secret: Option<String>,
    /// Model name to send to the remote engine
    #[arg(long, value_name = "NAME")]
    upstream_model: Option<String>,
    /// Load it now and wait until it is ready
    #[arg(short, long)]
    wait: bool,
}

pub(crate) fn deploy(server: &Server, words: &Deploy, output: Output) -> Result<(), Failure> {
    let wish = wish(words)?;
    let name = text(&wish["name"]);
    let before = match server.get(&path(&name)) {
        Err(failure) if failure.is_missing() => Value::Null,
        other => other?,
    };
    if before["status"]["origin"] == "config" {
        let what = format!("`{name}` stands in the server's config, so it is changed there");
        return Err(Failure::Failed { what, hint: "change the file and send the server a HUP, or choose another name".to_owned() });
    }
    let stored = store(server, words, &wish, &before)?;
    let mut stored = await_seen(server, &name, stored)?;
    if words.wait {
        load_and_wait(server, &name, stored["generation"].as_u64())?;
        stored = server.get(&path(&name))?;
    }
    answer(output, &stored, |stored| format!("{name}: {}\n", outcome(words, &before, stored)))
}

/// A file replaces the wish; words change it, or make a new one. One on its way out is made anew.
fn store(server: &Server, words: &Deploy, wish: &Value, before: &Value) -> Result<Value, Failure> {
    let path = path(&text(&wish["name"]));
    if before.is_null() && words.file.is_none() {
        return server.post("/api/v1/deployments", wish);
    }
    if words.file.is_some() || before["status"]["state"] == "deleting" {
        return server.put(&path, wish);
    }
    server.patch(&path, wish)
}

fn outcome(words: &Deploy, before: &Value, stored: &Value) -> String {
    let loads = if stored["spec"]["replicas"]["min"] == 0 { "the first call loads it" } else { "it is being loaded" };
    let is_new = before.is_null() || before["status"]["state"] == "deleting";
    let change = match () {
        () if is_new => "in service".to_owned(),
        () if before["generation"] == stored["generation"] => "unchanged".to_owned(),
        () => format!("changed, now at generation {}", text(&stored["generation"])),
    };
    match () {
        () if words.wait => format!("{change}, ready"),
        () if is_new => format!("{change}; {loads}"),
        () => change,
    }
}

/// The deployment that the words describe, or as much of it as they say.
fn wish(words: &Deploy) -> Result<Value, Failure> {
    let mut wish = match &words.file {
        Some(file) => from_file(file)?,
        None => Map::new(),
    };
    let said = [
        ("name", words.name.as_ref().map(|v| json!(v))),
        ("model", words.model.as_ref().map(|v| json!(absolute(v)))),
        ("project", words.project.as_ref().map(|v| if v == "none" { Value::Null } else { json!(v) })),
        ("engine", words.engine.as_ref().map(|v| json!(v))),
        ("context", words.context.map(|v| json!(v))),
        ("parallel", words.parallel.map(|v| json!(v))),
        ("threads", words.threads.map(|v| json!(v))),
        ("gpu_layers", words.gpu_layers.map(|v| json!(v))),
        ("cache_type", words.cache_type.as_ref().map(|v| json!(v))),
        ("embeddings", words.embeddings.map(|v| json!(v))),
        ("pinned", words.pin.map(|v| json!(v))),
        ("max_concurrent", words.max_concurrent.map(|v| json!(v))),
        ("when_full", words.when_full.as_ref().map(|v| json!(v))),
        ("fallback", (!words.fallback.is_empty()).then(|| json!(words.fallback))),
        ("affinity", words.affinity.as_ref().map(|v| json!(v))),
        ("url", words.url.as_ref().map(|v| json!(v))),
        ("api_key_env", words.api_key_env.as_ref().map(|v| json!(v))),
        ("api_key_secret", words.api_key_secret.as_ref().map(|v| json!(v))),
        ("upstream_model", words.upstream_model.as_ref().map(|v| json!(v))),
    ];
    wish.extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let replicas = [
        ("min", words.min.map(|v| json!(v))),
        ("max", words.max.map(|v| json!(v))),
        ("keep_alive", words.keep_alive.as_ref().map(|v| json!(v))),
    ];
    for (key, value) in replicas.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        wish.entry("replicas").or_insert_with(|| json!({}))[key] = value;
    }
    Ok(Value::Object(wish))
}

fn from_file(file: &Path) -> Result<Map<String, Value>, Failure> {
    let words = std::fs::read_to_string(file).map_err(Failure::io(format!("{} cannot be read", file.display())))?;
    let wrong = |what: String, hint: &str| Err(Failure::Misused { what, hint: hint.to_owned() });
    let mut wish = match serde_saphyr::from_str(&words) {
        Ok(Value::Object(wish)) => wish,
        Ok(_) => return wrong(format!("{} holds no deployment", file.display()), "one deployment as YAML or JSON is expected"),
        Err(error) => return wrong(format!("{}: {error}", file.display()), "one deployment as YAML or JSON is expected"),
    };
    if ["deployments", "listen", "data_dir"].iter().any(|key| wish.contains_key(*key)) {
        return wrong(
            format!("{} is a config, not a deployment", file.display()),
            "start a server with it (`penstock serve --config FILE`), or write one of its deployments into a file of its own",
        );
    }
    if !wish.get("name").is_some_and(Value::is_string) {
        return wrong(format!("{} names no deployment", file.display()), "add `name:` to it");
    }
    // A path counts from the file, as in a config.
    if let Some(Value::String(model)) = wish.get_mut("model") {
        *model = absolute_from(file.parent().unwrap_or(Path::new("")), model);
    }
    Ok(wish)
}

/// A path is meant from here, not from the server's folder.
pub(crate) fn absolute(model: &str) -> String {
    absolute_from(Path::new(""), model)
}

fn absolute_from(folder: &Path, model: &str) -> String {
    let bare = model.strip_prefix("file:").unwrap_or(model);
    let is_path = bare.len() < model.len() || bare.starts_with(['.', '/']) || bare.to_ascii_lowercase().ends_with(".gguf");
    match std::path::absolute(folder.join(bare)) {
        Ok(path) if is_path && !bare.contains("://") => format!("file:{}", path.display()),
        _ => model.to_owned(),
    }
}
