//! Tokens: `token create`, `token list`, `token revoke`.

use base::Timestamp;
use clap::Subcommand;
use serde_json::{Value, json};

use super::allowance::{self, Allowance};
use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, note, table, text};
use super::{Failure, Output};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is shown this once
    Create {
        /// What people call it
        name: String,
        /// What it may do: inference or admin
        #[arg(long = "scope", value_name = "SCOPE", default_value = "inference", value_parser = ["inference", "admin"], hide_possible_values = true)]
        scopes: Vec<String>,
        /// A model that it may use; all when none is given
        #[arg(long = "model", value_name = "NAME")]
        models: Vec<String>,
        /// The project that its use is booked on
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        allowance: Box<Allowance>,
        /// Refused from then on: 30d, 12h
        #[arg(long, value_name = "TIME", value_parser = super::duration)]
        expires: Option<std::time::Duration>,
    },
    /// List tokens, without the tokens themselves
    #[command(visible_alias = "ls")]
    List,
    /// Take a token back; it opens nothing from then on
    #[command(visible_alias = "rm")]
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
}

pub(crate) fn token(server: &Server, verb: Token, output: Output) -> Result<(), Failure> {
    match verb {
        Token::List => {
            let all = server.get("/api/v1/tokens")?;
            answer(output, &all, |all| token_table(all, Timestamp::now()))
        }
        Token::Revoke { id } => {
            server.delete(&format!("/api/v1/tokens/{}", segment(&id)))?;
            answer(output, &json!({ "id": id, "revoked": true }), |_| format!("{id}: revoked\n"))
        }
        create @ Token::Create { .. } => {
            let made = server.post("/api/v1/tokens", &wanted(create))?;
            if output == Output::Table {
                note(&format!("the token `{}` is shown this once; its id is {}", text(&made["name"]), text(&made["id"])));
            }
            answer(output, &made, |made| format!("{}\n", text(&made["token"])))
        }
    }
}

fn wanted(create: Token) -> Value {
    let Token::Create { name, scopes, models, project, allowance, expires } = create else { return Value::Null };
    let mut wanted = Value::Object(allowance.onto(&Value::Null));
    wanted["name"] = json!(name);
    wanted["scopes"] = json!(scopes);
    if !models.is_empty() {
        wanted["models"] = json!(models);
    }
    if let Some(project) = project {
        wanted["project"] = json!(project);
    }
    if let Some(expires) = expires {
        wanted["expires_at"] = json!(Timestamp::now().plus(expires).to_string());
    }
    wanted
}

pub(super) fn token_table(all: &Value, now: Timestamp) -> String {
    let words = |list: &Value| list.as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(",")).unwrap_or_default();
    let rows = items(all).map(|t| {
        let models = if t["models"].is_null() { "all".to_owned() } else { words(&t["models"]) };
        [
            text(&t["id"]),
            text(&t["name"]),
            text(&t["prefix"]),
            words(&t["scopes"]),
            models,
            allowance::limits(&t["limits"]),
            allowance::budget(&t["budget"]),
            age(&t["created_at"], now),
            text(&t["expires_at"]),
        ]
    });
    table(["ID", "NAME", "PREFIX", "SCOPES", "MODELS", "LIMITS", "BUDGET", "AGE", "EXPIRES"], rows)
}
