//! Projects: `project create`, `project list`, `project show`, `project set`, `project rm`.

use base::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::allowance::{self, Allowance};
use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, pairs, table, text};
use super::{Failure, Output};

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum Project {
    /// Make a project: what its tokens may use together
    Create {
        /// What tokens call it
        name: String,
        /// What people call it
        #[arg(long, value_name = "WORDS")]
        description: Option<String>,
        #[command(flatten)]
        allowance: Box<Allowance>,
        #[command(flatten)]
        quota: Box<Quota>,
    },
    /// List projects, and what their tokens use
    #[command(visible_alias = "ls")]
    List,
    /// Show how the limits and the budget of a project stand
    Show {
        /// The project
        name: String,
    },
    /// Change what is said and leave the rest; `none` takes a limit away
    Set {
        /// The project
        name: String,
        /// What people call it
        #[arg(long, value_name = "WORDS")]
        description: Option<String>,
        #[command(flatten)]
        allowance: Box<Allowance>,
        #[command(flatten)]
        quota: Box<Quota>,
    },
    /// Remove a project that nothing belongs to
    Rm {
        /// The project
        name: String,
    },
}

/// How many things it may have; `none` takes a number away.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the flags are called so")]
pub struct Quota {
    /// It has at most so many tokens
    #[arg(long, value_name = "COUNT", value_parser = super::allowance::number)]
    most_tokens: Option<Value>,
    /// It has at most so many deployments
    #[arg(long, value_name = "COUNT", value_parser = super::allowance::number)]
    most_deployments: Option<Value>,
    /// It has at most so many models
    #[arg(long, value_name = "COUNT", value_parser = super::allowance::number)]
    most_models: Option<Value>,
}

const ALL: &str = "/api/v1/projects";

pub(crate) fn project(server: &Server, verb: Project, output: Output) -> Result<(), Failure> {
    match verb {
        Project::List => answer(output, &server.get(ALL)?, |all| project_table(all, Timestamp::now())),
        Project::Show { name } => answer(output, &server.get(&path(&name))?, shown),
        Project::Create { name, description, allowance, quota } => {
            let mut wanted = allowance.onto(&Value::Null);
            wanted.insert("name".to_owned(), json!(name));
            wanted.extend(description.map(|words| ("description".to_owned(), json!(words))));
            wanted.extend(quota.over(&Value::Null));
            answer(output, &server.post(ALL, &Value::Object(wanted))?, shown)
        }
        Project::Set { name, description, allowance, quota } => {
            let before = server.get(&path(&name))?;
            let mut change = allowance.onto(&before);
            change.extend(description.map(|words| ("description".to_owned(), json!(words))));
            change.extend(quota.over(&before["quota"]));
            answer(output, &server.patch(&path(&name), &Value::Object(change))?, shown)
        }
        Project::Rm { name } => {
            server.delete(&path(&name))?;
            answer(output, &json!({ "name": name, "removed": true }), |_| format!("{name}: removed\n"))
        }
    }
}

impl Quota {
    /// The quota that it makes of this one; nothing if it says nothing.
    fn over(&self, before: &Value) -> Option<(String, Value)> {
        let said = [("tokens", &self.most_tokens), ("deployments", &self.most_deployments), ("models", &self.most_models)];
        let said: Vec<(&str, &Value)> = said.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let mut quota = before.as_object().cloned().unwrap_or_default();
        quota.extend(said.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())));
        (!said.is_empty()).then(|| ("quota".to_owned(), Value::Object(quota)))
    }
}

fn path(name: &str) -> String {
    format!("{ALL}/{}", segment(name))
}

fn shown(project: &Value) -> String {
    let usage = &project["usage"];
    pairs(&[
        ("name", text(&project["name"])),
        ("description", text(&project["description"])),
        ("limits", allowance::limits(&project["limits"])),
        ("budget", allowance::budget(&project["budget"])),
        ("most tokens", text(&project["quota"]["tokens"])),
        ("most deployments", text(&project["quota"]["deployments"])),
        ("most models", text(&project["quota"]["models"])),
        ("used", allowance::spent(&usage["budget"])),
        ("running", text(&usage["running"])),
        ("this month", format!("{} calls, {} tokens, {} USD", text(&usage["requests"]), text(&usage["tokens"]), text(&usage["usd"]))),
        ("updated", text(&project["updated_at"])),
    ])
}

pub(super) fn project_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|p| {
        let usage = &p["usage"];
        [
            text(&p["name"]),
            allowance::limits(&p["limits"]),
            allowance::budget(&p["budget"]),
            allowance::spent(&usage["budget"]),
            text(&usage["running"]),
            age(&p["created_at"], now),
        ]
    });
    table(["NAME", "LIMITS", "BUDGET", "USED", "RUNNING", "AGE"], rows)
}
