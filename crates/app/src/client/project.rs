//! Projects: `project create`, `project list`, `project show`, `project set`, `project rm`.

use base::Timestamp;
use clap::Subcommand;
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
        /// It has at most so many tokens
        #[arg(long, value_name = "TOKENS", value_parser = super::allowance::number)]
        most_tokens: Option<Value>,
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
        /// It has at most so many tokens
        #[arg(long, value_name = "TOKENS", value_parser = super::allowance::number)]
        most_tokens: Option<Value>,
    },
    /// Remove a project that no token belongs to
    Rm {
        /// The project
        name: String,
    },
}

const ALL: &str = "/api/v1/projects";

pub(crate) fn project(server: &Server, verb: Project, output: Output) -> Result<(), Failure> {
    match verb {
        Project::List => answer(output, &server.get(ALL)?, |all| project_table(all, Timestamp::now())),
        Project::Show { name } => answer(output, &server.get(&path(&name))?, shown),
        Project::Create { name, description, allowance, most_tokens } => {
            let mut wanted = allowance.onto(&Value::Null);
            wanted.insert("name".to_owned(), json!(name));
            wanted.extend(description.map(|words| ("description".to_owned(), json!(words))));
            wanted.extend(most_tokens.as_ref().map(quota));
            answer(output, &server.post(ALL, &Value::Object(wanted))?, shown)
        }
        Project::Set { name, description, allowance, most_tokens } => {
            let mut change = allowance.onto(&server.get(&path(&name))?);
            change.extend(description.map(|words| ("description".to_owned(), json!(words))));
            change.extend(most_tokens.as_ref().map(quota));
            answer(output, &server.patch(&path(&name), &Value::Object(change))?, shown)
        }
        Project::Rm { name } => {
            server.delete(&path(&name))?;
            answer(output, &json!({ "name": name, "removed": true }), |_| format!("{name}: removed\n"))
        }
    }
}

fn quota(most_tokens: &Value) -> (String, Value) {
    ("quota".to_owned(), json!({ "tokens": most_tokens }))
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
