//! Routes: `route list`, `route show`, `route set`, `route rm`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::http::{Server, segment};
use super::look::items;
use super::out::{answer, note, pairs, table, text};
use super::rollout::follows_the_file;
use super::{Failure, Output};

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum Route {
    /// List routes
    #[command(visible_alias = "ls")]
    List,
    /// Show a route and how its targets stand
    Show {
        /// The route
        name: String,
    },
    /// Make a route, or replace what it says
    #[command(
        after_help = "Examples:\n  penstock route set chat tiny=9 tiny-b=1 --fallback gpt-remote\n  penstock route set chat tiny-b        all calls go to tiny-b from now on"
    )]
    Set {
        /// The public model name that clients send
        name: String,
        /// A deployment and its share: NAME or NAME=WEIGHT
        #[arg(required = true, value_name = "DEPLOYMENT[=WEIGHT]")]
        targets: Vec<String>,
        /// A deployment or route to ask when no target can serve; may be given again
        #[arg(long, value_name = "NAME")]
        fallback: Vec<String>,
        /// What keeps related calls on one target: none, session or prefix
        #[arg(long, default_value = "none", value_parser = ["none", "session", "prefix"], hide_possible_values = true)]
        affinity: String,
    },
    /// Remove a route; the deployments behind it stay
    Rm {
        /// The route
        name: String,
    },
}

pub(crate) fn route(server: &Server, verb: Route, output: Output) -> Result<(), Failure> {
    match verb {
        Route::List => {
            let all = server.get("/api/v1/routes")?;
            if output == Output::Table && items(&all).next().is_none() {
                note("there is no route yet; `penstock route set NAME DEPLOYMENT` makes one");
            }
            answer(output, &all, route_table)
        }
        Route::Show { name } => answer(output, &server.get(&path(&name)).map_err(|failure| near(server, &name, failure))?, shown),
        Route::Rm { name } => {
            server.delete(&path(&name)).map_err(|failure| near(server, &name, failure))?;
            answer(output, &json!({ "name": name, "removed": true }), |_| format!("{name}: removed\n"))
        }
        Route::Set { name, targets, fallback, affinity } => {
            let targets = targets.iter().map(|word| target(word)).collect::<Result<Vec<_>, _>>()?;
            let wanted = json!({ "targets": targets, "fallback": fallback, "affinity": affinity });
            let stored = server.put(&path(&name), &wanted)?;
            follows_the_file(&stored, output);
            answer(output, &stored, |stored| format!("{name}: {}\n", shares(&stored["status"])))
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/routes/{}", segment(name))
}

/// For a name that no route has: one that is near.
fn near(server: &Server, name: &str, failure: Failure) -> Failure {
    let Failure::Refused { status, code, what, hint } = failure else { return failure };
    if code != "not_found" {
        return Failure::Refused { status, code, what, hint };
    }
    let all = server.get("/api/v1/routes").unwrap_or_default();
    let names: Vec<String> = items(&all).map(|route| text(&route["name"])).collect();
    let lists = "`penstock route list` shows what there is";
    let near = spec::suggest(name, names.iter().map(String::as_str));
    let hint = near.map_or_else(|| lists.to_owned(), |near| format!("did you mean `{near}`? {lists}"));
    Failure::Refused { status, code, what, hint: Some(hint) }
}

/// `tiny`, or `tiny=9`.
fn target(word: &str) -> Result<Value, Failure> {
    let Some((name, weight)) = word.split_once('=') else { return Ok(json!({ "deployment": word })) };
    match weight.parse::<u32>() {
        Ok(weight) => Ok(json!({ "deployment": name, "weight": weight })),
        Err(_) => Err(Failure::Misused {
            what: format!("`{weight}` is not a weight"),
            hint: format!("write a whole number: {name}=9; shares count only beside each other"),
        }),
    }
}

fn targets(status: &Value) -> &[Value] {
    status["targets"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `tiny 90 %, tiny-b 10 %`
fn shares(status: &Value) -> String {
    let share = |target: &Value| format!("{} {}", text(&target["deployment"]), percent(&target["share"]));
    targets(status).iter().map(share).collect::<Vec<_>>().join(", ")
}

fn percent(share: &Value) -> String {
    format!("{:.0} %", share.as_f64().unwrap_or_default() * 100.0)
}

pub(super) fn route_table(all: &Value) -> String {
    let rows = items(all).map(|r| [text(&r["name"]), shares(&r["status"]), fallback(&r["spec"]), text(&r["status"]["in_flight"])]);
    table(["NAME", "TARGETS", "FALLBACK", "CALLS"], rows)
}

fn fallback(spec: &Value) -> String {
    spec["fallback"].as_array().map(|all| all.iter().map(text).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

fn shown(route: &Value) -> String {
    let (spec, status) = (&route["spec"], &route["status"]);
    let head = pairs(&[
        ("name", text(&route["name"])),
        ("fallback", fallback(spec)),
        ("affinity", text(&spec["affinity"])),
        ("calls", format!("{} running", text(&status["in_flight"]))),
        ("generation", text(&route["generation"])),
        ("origin", text(&status["origin"])),
        ("updated", text(&route["updated_at"])),
    ]);
    let rows = targets(status).iter().map(|t| {
        let note = if t["ejected"] == true { "passed over: it fails, or is far slower than the others" } else { "" };
        [text(&t["deployment"]), text(&t["state"]), percent(&t["share"]), note.to_owned()]
    });
    format!("{head}\n{}", table(["TARGET", "STATE", "SHARE", ""], rows))
}
