//! From one revision to the next: `rollout status|history|undo|pause|resume|promote`, and `scale`.
//!
//! In: a deployment's name. Out: how far it is, or what was changed. Fails: when a rollout that is watched goes back, with its
//! reason. Holds: this thread, while it watches.

use std::time::Duration;

use base::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::http::Server;
use super::look::{items, path};
use super::out::{age, answer, line, note, pairs, table, text};
use super::{Failure, Output};

/// What to do with a rollout.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    /// Say how far it is
    Status {
        /// The deployment
        name: String,
        /// Go on until it is over; fails when it goes back
        #[arg(short, long)]
        watch: bool,
    },
    /// List the revisions of a deployment
    History {
        /// The deployment
        name: String,
    },
    /// Go back to an older revision: its spec becomes the next one
    Undo {
        /// The deployment
        name: String,
        /// The number of the revision; the one that served before when not given
        #[arg(long, value_name = "NUMBER")]
        to: Option<u64>,
    },
    /// Let it go no further
    Pause {
        /// The deployment
        name: String,
    },
    /// Let it go on; one that went back by itself is tried again
    Resume {
        /// The deployment
        name: String,
    },
    /// End the steps of a canary: all calls go to the new revision
    Promote {
        /// The deployment
        name: String,
    },
}

impl Rollout {
    pub(super) fn deployment(&self) -> &str {
        match self {
            Self::Status { name, .. }
            | Self::History { name }
            | Self::Undo { name, .. }
            | Self::Pause { name }
            | Self::Resume { name }
            | Self::Promote { name } => name,
        }
    }
}

/// How many instances.
#[derive(Debug, Args)]
pub struct Scale {
    /// The deployment
    pub(super) name: String,
    /// Just so many instances, whoever asks
    #[arg(short, long, value_name = "COUNT", conflicts_with_all = ["min", "max"], required_unless_present_any = ["min", "max"])]
    replicas: Option<u32>,
    /// Always at least so many; 0 loads on the first call
    #[arg(long, value_name = "COUNT")]
    min: Option<u32>,
    /// Never more than so many
    #[arg(long, value_name = "COUNT")]
    max: Option<u32>,
}

const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn rollout(server: &Server, verb: &Rollout, output: Output) -> Result<(), Failure> {
    let name = verb.deployment();
    let of = |what: &str| format!("{}/rollout{what}", path(name));
    match verb {
        Rollout::Status { watch: true, .. } => watch(server, name, output),
        Rollout::Status { .. } => answer(output, &server.get(&of(""))?, |status| shown(name, status)),
        Rollout::History { .. } => answer(output, &server.get(&format!("{}/revisions", path(name)))?, |all| history(all, Timestamp::now())),
        Rollout::Undo { to, .. } => undo(server, name, *to, output),
        Rollout::Pause { .. } => by_hand(server, name, ("pause", "paused; `penstock rollout resume` lets it go on"), output),
        Rollout::Resume { .. } => by_hand(server, name, ("resume", "goes on"), output),
        Rollout::Promote { .. } => by_hand(server, name, ("promote", "promoted; all calls go to the new revision"), output),
    }
}

fn by_hand(server: &Server, name: &str, (verb, told): (&str, &str), output: Output) -> Result<(), Failure> {
    let status = server.post(&format!("{}/rollout/{verb}", path(name)), &json!({}))?;
    answer(output, &status, |_| format!("{name}: {told}\n"))
}

fn undo(server: &Server, name: &str, to: Option<u64>, output: Output) -> Result<(), Failure> {
    let stored = server.post(&format!("{}/rollout/undo", path(name)), &json!({ "to": to }))?;
    follows_the_file(&stored, output);
    answer(output, &stored, |stored| format!("{name}: goes back, as revision {}\n", text(&stored["generation"])))
}

/// Says how long a change of what stands in the config holds.
pub(super) fn follows_the_file(stored: &Value, output: Output) {
    if output == Output::Table && stored["status"]["origin"] == "config" {
        let until = "the file holds again from the next start, or from a HUP once its entry there has changed";
        note(&format!("`{}` stands in the server's config: {until}", text(&stored["name"])));
    }
}

fn shown(name: &str, status: &Value) -> String {
    let now = Timestamp::now();
    pairs(&[
        ("name", name.to_owned()),
        ("state", text(&status["state"])),
        ("from", text(&status["from"])),
        ("to", text(&status["to"])),
        ("strategy", text(&status["strategy"])),
        ("weight", if status["weight"].is_null() { String::new() } else { format!("{} %", text(&status["weight"])) }),
        ("ready", text(&status["ready"])),
        ("failures", if status["failures"] == 0 { String::new() } else { text(&status["failures"]) }),
        ("began", age(&status["started_at"], now)),
        ("reason", text(&status["reason"]["message"])),
        ("to do", text(&status["reason"]["remedy"])),
    ])
}

fn history(all: &Value, now: Timestamp) -> String {
    const SHORT: usize = 19; // `sha256:` and twelve digits, which is enough to go back by
    let rows = items(all).map(|revision| {
        let digest: String = text(&revision["digest"]).chars().take(SHORT).collect();
        let model = if revision["spec"]["model"].is_null() { &revision["spec"]["url"] } else { &revision["spec"]["model"] };
        [
            text(&revision["number"]),
            text(&revision["status"]),
            age(&revision["created_at"], now),
            digest,
            text(model),
            text(&revision["cause"]),
        ]
    });
    table(["REVISION", "STATUS", "AGE", "DIGEST", "FROM", "CAUSE"], rows)
}

/// A line for each new state, until it is over.
fn watch(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let mut last = String::new();
    loop {
        let status = server.get(&format!("{}/rollout", path(name)))?;
        let state = text(&status["state"]);
        let told = told(&status);
        if told != last && output == Output::Table {
            line(&format!("{name}: {told}"))?;
        }
        last = told;
        match state.as_str() {
            // What waits does so for the next call, which starts the new revision: nothing moves before.
            "complete" | "waiting" if output == Output::Table => return Ok(()),
            "complete" | "waiting" => return answer(output, &status, |_| String::new()),
            "rolled_back" => {
                let what = format!("{name}: {}", text(&status["reason"]["message"]));
                return Err(Failure::Failed { what, hint: text(&status["reason"]["remedy"]) });
            }
            _ => std::thread::sleep(LOOK),
        }
    }
}

fn told(status: &Value) -> String {
    let weight = if status["weight"].is_null() { String::new() } else { format!(", {} % of the calls", text(&status["weight"])) };
    let from = if status["from"].is_null() { String::new() } else { format!("from revision {} ", text(&status["from"])) };
    format!("{}: {from}to {} by {}{weight}", text(&status["state"]), text(&status["to"]), text(&status["strategy"]))
}

pub(crate) fn scale(server: &Server, words: &Scale, output: Output) -> Result<(), Failure> {
    let bounds = [("min", words.replicas.or(words.min)), ("max", words.replicas.filter(|count| *count > 0).or(words.max))];
    let replicas: serde_json::Map<String, Value> =
        bounds.into_iter().filter_map(|(key, count)| Some((key.to_owned(), json!(count?)))).collect();
    let stored = server.patch(&path(&words.name), &json!({ "replicas": replicas }))?;
    follows_the_file(&stored, output);
    if words.replicas == Some(0) {
        server.post(&format!("{}/unload", path(&words.name)), &json!({}))?;
    }
    let replicas = &stored["spec"]["replicas"];
    answer(output, &stored, |_| format!("{}: {} to {} instances\n", words.name, text(&replicas["min"]), text(&replicas["max"])))
}
