//! Looks at what is there: `list`, `ps`, `show`, `explain`.

use base::Timestamp;
use serde_json::Value;

use super::http::{Server, segment};
use super::out::{age, answer, pairs, size, table, text};
use super::{Failure, Output};

pub(crate) fn list(server: &Server, output: Output) -> Result<(), Failure> {
    let deployments = server.get("/api/v1/deployments")?;
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
            ("parameters", text(&version["parameters"])),
            ("context", text(if spec["context"].is_null() { &version["context_length"] } else { &spec["context"] })),
            ("size", size(&version["size"])),
            ("digest", text(&version["digest"])),
            (
                "replicas",
                format!(
                    "{} to {}, keep-alive {}",
                    text(&spec["replicas"]["min"]),
                    text(&spec["replicas"]["max"]),
                    text(&spec["replicas"]["keep_alive"])
                ),
            ),
            ("ready", text(&status["ready"])),
            ("generation", text(&d["generation"])),
            ("origin", text(&status["origin"])),
            ("updated", text(&d["updated_at"])),
        ])
    })
}

pub(crate) fn explain(server: &Server, name: &str, output: Output) -> Result<(), Failure> {
    let explained = server.get(&format!("{}/explain", path(name)))?;
    answer(output, &explained, |e| {
        let steps = e["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = steps.iter().map(|s| [text(&s["step"]), text(&s["state"]), text(&s["reason"]["message"]), text(&s["reason"]["remedy"])]);
        let head = pairs(&[
            ("name", text(&e["name"])),
            ("state", text(&e["state"])),
            ("reason", text(&e["reason"]["message"])),
            ("to do", text(&e["reason"]["remedy"])),
            ("memory", size(&e["memory"])),
        ]);
        format!("{head}\n{}", table(["STEP", "STATE", "WHY", "TO DO"], rows))
    })
}

/// The path of a deployment.
pub(crate) fn path(name: &str) -> String {
    format!("/api/v1/deployments/{}", segment(name))
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
