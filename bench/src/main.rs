//! Life of a measured run:
//!
//! `cargo xtask bench` starts this program on the core that the gateway does not have, and tells it
//! over HTTP what to do ([`order`]). One loop ([`rig`]) is both ends of the wire: the upstream
//! ([`mock`]) and the clients ([`load`]), so that both read the same clock and no time is lost between
//! two programs that share a core. What they say to each other is fixed ([`script`]) and checked byte
//! for byte; what is seen goes into histograms ([`tally`]) and back as JSON. [`cost`] measures by
//! itself what a body takes to scan and splice; [`tunnel`] is the least that can stand in between;
//! [`herd`] is a crowd that calls one model at once.

mod rig;

mod mock;

mod load;

mod client;

mod pipe;

mod http;

mod script;

mod tally;

mod order;

mod cost;

mod tunnel;

mod herd;

use std::io::Write as _;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Both ends of the wire, for measuring what stands between them.
#[derive(Debug, Parser)]
#[command(name = "penstock-bench")]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Listen on a free loopback port, print it, answer as a model server does, and run what is sent to /bench/run
    Rig,
    /// Listen on a free loopback port, print it, and copy bytes from and to the upstream
    Tunnel {
        /// Where it listens
        upstream: std::net::SocketAddr,
    },
    /// Call one model many times at once, and print how long they waited, as JSON
    Herd(herd::Herd),
    /// Print the CPU time of scanning and splicing bodies, as JSON
    Cost,
}

fn main() -> Result<()> {
    match Arguments::parse().work {
        Work::Rig => {
            let mut rig = rig::Rig::new()?;
            line(&rig.address().to_string())?;
            rig.run()
        }
        Work::Tunnel { upstream } => {
            let mut tunnel = tunnel::Tunnel::new(upstream)?;
            line(&tunnel.address()?.to_string())?;
            tunnel.run()
        }
        Work::Herd(crowd) => line(&serde_json::to_string(&herd::run(&crowd)?)?),
        Work::Cost => line(&serde_json::to_string(&cost::all()?)?),
    }
}

fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
