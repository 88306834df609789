//! Penstock is killed at any moment under load, and of rollouts; its engines go on, and it finds them again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hyper::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::depot::{Depot, ask, model, order};
use super::processes;
use crate::client::Client;
use crate::ledger::load::Load;
use crate::process::Process;
use crate::rollouts::reaches;
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

/// A change of `m` that its engine must start anew for, with the strategy that it is brought about by.
async fn change(client: &Client, round: u64, rollout: &Value) {
    let patch = json!({"env": {"ROUND": round.to_string()}, "rollout": rollout});
    let reply = client.ask(Method::PATCH, "/api/v1/deployments/m", patch.to_string().into()).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
}

/// Penstock is killed at so many moments of rollouts like this; each of them completes, and each revision is started once.
async fn goes_on_after_kills(rollout: Value, kills: u64) {
    let depot = Depot::with_room_for(3);
    drop(depot.config(&[model("m")])); // writes its file
    let config = format!("memory: {{ budget: {} }}\n", depot.room.0);
    let mut process = Process::start(&depot.stage, &config).await;
    let wish = depot.wish(&model("m").does("LOAD", "150ms"));
    let wish = merged(wish, json!({"replicas": {"min": 1}, "rollout": rollout}));
    assert_eq!(process.client.post("/api/v1/deployments", &wish).await.status, 202);
    reaches(&process.client, "m", "complete", 1).await;
    let token = depot.stage.token().expect("a token");
    let (mut slowest, mut answered) = (Duration::ZERO, 0);
    for round in 1..=kills {
        let load = Load::start(process.client.address(), &token, "m", &format!("m-{round}"), CALLERS);
        change(&process.client, round, &rollout).await;
        // Any moment: frozen, the old one draining, nothing there, loading, each step of a canary, over.
        tokio::time::sleep(Duration::from_millis(round.wrapping_mul(7_919) % 1_100)).await;
        process.signal(Signal::SIGKILL);
        process.ended().await;
        let answers = load.end().await;
        assert!(answers.iter().all(|answer| answer.status == 200), "round {round}: {answers:?}");
        answered += answers.len();
        let begun = Instant::now();
        process = Process::start(&depot.stage, &config).await;
        let status = reaches(&process.client, "m", "complete", round + 1).await;
        assert_eq!((&status["from"], &status["strategy"]), (&json!(round), &rollout["strategy"]), "{status}");
        slowest = slowest.max(begun.elapsed());
        until("one engine is left", async || (engines(&depot).len() == 1).then_some(())).await;
        assert_eq!(ask(&process.client, "m").await.status, 200, "round {round}");
    }
    println!("{rollout}: {kills} kills, {answered} calls answered, the slowest rollout went on for {slowest:?} after its kill");
    assert_eq!(depot.begun("m"), kills + 1, "each revision was started once");
    assert!(depot.book().peak["ram"] <= depot.room);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    depot.is_empty("penstock has ended").await;
}

/// The same object with these entries too.
fn merged(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_whose_penstock_is_killed_at_any_step_is_promoted_by_the_next() {
    let rollout = json!({"strategy": "canary", "canary": {"weights": [20, 50], "hold": "200ms"}});
    goes_on_after_kills(rollout, number("PENSTOCK_TEST_CANARY_KILLS", 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreation_whose_penstock_is_killed_at_any_moment_ends_with_the_new_revision() {
    goes_on_after_kills(json!({"strategy": "recreate"}), number("PENSTOCK_TEST_RECREATE_KILLS", 6)).await;
}

/// The machine goes down: every process of this test is gone at once, and the numbers that they had are another's since.
async fn reboot(depot: &Depot, mut process: Process, stranger: u32) {
    process.signal(Signal::SIGKILL);
    process.ended().await;
    let mark = depot.stage.folder().display().to_string();
    until("nothing runs", async || {
        let left = processes::marked(&mark);
        for one in &left {
            let _ = kill(Pid::from_raw(i32::try_from(one.pid).expect("a pid")), Signal::SIGKILL); // it may have ended since
        }
        left.is_empty().then_some(())
    })
    .await;
    for folder in std::fs::read_dir(depot.stage.data_dir().join("instances")).expect("folders").flatten() {
        let file = folder.path().join("facts.json");
        let mut facts: Value = serde_json::from_slice(&std::fs::read(&file).expect("facts")).expect("facts");
        (facts["keeper"], facts["engine"]) = (stranger.into(), stranger.into());
        std::fs::write(&file, facts.to_string()).expect("facts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_nothing_is_taken_over_by_the_number_of_its_process_and_the_same_models_are_served() {
    let depot = Depot::with_room_for(2);
    let config = depot.config(&[model("kept").with("replicas: { min: 1 }"), model("lazy")]);
    let process = Process::start(&depot.stage, &config).await;
    for name in ["kept", "lazy"] {
        ask(&process.client, name).await.said();
    }
    assert_eq!(told(&process.client).await.len(), 2);
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().expect("somebody else");
    reboot(&depot, process, stranger.id()).await;
    let mut process = Process::start(&depot.stage, &config).await;
    let client = process.client.clone();
    until("what is always there comes back unasked", async || (depot.begun("kept") == 2).then_some(())).await;
    for name in ["kept", "lazy"] {
        ask(&client, name).await.said();
        assert_eq!(depot.begun(name), 2, "{name} was started once more");
    }
    let events = client.get("/api/v1/events?after=0&limit=1000").await.json();
    let kinds: Vec<&str> = events["items"].as_array().expect("events").iter().filter_map(|event| event["kind"].as_str()).collect();
    assert!(!kinds.contains(&"instance_adopted") && !kinds.contains(&"instance_orphaned"), "{kinds:?}");
    assert!(!told(&client).await.contains_key(&stranger.id()), "that is somebody else");
    assert!(stranger.try_wait().expect("its state").is_none(), "it lives, and was not told to end");
    stranger.kill().expect("its end");
    stranger.wait().expect("its end");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    depot.is_empty("penstock has ended").await;
}
