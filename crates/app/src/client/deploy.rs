//! Changes what is served: `deploy`, `load`, `stop`, `rm`, `wait`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::http::Server;
use super::look::path;
use super::out::{answer, line, text};
use super::{Failure, Output};

/// What to put into service.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The public model name
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Read the whole deployment from a YAML or JSON file; flags beside it win
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Where the model comes from: a path, file:PATH, or a registry name
    #[arg(short, long)]
    model: Option<String>,
    /// llama-server, openai or echo
    #[arg(short, long)]
    engine: Option<String>,
    /// Context length of one call, in tokens
    #[arg(short, long)]
    context: Option<u32>,
    /// Calls that one instance serves at once
    #[arg(short, long)]
    parallel: Option<u32>,
    /// CPU threads of one instance
    #[arg(long)]
    threads: Option<u32>,
    /// Serve embeddings too
    #[arg(long)]
    embeddings: bool,
    /// Keep it loaded, whatever its keep-alive says
    #[arg(long)]
    pin: bool,
    /// Always at least so many instances; 0 loads on the first call
    #[arg(long)]
    min: Option<u32>,
    /// Never more than so many instances
    #[arg(long)]
    max: Option<u32>,
    /// How long an instance stays without callers: 5m, 0 or forever
    #[arg(long)]
    keep_alive: Option<String>,
    /// Base URL of a remote engine, with its /v1
    #[arg(long)]
    url: Option<String>,
    /// Environment variable of the server with the remote engine's key
    #[arg(long)]
    api_key_env: Option<String>,
    /// Model name to send to the remote engine
    #[arg(long)]
    upstream_model: Option<String>,
    /// Load it now and wait until it is ready
    #[arg(short, long)]
    wait: bool,
}

pub(crate) fn deploy(server: &Server, words: &Deploy, output: Output) -> Result<(), Failure> {
    let wish = wish(words)?;
    let name = text(&wish["name"]);
    let stored = server.put(&path(&name), &wish)?;
    if words.wait {
        server.post(&format!("{}/load", path(&name)), &json!({}))?;
        wait(server, &name, WAIT)?;
    }
    answer(output, &stored, |stored| format!("{name}: stored as generation {}\n", text(&stored["generation"])))
}

/// `--wait` without a limit of its own.
const WAIT: Duration = Duration::from_mins(30);

/// The deployment that the words describe.
fn wish(words: &Deploy) -> Result<Value, Failure> {
    let mut wish = match &words.file {
        Some(file) => from_file(file)?,
        None => Map::new(),
    };
    let mut set = |key: &str, value: Option<Value>| value.map(|value| wish.insert(key.to_owned(), value));
    set("name", words.name.as_ref().map(|v| json!(v)));
    set("model", words.model.as_ref().map(|v| json!(absolute(v))));
    set("engine", words.engine.as_ref().map(|v| json!(v)));
    set("context", words.context.map(|v| json!(v)));
    set("parallel", words.parallel.map(|v| json!(v)));
    set("threads", words.threads.map(|v| json!(v)));
    set("embeddings", words.embeddings.then(|| json!(true)));
    set("pinned", words.pin.then(|| json!(true)));
    set("url", words.url.as_ref().map(|v| json!(v)));
    set("api_key_env", words.api_key_env.as_ref().map(|v| json!(v)));
    set("upstream_model", words.upstream_model.as_ref().map(|v| json!(v)));
    let replicas = [
        ("min", words.min.map(|v| json!(v))),
        ("max", words.max.map(|v| json!(v))),
        ("keep_alive", words.keep_alive.as_ref().map(|v| json!(v))),
    ];
    for (key, value) in replicas {
        if let Some(value) = value {
            wish.entry("replicas").or_insert_with(|| json!({}))[key] = value;
        }
    }
    if !wish.contains_key("name") {
        return Err(Failure::Misused { what: "the file names no deployment".to_owned(), hint: "add name: to it".to_owned() });
    }
    Ok(Value::Object(wish))
}

fn from_file(file: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::io(format!("{} cannot be read", file.display())))?;
    let wrong = |what: String| Failure::Misused { what, hint: "one deployment as YAML or JSON is expected".to_owned() };
    match serde_saphyr::from_str(&text) {
        Ok(Value::Object(wish)) => Ok(wish),
        Ok(_) => Err(wrong(format!("{} holds no deployment", file.display()))),
        Err(error) => Err(wrong(format!("{}: {error}", file.display()))),
    }
}

/// A path is meant from here, not from the server's folder.
pub(crate) fn absolute(model: &str) -> String {
    let bare = model.strip_prefix("file:").unwrap_or(model);
    let is_path = bare.len() < model.len() || bare.starts_with(['.', '/']) || bare.ends_with(".gguf");
    match std::path::absolute(bare) {
        Ok(path) if is_path && !bare.contains("://") => format!("file:{}", path.display()),
        _ => model.to_owned(),
    }
}

pub(crate) fn load(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let operation = server.post(&format!("{}/load", path(name)), &json!({}))?;
    wait(server, name, WAIT)?;
    answer(output, &operation, |_| format!("{name}: ready\n"))
}

pub(crate) fn stop(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let operation = server.post(&format!("{}/unload", path(name)), &json!({}))?;
    answer(output, &operation, |_| format!("{name}: unloading; the next call loads it again\n"))
}

pub(crate) fn remove(server: &Server, name: &str, yes: bool) -> Result<(), Failure> {
    if !yes && std::io::stdin().is_terminal() && !confirmed(name)? {
        return line("nothing was changed");
    }
    server.delete(&path(name))?;
    line(&format!("{name}: out of service; its callers may finish"))
}

fn confirmed(name: &str) -> Result<bool, Failure> {
    let failed = || Failure::io("the terminal cannot be read");
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "take `{name}` out of service? [y/N] ").and_then(|()| stderr.flush()).map_err(failed())?;
    let mut reply = String::new();
    std::io::stdin().read_line(&mut reply).map_err(failed())?;
    Ok(matches!(reply.trim(), "y" | "Y" | "yes"))
}

/// Waits until it is ready, and shows how far it is.
pub(crate) fn wait(server: &Server, name: &str, timeout: Duration) -> Result<(), Failure> {
    const LOOK: Duration = Duration::from_millis(200);
    let until = Instant::now() + timeout;
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
    loop {
        let status = server.get(&path(name))?["status"].take();
        match status["state"].as_str().unwrap_or_default() {
            "ready" => {
                bar.finish_and_clear();
                return Ok(());
            }
            "failed" => {
                bar.finish_and_clear();
                return Err(Failure::Failed { what: text(&status["reason"]["message"]), hint: text(&status["reason"]["remedy"]) });
            }
            state => bar.set_message(format!("{name}: {state} {}", text(&status["reason"]["message"]))),
        }
        if Instant::now() >= until {
            bar.finish_and_clear();
            let what = format!("{name} was not ready within {}", base::clock::human::print(timeout));
            return Err(Failure::Failed { what, hint: format!("`penstock explain {name}` says why") });
        }
        bar.tick();
        std::thread::sleep(LOOK);
    }
}
