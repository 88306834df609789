//! `penstock pull`: has the server fetch a model, and shows how far it is; `model prune`: takes away what nothing refers to.
//!
//! In: a source, or the name of a model that came from one. Out: a version of the model there. Fails: as the pull does, with what to do
//! about it. Ctrl-C stops the pull; what has come stays, and the same command goes on behind it. Holds: a thread that waits for Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{ByteSize, tasks};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};
use spec::Source;

use super::card::Card;
use super::http::{Server, segment};
use super::model::{path, split};
use super::out::{answer, note, size, text};
use super::{Failure, Output};

/// What to pull.
#[derive(Debug, Args)]
pub struct Pull {
    /// hf:OWNER/REPO[/FILE][@REVISION][:QUANTISATION], ollama:NAME[:TAG], https://…, s3://…, or a model that came from there
    source: String,
    /// What it is called here: NAME, or NAME:TAG to set a tag too; by default after its source
    name: Option<String>,
    /// Do not wait for it: print the operation, which goes on by itself
    #[arg(short, long)]
    detach: bool,
    /// The format, where it is not found out by itself: opaque
    #[arg(long)]
    format: Option<String>,
    /// What is said of this version
    #[arg(long, value_name = "WORDS")]
    note: Option<String>,
    #[command(flatten)]
    card: Box<Card>,
}

/// What to take away.
#[derive(Debug, Args)]
pub struct Prune {
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Keep what was used within this time; less than the server's blobs.grace takes the right `update server`
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
    /// Sweep the object store as well; only when no other Penstock uses it. This takes the right `update server`
    #[arg(long)]
    store: bool,
}

const MODELS: &str = "/api/v1/models";

pub(crate) fn pull(server: &Server, words: &Pull, output: Output) -> Result<(), Failure> {
    let wanted = wanted(server, words)?;
    if words.detach {
        let begun = server.post(MODELS, &wanted)?;
        return answer(output, &begun, |begun| format!("{} goes on as operation {}\n", text(&begun["target"]), text(&begun["id"])));
    }
    answer(output, &bring(server, &wanted)?, |ended| format!("{}\n", text(&ended["message"])))
}

/// Has it fetched, shows how far it is, and waits until it is there.
pub(super) fn bring(server: &Server, wanted: &Value) -> Result<Value, Failure> {
    let begun = server.post(MODELS, wanted)?;
    let place = format!("/api/v1/operations/{}", segment(&text(&begun["id"])));
    let watched = Watched::begin(server, &place)?;
    let ended = follow(server, &place, begun)?;
    drop(watched);
    if ended["state"] == "succeeded" {
        return Ok(ended);
    }
    let reason = &ended["reason"];
    Err(Failure::Failed { what: text(&reason["message"]), hint: text(&reason["remedy"]) })
}

/// The format that is never found out, so that somebody has said it of the model.
const SAID: &str = "opaque";

/// The registration that fetches it.
fn wanted(server: &Server, words: &Pull) -> Result<Value, Failure> {
    let misused = |what: String, hint: &str| Failure::Misused { what, hint: hint.to_owned() };
    let source = Source::parse(&words.source).map_err(|error| misused(error.to_string(), "see `penstock pull --help`"))?;
    let (source, usual, known) = match source {
        Source::Registry { name, .. } => {
            let model = server.get(&path(name.as_str()));
            let model = model.map_err(|failure| if failure.is_missing() { nothing(&words.source) } else { failure })?;
            let format = text(&model["status"]["versions"][0]["format"]);
            (text(&model["spec"]["source"]), Some(name.to_string()), Some(format).filter(|format| format == SAID))
        }
        remote if remote.is_remote() => (remote.to_string(), remote.suggested_name().map(|name| name.to_string()), None),
        _ => {
            return Err(misused(
                format!("`{}` is a file of this machine", words.source),
                "`penstock import` and `penstock push` take files",
            ));
        }
    };
    let (name, tag) = match &words.name {
        Some(name) => split(name),
        None => {
            (usual.as_deref().ok_or_else(|| misused(format!("`{source}` suggests no name"), "say one: penstock pull SOURCE NAME"))?, None)
        }
    };
    let mut wanted = json!({ "name": name, "source": source, "tags": tag.map(|tag| vec![tag]).unwrap_or_default() });
    if let Some(fields) = wanted.as_object_mut() {
        fields.extend(words.card.patch()?);
        let said = [("format", words.format.as_ref().or(known.as_ref())), ("note", words.note.as_ref())];
        fields.extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
    }
    Ok(wanted)
}

fn nothing(name: &str) -> Failure {
    Failure::Misused {
        what: format!("there is no model `{name}` to pull again"),
        hint: format!("say where it comes from: hf:OWNER/REPO, ollama:{name}, or a URL"),
    }
}

/// Shows how far it is, until it has ended.
fn follow(server: &Server, place: &str, begun: Value) -> Result<Value, Failure> {
    let bar = ProgressBar::new(0).with_style(style(UNKNOWN)).with_message("asking for its files");
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut seen = begun;
    server.lines(&format!("{place}?watch=1"), None, |line| {
        if let Some(data) = line.strip_prefix("data:") {
            seen = serde_json::from_str(data.trim()).map_err(|error| Failure::Broken(error.into()))?;
            show(&bar, &seen);
        }
        Ok(seen["state"] == "running")
    })?;
    bar.finish_and_clear();
    Ok(seen)
}

fn show(bar: &ProgressBar, operation: &Value) {
    let number = |key: &str| operation["transfer"][key].as_u64();
    bar.set_prefix(text(&operation["target"]));
    if let (Some(done), Some(total)) = (number("done"), number("total").filter(|total| *total > 0)) {
        if bar.length() != Some(total) {
            bar.set_style(style(KNOWN));
        }
        bar.set_length(total);
        bar.set_position(done);
    }
    if bar.length() == Some(0) {
        return;
    }
    let rate = number("rate").map(|rate| format!("{}/s", ByteSize(rate))).unwrap_or_default();
    let eta =
        number("eta_ms").map(|ms| format!("  {} to go", base::clock::human::print(Duration::from_secs(ms / 1_000)))).unwrap_or_default();
    bar.set_message(format!("{rate}{eta}"));
}

/// Before and after its length is known.
const UNKNOWN: &str = "{prefix} {spinner} {msg}";
const KNOWN: &str = "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// While this lives the first Ctrl-C stops the pull, and a second one this program; later ones mean what they always do.
struct Watched {
    interrupt: SigSet,
    over: Arc<AtomicBool>,
}

impl Watched {
    fn begin(server: &Server, place: &str) -> Result<Self, Failure> {
        let failed = |error: nix::Error| Failure::io("Ctrl-C cannot be waited for")(error.into());
        let mut interrupt = SigSet::empty();
        interrupt.add(Signal::SIGINT);
        interrupt.thread_block().map_err(failed)?;
        let over = Arc::new(AtomicBool::new(false));
        let (server, place, ended) = (server.clone(), place.to_owned(), Arc::clone(&over));
        let waiting = tasks::thread("interrupt", move || {
            if interrupt.wait().is_err() {
                return;
            }
            let _ = interrupt.thread_unblock(); // else a second one waits for the server as well
            if ended.load(Ordering::SeqCst) {
                let _ = nix::sys::signal::raise(Signal::SIGINT); // it was not for us
                return;
            }
            note("stopping; what has come is kept, and the same command goes on behind it");
            drop(server.delete(&place)); // the end is seen where the operation is watched
        });
        waiting.map(|_goes_on| Self { interrupt, over }).map_err(Failure::io("Ctrl-C cannot be waited for"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.interrupt.thread_unblock(); // it was blocked by us
    }
}

pub(crate) fn prune(server: &Server, words: &Prune, output: Output) -> Result<(), Failure> {
    let mut wanted = json!({ "dry_run": words.dry_run, "store": words.store });
    if let (Some(grace), Some(fields)) = (&words.grace, wanted.as_object_mut()) {
        fields.insert("grace".to_owned(), json!(grace));
    }
    answer(output, &server.post("/api/v1/blobs/prune", &wanted)?, pruned)
}

fn pruned(done: &Value) -> String {
    let count = |key: &str| done[key].as_array().map_or(0, Vec::len);
    let verb = if done["dry_run"] == true { "would go" } else { "went" };
    let files = |key: &str| {
        let lines = done[key].as_array().into_iter().flatten();
        lines.map(|one| format!("{}  {}\n", text(&one["digest"]), size(&one["bytes"]))).collect::<Vec<_>>().concat()
    };
    let stored = match count("stored") {
        0 => String::new(),
        some => format!("{}{some} {verb} from the object store\n", files("stored")),
    };
    let sum = format!(
        "{} files and {} unfinished ones {verb}: {}; {} stay\n",
        count("blobs"),
        count("parts"),
        size(&done["freed"]),
        done["kept"]
    );
    format!("{}{sum}{stored}", files("blobs"))
}
