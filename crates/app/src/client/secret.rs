//! Keys of others that the server keeps: `secret set`, `secret list`, `secret rm`, `secret rotate-key`.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;

use base::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};

use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, note, table, text};
use super::{Failure, Output};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Keep a secret, or give it another value; the value comes from standard input or a file, so that no list of processes shows it
    #[command(
        after_help = "Examples:\n  penstock secret set openai < key.txt\n  penstock secret set openai --file key.txt\n  penstock deploy gpt --url https://api.example.com/v1 --api-key-secret openai"
    )]
    Set {
        /// What deployments call it
        name: String,
        /// Read the value from this file
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List secrets, and who uses them; what they say is never shown
    #[command(visible_alias = "ls")]
    List,
    /// Remove a secret that nobody uses
    Rm {
        /// The secret
        name: String,
    },
    /// Seal all secrets by another master key
    RotateKey,
}

pub(crate) fn secret(server: &Server, verb: &Secret, output: Output) -> Result<(), Failure> {
    match verb {
        Secret::Set { name, file } => {
            let value = read(name, file.as_ref())?;
            let stored = server.post("/api/v1/secrets", &json!({"name": name, "value": value}))?;
            answer(output, &stored, |one| format!("secret {} is kept\n", text(&one["name"])))
        }
        Secret::List => {
            let all = server.get("/api/v1/secrets")?;
            if output == Output::Table && items(&all).next().is_none() {
                note("there are no secrets; `penstock secret set NAME` keeps one");
            }
            answer(output, &all, |all| secret_table(all, Timestamp::now()))
        }
        Secret::Rm { name } => {
            server.delete(&format!("/api/v1/secrets/{}", segment(name)))?;
            answer(output, &json!({"name": name}), |_| format!("secret {name} is gone\n"))
        }
        Secret::RotateKey => {
            let done = server.post("/api/v1/master-key/rotate", &Value::Null)?;
            answer(output, &done, |done| format!("{} secrets are sealed by another master key\n", text(&done["secrets"])))
        }
    }
}

/// The value, without the end of its line.
fn read(name: &str, file: Option<&PathBuf>) -> Result<String, Failure> {
    let text = if let Some(path) = file {
        std::fs::read_to_string(path).map_err(Failure::io(format!("cannot read {}", path.display())))?
    } else {
        if io::stdin().is_terminal() {
            note(&format!("type the value of {name}, and end it with control-D"));
        }
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(Failure::io("cannot read the value"))?;
        text
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

pub(super) fn secret_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|one| {
        let users: Vec<String> = one["used_by"].as_array().into_iter().flatten().map(text).collect();
        [text(&one["name"]), age(&one["created_at"], now), age(&one["updated_at"], now), users.join(", ")]
    });
    table(["NAME", "AGE", "CHANGED", "USED BY"], rows)
}
