//! `penstock run`: talk to a model in the terminal.
//!
//! In: a model's name, file or source, and a question from the words, from standard input or from a person.
//! Out: the answer as it is made. It starts nothing that it was not asked to: a running server is
//! used; without one it runs one for itself, says so, and takes it down at the end. A source on another machine (`hf:`, `ollama:`,
//! a URL) is pulled first, if it was not before, by a server that keeps it.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use base::Fault as _;
use clap::Args;
use serde_json::json;
use spec::Source;

use super::act::load_and_wait;
use super::chat::Question;
use super::deploy::absolute;
use super::http::Server;
use super::look::{near, path};
use super::out::{note, text};
use super::own::Own;
use super::talk::Talk;
use super::{Failure, Globals, model, pull};

/// What to talk to.
#[derive(Debug, Args)]
pub struct Run {
    /// A deployment, a .gguf file, or what is pulled first: hf:OWNER/REPO[/FILE][:QUANTISATION], ollama:NAME[:TAG], https://…
    model: String,
    /// The question; without it, standard input or a talk
    prompt: Vec<String>,
    /// What the model is told first
    #[arg(short, long, value_name = "WORDS")]
    system: Option<String>,
    /// Show tokens and speed after each answer
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(words: &Run, globals: &Globals) -> Result<(), Failure> {
    let running = Server::of(globals)?;
    let own = match running.alive() {
        Ok(()) => None,
        Err(Failure::NoServer { .. } | Failure::Stranger { .. }) if is_file(&words.model) && globals.server.is_none() => {
            Some(own(&running)?)
        }
        Err(Failure::NoServer { .. } | Failure::Stranger { .. }) if is_model_file(&words.model) => return Err(no_file(&words.model)),
        Err(failure) => return Err(failure),
    };
    if is_path(&words.model) && !Path::new(bare(&words.model)).exists() {
        return Err(no_file(&words.model));
    }
    let server = match &own {
        Some(own) => own.server()?,
        None => running,
    };
    let talked = talk(words, globals, server.clone());
    talked.map_err(|failure| near(&server, &words.model, failure))
}

fn talk(words: &Run, globals: &Globals, server: Server) -> Result<(), Failure> {
    let model = model(&server, &words.model)?;
    let system = words.system.iter().map(|system| json!({ "role": "system", "content": system }));
    let question = Question { server, model, messages: system.collect() };
    let mut talk = Talk::new(question, words.verbose, globals.output);
    if !words.prompt.is_empty() {
        return talk.turn(words.prompt.join(" ").trim());
    }
    if std::io::stdin().is_terminal() {
        return talk.person();
    }
    let mut piped = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut piped).map_err(Failure::io("standard input cannot be read"))?;
    talk.turn(piped.trim())
}

/// No model reads a longer question.
const LONGEST: u64 = 64 << 20;

fn own(running: &Server) -> Result<Own, Failure> {
    note(&format!("no server answers at {}: running one for this talk", running.url()));
    Own::start()
}

fn is_file(model: &str) -> bool {
    is_model_file(model) && Path::new(bare(model)).exists()
}

/// Whether it is the name of a model file, there or not.
fn is_model_file(model: &str) -> bool {
    bare(model).to_ascii_lowercase().ends_with(".gguf")
}

fn bare(model: &str) -> &str {
    model.strip_prefix("file:").unwrap_or(model)
}

/// Whether it can be nothing else: names of models have endings too.
pub(super) fn is_path(model: &str) -> bool {
    model.starts_with(['.', '/']) || bare(model).len() < model.len()
}

fn no_file(model: &str) -> Failure {
    let path = Path::new(bare(model));
    let missing = registry::Error::missing(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    Failure::Misused { what: missing.to_string(), hint: missing.hint().unwrap_or_default() }
}

/// The name to ask for; a file is put into service first, under its own name, and so is what has to be pulled.
fn model(server: &Server, model: &str) -> Result<String, Failure> {
    match Source::parse(model) {
        Ok(source) if source.is_remote() => {
            let name = pulled(server, &source)?;
            serve(server, &name, &name)
        }
        _ if is_file(model) => serve(server, &name_of(Path::new(bare(model))), &absolute(model)),
        _ => Ok(model.to_owned()),
    }
}

/// The model that came from there; what is here already is not asked for again.
fn pulled(server: &Server, source: &Source) -> Result<String, Failure> {
    let name = source.suggested_name().ok_or_else(|| Failure::Misused {
        what: format!("`{source}` suggests no name"),
        hint: format!("say one: penstock pull {source} NAME, then penstock deploy NAME --model NAME"),
    })?;
    match server.get(&model::path(name.as_str())) {
        Err(failure) if failure.is_missing() => pull::bring(server, &json!({ "name": name, "source": source })).map(|_came| ())?,
        Err(failure) => return Err(failure),
        Ok(known) if text(&known["spec"]["source"]) == source.to_string() => {}
        Ok(known) => {
            let what = format!("there is a model `{name}` already, from {}", text(&known["spec"]["source"]));
            let hint = format!("pull yours under another name: penstock pull {source} NAME, then penstock deploy NAME --model NAME");
            return Err(Failure::Failed { what, hint });
        }
    }
    Ok(name.to_string())
}

fn serve(server: &Server, name: &str, model: &str) -> Result<String, Failure> {
    let wish = json!({ "name": name, "model": model });
    match server.post("/api/v1/deployments", &wish) {
        Ok(_) => {
            note(&format!("{name}: put into service from {model}"));
            load_and_wait(server, name, None)?;
        }
        Err(Failure::Refused { status: 409, .. }) => {
            let served = server.get(&path(name))?["spec"]["model"].clone();
            if served != wish["model"] {
                let what = format!("`{name}` is served already, from {}", text(&served));
                let hint = format!("put yours into service under another name: penstock deploy NAME --model {model}");
                return Err(Failure::Failed { what, hint });
            }
        }
        Err(other) => return Err(other),
    }
    Ok(name.to_owned())
}

/// The file's name without its ending, in letters that a deployment's name may have.
pub(super) fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(allowed).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}
