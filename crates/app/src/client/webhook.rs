//! Who is told of what happens, and how that goes: `webhook list`, `webhook resume`.

use base::Timestamp;
use clap::Subcommand;
use serde_json::Value;

use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, note, table, text};
use super::{Failure, Output};

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// List webhooks: what each was sent, how far behind it is, what went wrong last
    #[command(visible_alias = "ls")]
    List,
    /// Try a webhook at once, also one that is disabled
    Resume {
        /// The webhook
        name: String,
    },
}

pub(crate) fn webhook(server: &Server, verb: &Webhook, output: Output) -> Result<(), Failure> {
    match verb {
        Webhook::List => {
            let all = server.get("/api/v1/webhooks")?;
            if output == Output::Table && items(&all).next().is_none() {
                note("nobody is told of what happens; `webhooks:` in the config names receivers");
            }
            answer(output, &all, |all| webhook_table(all, Timestamp::now()))
        }
        Webhook::Resume { name } => {
            let standing = server.post(&format!("/api/v1/webhooks/{}/resume", segment(name)), &Value::Null)?;
            answer(output, &standing, |one| format!("webhook {} is tried now\n", text(&one["name"])))
        }
    }
}

pub(super) fn webhook_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|one| {
        let what = if one["disabled"].is_null() { text(&one["last_failure"]["what"]) } else { text(&one["disabled"]) };
        let when = age(&one["last_failure"]["at"], now);
        let failure = if when.is_empty() { what } else { format!("{what} ({when} ago)") };
        [
            text(&one["name"]),
            text(&one["origin"]),
            text(&one["state"]),
            text(&one["sent"]),
            text(&one["lag"]),
            text(&one["dropped"]),
            failure,
        ]
    });
    table(["NAME", "RECEIVER", "STATE", "SENT", "BEHIND", "DROPPED", "LAST FAILURE"], rows)
}
