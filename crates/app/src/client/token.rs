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
        /// What it may do: inference (when no scope, role or right is given) or admin
        #[arg(long = "scope", value_name = "SCOPE", value_parser = ["inference", "admin"], hide_possible_values = true)]
        scopes: Vec<String>,
        /// And what this role may
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// And these verbs on a kind: get,list:models
        #[arg(long = "right", value_name = "VERBS:KIND", value_parser = super::user::right)]
        rights: Vec<(String, Vec<String>)>,
        /// Whose it will be, when not yours: the name or the id of a user or a service account
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// Nobody's, not even yours: it stays when you are shut out
        #[arg(long, conflicts_with = "user")]
        nobody: bool,
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
    List {
        /// Only those of this user: a name or an id
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
    /// Take a token back; it opens nothing from then on
    #[command(visible_alias = "rm")]
    Revoke {
        /// Its id, as `token list` shows it
        id: String,
    },
}

pub(crate) fn token(server: &Server, verb: Token, output: Output) -> Result<(), Failure> {
    match verb {
        Token::List { user } => {
            let of = user.map(|user| Ok::<_, Failure>(format!("?user={}", segment(&id_of(server, &user)?)))).transpose()?;
            let all = whole(server, "/api/v1/tokens", of.as_deref().unwrap_or_default())?;
            answer(output, &all, |all| token_table(all, Timestamp::now()))
        }
        Token::Revoke { id } => {
            server.delete(&format!("/api/v1/tokens/{}", segment(&id)))?;
            answer(output, &json!({ "id": id, "revoked": true }), |_| format!("{id}: revoked\n"))
        }
        create @ Token::Create { .. } => {
            let made = server.post("/api/v1/tokens", &wanted(server, create)?)?;
            if output == Output::Table {
                note(&format!("the token `{}` is shown this once; its id is {}", text(&made["name"]), text(&made["id"])));
            }
            answer(output, &made, |made| format!("{}\n", text(&made["token"])))
        }
    }
}

/// The id behind the name of a user.
fn id_of(server: &Server, user: &str) -> Result<String, Failure> {
    Ok(text(&server.get(&format!("/api/v1/users/{}", segment(user)))?["id"]))
}

/// All pages of a list in one.
fn whole(server: &Server, path: &str, query: &str) -> Result<Value, Failure> {
    let mut all = server.get(&format!("{path}{query}"))?;
    while let Some(next) = all["next"].as_str() {
        let join = if query.is_empty() { '?' } else { '&' };
        let mut page = server.get(&format!("{path}{query}{join}after={}", segment(next)))?;
        if let (Some(items), Some(more)) = (all["items"].as_array_mut(), page["items"].as_array_mut()) {
            items.append(more);
        }
        all["next"] = page["next"].take();
    }
    Ok(all)
}

fn wanted(server: &Server, create: Token) -> Result<Value, Failure> {
    let Token::Create { name, scopes, role, rights, user, nobody, models, project, allowance, expires } = create else {
        return Ok(Value::Null);
    };
    let mut wanted = Value::Object(allowance.onto(&Value::Null));
    wanted["name"] = json!(name);
    if !scopes.is_empty() {
        wanted["scopes"] = json!(scopes);
    }
    if let Some(role) = role {
        wanted["role"] = json!(role);
    }
    if !rights.is_empty() {
        wanted["rights"] = json!(super::user::together(rights));
    }
    if let Some(user) = user {
        wanted["owner"] = json!(id_of(server, &user)?);
    }
    if nobody {
        wanted["owner"] = Value::Null;
    }
    if !models.is_empty() {
        wanted["models"] = json!(models);
    }
    if let Some(project) = project {
        wanted["project"] = json!(project);
    }
    if let Some(expires) = expires {
        wanted["expires_at"] = json!(Timestamp::now().plus(expires).to_string());
    }
    Ok(wanted)
}

pub(super) fn token_table(all: &Value, now: Timestamp) -> String {
    let words = |list: &Value| list.as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(",")).unwrap_or_default();
    let rows = items(all).map(|t| {
        let models = if t["models"].is_null() { "all".to_owned() } else { words(&t["models"]) };
        [
            text(&t["id"]),
            text(&t["name"]),
            text(&t["prefix"]),
            may(t),
            models,
            allowance::limits(&t["limits"]),
            allowance::budget(&t["budget"]),
            age(&t["created_at"], now),
            age(&t["last_used_at"], now),
            text(&t["expires_at"]),
        ]
    });
    table(["ID", "NAME", "PREFIX", "MAY", "MODELS", "LIMITS", "BUDGET", "AGE", "USED", "EXPIRES"], rows)
}

/// `inference`, `viewer`, `get/list models`: what it says itself that it may.
fn may(token: &Value) -> String {
    let scopes = token["scopes"].as_array().into_iter().flatten().map(text);
    let rights: Option<spec::Rights> = serde_json::from_value(token["rights"].clone()).ok();
    let rights = rights.filter(|rights| !rights.is_empty()).map(|rights| rights.to_string());
    scopes.chain(token["role"].as_str().map(str::to_owned)).chain(rights).collect::<Vec<_>>().join(", ")
}
