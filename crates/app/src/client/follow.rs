//! What goes on: `logs` and `events`.

use clap::Args;
use serde_json::Value;

use super::explain::cause;
use super::http::{Server, segment};
use super::look::{items, path};
use super::out::{answer, cell, foreign, line, table, text};
use super::{Failure, Output};

/// Whose log.
#[derive(Debug, Args)]
pub struct Logs {
    /// A deployment, or the id of an instance
    pub(super) name: String,
    /// Go on as lines are written
    #[arg(short, long)]
    follow: bool,
    /// Only so many last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
}

/// Which events.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on as things happen
    #[arg(short, long)]
    follow: bool,
    /// Only of this deployment
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Only of this kind: audit (who changed what), instance_phase, ...
    #[arg(short, long, value_name = "KIND")]
    kind: Option<String>,
    /// Only so many last ones
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: u32,
}

pub(crate) fn logs(server: &Server, words: &Logs) -> Result<(), Failure> {
    let tail = words.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
    let query = format!("logs?follow={}{tail}", u8::from(words.follow));
    let print = |text: &str| foreign(&format!("{text}\n")).map(|()| true);
    let of_deployment = server.lines(&format!("{}/{query}", path(&words.name)), None, print);
    let log = match of_deployment {
        Err(failure) if failure.is_missing() => match instance(server, &words.name)? {
            Some(id) => server.lines(&format!("/api/v1/instances/{}/{query}", segment(&id)), None, print),
            None => Err(failure),
        },
        other => other,
    };
    match log {
        Err(Failure::Refused { status, code, what, .. }) if code == "no_instance" => {
            let hint = format!("`penstock load {0}` starts one; `penstock logs -f {0}` waits for it", words.name);
            Err(Failure::Refused { status, code, what, hint: Some(hint) })
        }
        other => other,
    }
}

/// Fewer digits of an id may mean anything.
const SHORTEST: usize = 4;

/// The instance whose id begins so.
fn instance(server: &Server, start: &str) -> Result<Option<String>, Failure> {
    let all = server.get("/api/v1/instances")?;
    Ok(items(&all).map(|instance| text(&instance["id"])).find(|id| start.len() >= SHORTEST && id.starts_with(start)))
}

pub(crate) fn events(server: &Server, words: &Events, output: Output) -> Result<(), Failure> {
    let of = words.deployment.as_deref().map(|name| format!("&deployment={}", segment(name))).unwrap_or_default();
    let of = of + &words.kind.as_deref().map(|kind| format!("&kind={}", segment(kind))).unwrap_or_default();
    if words.follow {
        return server.lines(&format!("/api/v1/events?watch=1{of}"), None, |line| watched(line, output));
    }
    let all = server.get(&format!("/api/v1/events?limit={}{of}", words.limit))?;
    answer(output, &all, |all| table(["ID", "AT", "WHAT", "BECAUSE", "MESSAGE", "REASON"], items(all).map(row)))
}

pub(super) fn row(event: &Value) -> [String; 6] {
    let (id, at, kind) = (text(&event["id"]), text(&event["at"]), text(&event["kind"]));
    [id, at, kind, cause(&event["cause"]), text(&event["message"]), text(&event["reason"]["message"])]
}

fn watched(raw: &str, output: Output) -> Result<bool, Failure> {
    if let Some(data) = raw.strip_prefix("data:") {
        let event: Value = serde_json::from_str(data.trim()).map_err(|error| Failure::Broken(error.into()))?;
        match output {
            Output::Table => line(row(&event).map(|text| cell(&text)).join("  ").trim_end())?,
            Output::Json => line(&event.to_string())?,
            Output::Yaml | Output::Csv => answer(output, &event, |_| String::new())?,
        }
    }
    Ok(true)
}
