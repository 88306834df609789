//! Looks at what is there: `list`, `ps`, `show`.

use base::Timestamp;
use serde_json::Value;

use super::http::{Server, segment};
use super::out::{age, answer, count, note, pairs, size, table, text};
use super::{Failure, Output};

pub(crate) fn list(server: &Server, project: Option<&str>, output: Output) -> Result<(), Failure> {
    let deployments = server.get(&match project {
        Some(project) => format!("/api/v1/deployments?project={}", segment(project)),
        None => "/api/v1/deployments".to_owned(),
    })?;
    if output == Output::Table && items(&deployments).next().is_none() {
        note(match project {
            Some(_) => "no deployment belongs to this project; `penstock deploy NAME --project PROJECT` gives it one",
            None => "nothing is served yet; `penstock deploy NAME --model FILE.gguf` puts a model into service",
        });
    }
    answer(output, &deployments, |all| deployment_table(all, Timestamp::now()))
}

pub(super) fn deployment_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|d| {
        let status = &d["status"];
        let source = if d["spec"]["model"].is_null() { &d["spec"]["url"] } else { &d["spec"]["model"] };
        let reason = if status["state"] == "ready" { String::new() } else { text(&status["reason"]["message"]) };
        [text(&d["name"]), text(&status["state"]), text(&status["ready"]), text(source), age(&d["created_at"], now), reason]
    });
    table(["NAME", "STATE", "READY", "FROM", "AGE", "REASON"], rows)
}

pub(crate) fn instances(server: &Server, output: Output) -> Result<(), Failure> {
    let instances = server.get("/api/v1/instances")?;
    if output == Output::Table && items(&instances).next().is_none() {
        note("nothing is loaded; the first call loads a model, and so does `penstock load NAME`");
    }
    answer(output, &instances, |all| instance_table(all, Timestamp::now()))
}

pub(super) fn instance_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|i| {
        let id: String = text(&i["id"]).chars().take(SHORT).collect();
        let calls = format!("{}/{}", text(&i["in_flight"]), text(&i["slots"]));
        [
            id,
            text(&i["deployment"]),
            text(&i["engine"]),
            text(&i["phase"]),
            calls,
            size(&i["memory"]),
            text(&i["pid"]),
            age(&i["since"], now),
        ]
    });
    table(["ID", "DEPLOYMENT", "ENGINE", "PHASE", "CALLS", "MEMORY", "PID", "SINCE"], rows)
}

/// Digits of an id that a person sees.
const SHORT: usize = 8;

pub(crate) fn show(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let mut deployment = server.get(&path(name))?;
    let revisions = server.get(&format!("{}/revisions", path(name)))?;
    if let Some(version) = items(&revisions).max_by_key(|r| r["number"].as_u64()).map(|r| r["version"].clone()) {
        deployment["version"] = version;
    }
    answer(output, &deployment, |d| {
        let (spec, status, version) = (&d["spec"], &d["status"], &d["version"]);
        pairs(&[
            ("name", text(&d["name"])),
            ("state", text(&status["state"])),
            ("reason", text(&status["reason"]["message"])),
            ("to do", text(&status["reason"]["remedy"])),
            ("model", text(&spec["model"])),
            ("url", text(&spec["url"])),
            ("engine", text(&spec["engine"])),
            ("architecture", text(&version["architecture"])),
            ("quantisation", text(&version["quantisation"])),
            ("parameters", count(&version["parameters"])),
            ("context", text(if spec["context"].is_null() { &version["context_length"] } else { &spec["context"] })),
            ("size", size(&version["size"])),
            ("digest", text(&version["digest"])),
            ("parallel", text(&spec["parallel"])),
            ("threads", text(&spec["threads"])),
            ("replicas", replicas(&spec["replicas"], spec["pinned"] == true)),
            ("ready", text(&status["ready"])),
            ("calls", calls(status)),
            ("generation", text(&d["generation"])),
            ("origin", text(&status["origin"])),
            ("updated", text(&d["updated_at"])),
        ])
    })
}

fn replicas(replicas: &Value, pinned: bool) -> String {
    let keep = if pinned { "pinned".to_owned() } else { format!("kept {} without callers", text(&replicas["keep_alive"])) };
    format!("{} to {}, {keep}", text(&replicas["min"]), text(&replicas["max"]))
}

fn calls(status: &Value) -> String {
    format!("{} running, {} waiting", text(&status["in_flight"]), text(&status["waiting"]))
}

/// For a name that nobody has: one that is near.
pub(super) fn near(server: &Server, name: &str, failure: Failure) -> Failure {
    let Failure::Refused { status, code, what, hint } = failure else { return failure };
    let is_missing = matches!(code.as_str(), "not_found" | "model_not_found");
    let is_this = [format!("`{name}`"), format!("'{name}'")].iter().any(|quoted| what.contains(quoted));
    if !is_missing || !is_this {
        return Failure::Refused { status, code, what, hint };
    }
    let all = server.get("/api/v1/deployments").unwrap_or_default();
    let names: Vec<String> = items(&all).map(|deployment| text(&deployment["name"])).collect();
    let near = spec::suggest(name, names.iter().map(String::as_str));
    let lists = "`penstock list` shows what is served".to_owned();
    let hint = near.map_or(lists.clone(), |near| format!("did you mean `{near}`? {lists}"));
    // The server tells programs how to list models; people have the hint.
    let what = what.split("; GET ").next().unwrap_or_default().to_owned();
    Failure::Refused { status, code, what, hint: Some(hint) }
}

/// The path of a deployment.
pub(crate) fn path(name: &str) -> String {
    format!("/api/v1/deployments/{}", segment(name))
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
