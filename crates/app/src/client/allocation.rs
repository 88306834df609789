//! Memory for work that is not Penstock's: `allocation create`, `allocation list`, `allocation release`.
//!
//! In: how much, for whom. Out: an id by which it is given back. Fails: as the server says, with the numbers; when there are several
//! machines and none was named.

use base::{ByteSize, Timestamp};
use clap::Subcommand;
use serde_json::{Value, json};

use super::http::{Server, segment};
use super::look::items;
use super::out::{age, answer, table, text};
use super::{Failure, Output};

/// What to do with memory that is set aside.
#[derive(Debug, Subcommand)]
pub enum Allocation {
    /// Set memory aside, so that no model is placed there
    #[command(
        after_help = "Nobody is unloaded for it: it is refused, with the numbers, when so much is not free now.\n\nExamples:\n  penstock allocation create 8GiB --for training --expires 2h\n  penstock allocation create 40GiB --for training --device cuda:GPU-1"
    )]
    Create {
        /// How much: 512MiB, 8GiB, or a number of bytes
        bytes: ByteSize,
        /// For whom it is, in words that others understand
        #[arg(long = "for", value_name = "WORDS")]
        holder: String,
        /// The machine; needed where there are several
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        /// The device, as `penstock top` shows it; main memory when not given
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// Given back by itself after this time: 2h, 1d
        #[arg(long, value_name = "TIME", value_parser = super::duration)]
        expires: Option<std::time::Duration>,
    },
    /// List what is set aside
    #[command(visible_alias = "ls")]
    List,
    /// Give it back
    #[command(visible_alias = "rm")]
    Release {
        /// Its id, as `allocation list` shows it
        id: String,
    },
}

/// As the server says it.
const NOT_FOUND: u16 = 404;

pub(crate) fn allocation(server: &Server, verb: Allocation, output: Output) -> Result<(), Failure> {
    match verb {
        Allocation::List => answer(output, &all(server)?, |all| allocation_table(all, Timestamp::now())),
        Allocation::Release { id } => {
            let all = all(server)?;
            let of_it = items(&all).find(|one| one["id"] == *id).map(|one| text(&one["node"]));
            let node = of_it.ok_or_else(|| Failure::Refused {
                status: NOT_FOUND,
                code: "not_found".to_owned(),
                what: format!("there is no allocation `{id}`"),
                hint: Some("`penstock allocation list` shows them".to_owned()),
            })?;
            server.delete(&format!("{}/{}", path(&node), segment(&id)))?;
            answer(output, &json!({ "id": id, "released": true }), |_| format!("{id}: given back\n"))
        }
        Allocation::Create { bytes, holder, node, device, expires } => {
            let node = match node {
                Some(node) => node,
                None => only(&server.get("/api/v1/nodes")?)?,
            };
            let mut wanted = json!({ "bytes": bytes.0, "holder": holder });
            if let Some(device) = device {
                wanted["device"] = json!(device);
            }
            if let Some(expires) = expires {
                wanted["expires"] = json!(base::clock::human::print(expires));
            }
            let made = server.post(&path(&node), &wanted)?;
            answer(output, &made, |made| format!("{}\n", text(&made["id"])))
        }
    }
}

fn path(node: &str) -> String {
    format!("/api/v1/nodes/{}/allocations", segment(node))
}

/// Of all machines, as one list.
fn all(server: &Server) -> Result<Value, Failure> {
    let nodes = server.get("/api/v1/nodes")?;
    let of = |node: &Value| node["allocations"].as_array().cloned().unwrap_or_default();
    Ok(json!({ "items": items(&nodes).flat_map(of).collect::<Vec<_>>() }))
}

/// The machine, where there is one.
pub(super) fn only(nodes: &Value) -> Result<String, Failure> {
    let names: Vec<String> = items(nodes).map(|node| text(&node["name"])).collect();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(Failure::Misused {
            what: format!("which of the {} machines is meant was not said", names.len()),
            hint: format!("name one with --node: {}", names.join(", ")),
        }),
    }
}

pub(super) fn allocation_table(all: &Value, now: Timestamp) -> String {
    let rows = items(all).map(|one| {
        [
            text(&one["id"]),
            text(&one["node"]),
            text(&one["device"]),
            ByteSize(one["bytes"].as_u64().unwrap_or(0)).to_string(),
            text(&one["holder"]),
            age(&one["created_at"], now),
            text(&one["expires_at"]),
        ]
    });
    table(["ID", "NODE", "DEVICE", "BYTES", "FOR", "AGE", "EXPIRES"], rows)
}
