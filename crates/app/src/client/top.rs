//! `penstock top`: who holds what of the machines, and what runs there.
//!
//! In: the nodes and the instances of the server. Out: two tables, renewed until somebody ends it; once where nobody
//! watches, or as JSON or YAML. Fails: as soon as the server cannot be asked.

use std::io::IsTerminal as _;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use clap::Args;
use serde_json::{Value, json};

use super::http::Server;
use super::look::{instance_table, items};
use super::out::{answer, print, table, text};
use super::{Failure, Output, duration};

/// How to watch.
#[derive(Debug, Args)]
pub struct Top {
    /// Print it once and end
    #[arg(long)]
    once: bool,
    /// The time between two looks
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
}

/// To the upper left corner, and everything below it away.
const CLEAR: &str = "\x1b[H\x1b[J";
/// No faster than a person can read.
const SHORTEST: Duration = Duration::from_millis(100);

pub(crate) fn top(server: &Server, words: &Top, output: Output) -> Result<(), Failure> {
    let once = words.once || output != Output::Table || !std::io::stdout().is_terminal();
    loop {
        let all = json!({ "nodes": server.get("/api/v1/nodes")?["items"], "instances": server.get("/api/v1/instances")?["items"] });
        if once {
            return answer(output, &all, |all| page(all, Timestamp::now()));
        }
        print(&format!("{CLEAR}{}", page(&all, Timestamp::now())))?;
        std::thread::sleep(words.interval.max(SHORTEST));
    }
}

/// Both tables.
pub(super) fn page(all: &Value, now: Timestamp) -> String {
    let nodes = json!({ "items": all["nodes"] });
    let devices =
        table(["NODE", "DEVICE", "TOTAL", "FREE", "OURS", "PROMISED", "OTHERS", "SET ASIDE", "HOLDERS"], items(&nodes).flat_map(rows));
    let instances = json!({ "items": all["instances"] });
    let running = if items(&instances).next().is_some() { instance_table(&instances, now) } else { "nothing is loaded\n".to_owned() };
    format!("{devices}\n{running}")
}

fn rows(node: &Value) -> Vec<[String; 9]> {
    let devices = node["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    devices.iter().map(|device| row(node, device)).collect()
}

fn row(node: &Value, device: &Value) -> [String; 9] {
    let bytes = |key: &str| ByteSize(device[key].as_u64().unwrap_or(0));
    let held: Vec<(&String, u64)> =
        device["held"].as_object().into_iter().flatten().map(|(name, bytes)| (name, bytes.as_u64().unwrap_or(0))).collect();
    let ours = ByteSize(held.iter().map(|(_, bytes)| bytes).sum());
    let allocations = node["allocations"].as_array().into_iter().flatten().filter(|one| one["device"] == device["id"]);
    let others = allocations.map(|one| format!("[{}] {}", text(&one["holder"]), ByteSize(one["bytes"].as_u64().unwrap_or(0))));
    let holders = held.iter().map(|(name, bytes)| format!("{name} {}", ByteSize(*bytes))).chain(others);
    let name = text(&device["name"]);
    [
        text(&node["name"]),
        if name.is_empty() { text(&device["id"]) } else { format!("{} ({name})", text(&device["id"])) },
        bytes("total").to_string(),
        bytes("free").to_string(),
        ours.to_string(),
        bytes("promised").to_string(),
        bytes("foreign").to_string(),
        bytes("allocated").to_string(),
        holders.collect::<Vec<_>>().join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_who_holds_what_of_each_device() {
        const GIB: u64 = 1 << 30;
        let device = |id: &str, name: &str, held: Value, foreign: u64| json!({ "id": id, "kind": "cuda", "name": name, "total": 80 * GIB, "free": 40 * GIB, "held": held, "promised": 0, "allocated": 8 * GIB, "foreign": foreign, "available": 0 });
        let allocation = json!({ "id": "a", "device": "cuda:GPU-1", "bytes": 8 * GIB, "holder": "training" });
        let devices = [device("ram", "", json!({}), 0), device("cuda:GPU-1", "0: H100", json!({"chat": 30 * GIB, "code": 2 * GIB}), GIB)];
        let all = json!({ "nodes": [{ "name": "here", "devices": devices, "allocations": [allocation] }], "instances": [] });
        insta::assert_snapshot!(page(&all, Timestamp::from_millis(0)));
    }
}
