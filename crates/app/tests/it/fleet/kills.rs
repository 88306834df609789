//! Penstock is killed at any moment under load; its engines go on, and it finds them again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::depot::{Depot, model, order};
use super::processes;
use crate::client::Client;
use crate::ledger::load::Load;
use crate::process::Process;
use crate::stage::{number, until};

/// Every engine that lives is taken over within this time, from the start of the new process on.
const ADOPTED_WITHIN: Duration = Duration::from_secs(2);
/// What is always in service, with the time that a load takes; one that is loaded and unloaded all the time comes on top.
const STEADY: [(&str, &str); 3] = [("a", "50ms"), ("b", "200ms"), ("c", "600ms")];
const RESTLESS: &str = "restless";
const CALLERS: usize = 2;

/// A process that listens, and the load on it.
struct Life {
    process: Process,
    loads: Vec<Load>,
}

impl Life {
    async fn begin(depot: &Depot, config: &str, round: u64) -> Self {
        let process = Process::start(&depot.stage, config).await;
        let token = depot.stage.token().expect("a token");
        let load = |model: &'static str| Load::start(process.client.address(), &token, model, &format!("{model}-{round}"), CALLERS);
        let loads = STEADY.iter().map(|(model, _)| load(model)).chain([load(RESTLESS)]).collect();
        Self { process, loads }
    }

    /// Killed, with callers waiting. How many calls were answered, and those that were refused.
    async fn kill(mut self) -> (usize, Vec<u16>) {
        self.process.signal(Signal::SIGKILL);
        self.process.ended().await;
        let mut answered = Vec::new();
        for load in self.loads {
            answered.extend(load.end().await);
        }
        let refused = answered.iter().map(|answer| answer.status).filter(|status| *status != 200).collect();
        (answered.len(), refused)
    }
}

/// The engines of this test that live.
fn engines(depot: &Depot) -> BTreeSet<u32> {
    let all = processes::marked(&depot.stage.folder().display().to_string());
    all.into_iter().filter(|found| found.name == "fake-engine" && found.state != 'Z').map(|found| found.pid).collect()
}

/// What Penstock says that it has: process by deployment.
async fn told(client: &Client) -> BTreeMap<u32, String> {
    let instances = client.get("/api/v1/instances").await.json();
    let items = instances["items"].as_array().expect("instances").clone();
    let held = |one: &Value| Some((u32::try_from(one["pid"].as_u64()?).ok()?, one["deployment"].as_str()?.to_owned()));
    items.iter().filter_map(held).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_penstock_that_is_killed_at_any_moment_finds_every_engine_again_and_starts_none_twice() {
    let kills = number("PENSTOCK_TEST_FLEET_KILLS", 10);
    let depot = Depot::with_room_for(5);
    let mut models: Vec<_> = STEADY.iter().map(|(name, load)| model(name).does("LOAD", load).with("pinned: true")).collect();
    models.push(model(RESTLESS).does("LOAD", "150ms"));
    let config = depot.config(&models);
    let (mut slowest, mut adopted, mut answered) = (Duration::ZERO, 0, 0);
    let mut life = Life::begin(&depot, &config, 0).await;
    for round in 1..=kills {
        // Any moment of a start, of a load, of serving, of an unload.
        let moment = Duration::from_millis(20 + round.wrapping_mul(7_919) % 700);
        if round % 2 == 0 {
            order(&life.process.client, RESTLESS, "unload").await;
        }
        tokio::time::sleep(moment).await;
        let before = told(&life.process.client).await;
        let (calls, refused) = life.kill().await;
        assert!(refused.is_empty(), "{refused:?}");
        answered += calls;
        let left = engines(&depot);
        let begun = Instant::now();
        life = Life::begin(&depot, &config, round).await;
        let client = life.process.client.clone();
        let steady = |pid: &u32| before.get(pid).is_some_and(|name| name != RESTLESS);
        until("every engine that lives is known", async || {
            let (known, alive) = (told(&client).await, engines(&depot));
            let lost: Vec<_> = left.iter().filter(|pid| steady(pid) && !(alive.contains(pid) && known.contains_key(pid))).collect();
            assert!(
                begun.elapsed() <= ADOPTED_WITHIN,
                "round {round}: {lost:?} of {left:?} not taken over; {alive:?} live, {known:?} known"
            );
            (lost.is_empty() && alive.iter().all(|pid| known.contains_key(pid))).then_some(())
        })
        .await;
        slowest = slowest.max(begun.elapsed());
        adopted += left.len();
        let mut twice: BTreeMap<String, usize> = BTreeMap::new();
        told(&client).await.into_values().for_each(|name| *twice.entry(name).or_default() += 1);
        assert!(STEADY.iter().all(|(name, _)| twice.get(*name).is_none_or(|count| *count == 1)), "round {round}: {twice:?}");
    }
    for (name, _) in STEADY {
        assert_eq!(depot.begun(name), 1, "{name} was started once in all");
    }
    println!("{kills} kills, {answered} calls answered, {adopted} engines found again, the last within {slowest:?}");
    let Life { mut process, loads } = life;
    for load in loads {
        load.end().await;
    }
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    depot.is_empty("penstock has ended").await;
}
