//! Updates and scaling of engines that take memory and time: in memory for one, across kills, and as far as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use app::serve::House;
use base::Timestamp;
use base::tasks::{self, Task};
use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::depot::{Depot, ask, hear, model};
use super::processes;
use crate::client::Client;
use crate::process::Process;
use crate::rollouts::reaches;
use crate::stage::{number, until};

const TOKENS: u64 = 8;

/// Callers who hear one stream after the other.
struct Listeners {
    over: Arc<AtomicBool>,
    whole: Arc<AtomicU32>,
    cut: Arc<AtomicU32>,
    callers: Vec<Task>,
}

impl Listeners {
    fn of(client: &Client, name: &'static str, count: usize) -> Self {
        Self::of_length(client, name, (count, TOKENS))
    }

    fn of_length(client: &Client, name: &'static str, (count, tokens): (usize, u64)) -> Self {
        let (over, whole, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let caller = |_| {
            let (client, over, whole, cut) = (client.clone(), Arc::clone(&over), Arc::clone(&whole), Arc::clone(&cut));
            tasks::spawn("caller", async move {
                while !over.load(Relaxed) {
                    let count = if hear(&client, name).await.is_whole(name, tokens) { &whole } else { &cut };
                    count.fetch_add(1, Relaxed);
                }
            })
        };
        Self { callers: (0..count).map(caller).collect(), over, whole, cut }
    }

    /// Streams that were whole, and streams that were not.
    async fn end(self) -> (u32, u32) {
        self.over.store(true, Relaxed);
        for caller in self.callers {
            caller.join().await;
        }
        (self.whole.load(Relaxed), self.cut.load(Relaxed))
    }
}

/// A house that serves nothing yet, beside the files of these models.
async fn empty(depot: &Depot, names: &[&str]) -> (House, Client) {
    drop(depot.config(&names.iter().map(|name| model(name)).collect::<Vec<_>>())); // writes their files
    let house = depot.stage.house(&format!("memory: {{ budget: {} }}\n", depot.room.0)).await;
    let client = depot.stage.client(&house);
    (house, client)
}

async fn change(client: &Client, patch: &Value) {
    let reply = client.ask(Method::PATCH, "/api/v1/deployments/m", patch.to_string().into()).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
}

/// When an instance of this deployment last went to this phase.
async fn went(client: &Client, phase: &str) -> Timestamp {
    let told = client.get("/api/v1/events?deployment=m&limit=500").await.json();
    let events = told["items"].as_array().expect("a list").iter();
    let at = events.filter(|event| event["phase"][1] == phase).filter_map(|event| event["at"].as_str()?.parse().ok()).max();
    at.unwrap_or_else(|| panic!("none went to {phase}: {told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_for_one_streams_of_the_old_revision_finish_and_everybody_else_waits_for_the_new_one() {
    const LOAD: Duration = Duration::from_millis(400);
    let depot = Depot::with_room_for(1);
    let one = model("m").with("replicas: { min: 1 }").does("TOKENS", TOKENS).does("TOKENS_PER_SECOND", 60).does("LOAD", "400ms");
    let (house, client) = depot.house(&[one]).await;
    reaches(&client, "m", "complete", 1).await;
    let listeners = Listeners::of(&client, "m", 6);
    until("streams run", async || (listeners.whole.load(Relaxed) > 3).then_some(())).await;
    change(&client, &json!({"env": {"UPDATED": "1"}})).await;
    let status = reaches(&client, "m", "complete", 2).await;
    until("streams run", async || (listeners.whole.load(Relaxed) > 12).then_some(())).await;
    let (whole, cut) = listeners.end().await;
    assert_eq!((cut, &status["strategy"]), (0, &json!("recreate")), "{whole} were whole: {status}");
    let gap = went(&client, "ready").await.since(went(&client, "stopping").await);
    println!("{whole} streams, none cut; {gap:?} from the last stream of the old engine to the new one, which loads for {LOAD:?}");
    assert!(gap <= LOAD + Duration::from_secs(10), "{gap:?}; a machine that does much else starts slowly");
    let book = depot.book();
    assert!(book.peak["ram"] <= depot.room, "{book:?}");
    assert_eq!(depot.begun("m"), 2);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_penstock_that_is_killed_at_any_moment_of_a_rollout_goes_on_with_it_and_starts_nothing_twice() {
    let kills = number("PENSTOCK_TEST_ROLLOUT_KILLS", 8);
    let depot = Depot::with_room_for(3);
    drop(depot.config(&[model("m")])); // writes its file
    let config = format!("memory: {{ budget: {} }}\n", depot.room.0);
    let mut process = Process::start(&depot.stage, &config).await;
    let file = depot.stage.folder().join("m.gguf");
    let env = json!({"FAKE_ENGINE_DEVICES": depot.ledger.path(), "FAKE_ENGINE_LOAD": "150ms", "FAKE_ENGINE_TOKENS": TOKENS.to_string()});
    let wish = json!({"name": "m", "model": format!("file:{}", file.display()), "context": 4096, "replicas": {"min": 1}, "env": env});
    assert_eq!(process.client.post("/api/v1/deployments", &wish).await.status, 202);
    reaches(&process.client, "m", "complete", 1).await;
    let mark = depot.stage.folder().display().to_string();
    for round in 1..=kills {
        change(&process.client, &json!({"env": {"ROUND": round.to_string()}})).await;
        // Any moment: frozen, started, loading, ready, the old one on its way out, over.
        tokio::time::sleep(Duration::from_millis(round.wrapping_mul(7_919) % 450)).await;
        process.signal(Signal::SIGKILL);
        process.ended().await;
        process = Process::start(&depot.stage, &config).await;
        let status = reaches(&process.client, "m", "complete", round + 1).await;
        assert_eq!(status["from"], round, "{status}");
        assert!(ask(&process.client, "m").await.status == 200, "round {round}");
        until("one engine is left", async || {
            let engines = processes::marked(&mark).into_iter().filter(|found| found.name == "fake-engine" && found.state != 'Z').count();
            (engines == 1).then_some(())
        })
        .await;
    }
    assert_eq!(depot.begun("m"), kills + 1, "each revision was started once");
    let revisions = process.client.get("/api/v1/deployments/m/revisions").await.json();
    assert_eq!((&revisions["items"][0]["status"], &revisions["items"][1]["status"]), (&json!("serving"), &json!("superseded")));
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    let log = process.log();
    for words in ["penstock started", "m: a running instance was found again", "m: loading -> warming", "penstock is stopping"] {
        assert!(log.contains(words), "what is told stands in the log as well, and `{words}` does not: {log}");
    }
    depot.is_empty("penstock has ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_never_comes_up_or_dies_while_it_loads_goes_back_and_no_stream_notices() {
    let depot = Depot::with_room_for(2);
    let one = model("m").with("replicas: { min: 1 }").does("TOKENS", TOKENS).does("TOKENS_PER_SECOND", 60).does("LOAD", "50ms");
    let (house, client) = depot.house(&[one]).await;
    reaches(&client, "m", "complete", 1).await;
    let listeners = Listeners::of(&client, "m", 2);
    let hangs = json!({"env": {"FAKE_ENGINE_HANG_LOADING": "0.5"}, "rollout": {"progress_deadline": "1s"}});
    change(&client, &hangs).await;
    let status = reaches(&client, "m", "rolled_back", 2).await;
    assert_eq!(status["reason"]["code"], "progress_deadline", "{status}");
    change(&client, &json!({"env": {"FAKE_ENGINE_HANG_LOADING": null, "FAKE_ENGINE_CRASH_LOADING": "0.5"}, "rollout": null})).await;
    let status = reaches(&client, "m", "rolled_back", 3).await;
    assert_eq!((&status["reason"]["code"], &status["failures"], &status["from"]), (&json!("revision_failed"), &json!(3), &json!(1)));
    change(&client, &json!({"env": {"FAKE_ENGINE_CRASH_LOADING": null, "BETTER": "1"}})).await;
    reaches(&client, "m", "complete", 4).await;
    let (whole, cut) = listeners.end().await;
    assert!(whole > 0 && cut == 0, "{cut} of {} streams were cut", whole + cut);
    until("one is left", async || (house.fleet().instances.iter().filter(|one| one.pid.is_some()).count() == 1).then_some(())).await;
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_follow_their_line_their_first_tokens_and_their_cache() {
    const LONG: u64 = 240;
    let depot = Depot::with_room_for(6);
    let up_to_two = |target: &str| format!("replicas: {{ max: 2, target: {{ {target} }} }}");
    let models = [
        model("line").with(&up_to_two("queue: 1")).does("TOKENS_PER_SECOND", 40),
        model("slow").with(&up_to_two("first_token: 20ms")).does("FIRST_TOKEN", "150ms"),
        // Six percent of its cache when it ends, three on the way.
        model("full").with(&up_to_two("kv_use: 1")).does("TOKENS", LONG).does("TOKENS_PER_SECOND", 100),
    ];
    let (house, client) = depot.house(&models).await;
    let callers = [("line", 6, TOKENS), ("slow", 2, TOKENS), ("full", 1, LONG)];
    let listeners = callers.map(|(name, count, tokens)| Listeners::of_length(&client, name, (count, tokens)));
    for (name, code) in [("line", "queue"), ("slow", "first_token"), ("full", "kv_use")] {
        until("there are two", async || (house.fleet().deployments.get(name)?.ready == 2).then_some(())).await;
        let told = until("it is told why", async || {
            let told = client.get(&format!("/api/v1/events?deployment={name}&kind=scaled&limit=500")).await.json();
            let of_it = |event: &&Value| event["reason"]["code"] == code && event["reason"]["facts"]["instances"].as_u64() >= Some(2);
            told["items"].as_array()?.iter().find(of_it).cloned()
        });
        assert!(told.await["reason"]["message"].is_string());
    }
    for listeners in listeners {
        assert_eq!(listeners.end().await.1, 0, "none was cut");
    }
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_the_older_service_api_is_a_rollout_that_no_stream_notices() {
    let depot = Depot::with_room_for(3);
    let (house, client) = empty(&depot, &["m"]).await;
    let file = depot.stage.folder().join("m.gguf");
    let service = |round: &str| {
        let env = [
            ("DEVICES", depot.ledger.path().display().to_string()),
            ("TOKENS_PER_SECOND", "60".to_owned()),
            ("LOAD_LINES", round.to_owned()),
        ];
        let env: Vec<Value> = env.into_iter().map(|(key, value)| json!({"key": format!("FAKE_ENGINE_{key}"), "value": value})).collect();
        let resources = json!({"acceleratorType": "cpu", "acceleratorCount": 0});
        json!({"modelName": "m", "modelFileDir": file, "resourceRequirements": resources, "replicaCount": 1, "contextLength": 4096, "env": env})
    };
    let made = client.post("/api/v1/modserv/deploy", &service("1")).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let id = made.json()["data"]["serviceId"].as_str().expect("an id").to_owned();
    reaches(&client, "m", "complete", 1).await;
    let listeners = Listeners::of(&client, "m", 4);
    until("streams run", async || (listeners.whole.load(Relaxed) > 4).then_some(())).await;
    let put = client.ask(Method::PUT, &format!("/api/v1/modserv/{id}"), service("2").to_string().into()).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let status = reaches(&client, "m", "complete", 2).await;
    assert_eq!((&status["from"], &status["to"]), (&json!(1), &json!(2)), "{status}");
    let seen = listeners.whole.load(Relaxed);
    until("streams run", async || (listeners.whole.load(Relaxed) > seen + 4).then_some(())).await;
    let (whole, cut) = listeners.end().await;
    assert!(whole > 0 && cut == 0, "{cut} of {} streams were cut", whole + cut);
    assert_eq!(depot.begun("m"), 2);
    assert_eq!(client.ask(Method::DELETE, &format!("/api/v1/modserv/{id}"), String::new().into()).await.status, 200);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_moves_where_there_is_room_for_one_gets_the_room_of_what_it_moves_from() {
    let depot = Depot::with_room_for(1);
    let (house, client) = empty(&depot, &["old", "new"]).await;
    let service = |name: &str| {
        let file = depot.stage.folder().join(format!("{name}.gguf"));
        let env = json!([{"key": "FAKE_ENGINE_DEVICES", "value": depot.ledger.path()}]);
        let resources = json!({"acceleratorType": "cpu", "acceleratorCount": 0});
        json!({"modelName": name, "modelFileDir": file, "resourceRequirements": resources, "contextLength": 4096, "env": env})
    };
    let made = client.post("/api/v1/modserv/deploy", &service("old")).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let path = format!("/api/v1/modserv/{}", made.json()["data"]["serviceId"].as_str().expect("an id"));
    let runs = async || (client.get(&path).await.json()["data"]["status"] == "running").then_some(());
    until("it runs", runs).await;
    assert_eq!(client.ask(Method::PUT, &path, service("new").to_string().into()).await.status, 200);
    until("it has moved", runs).await;
    assert_eq!((ask(&client, "new").await.said().as_str(), ask(&client, "old").await.status), ("new 1 2 3 4 5 6 7", 404));
    assert!(depot.book().refused.is_empty() && depot.book().peak["ram"] <= depot.room);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_follow_their_load_as_far_as_there_is_room_and_go_to_zero_when_nobody_calls() {
    let depot = Depot::with_room_for(2);
    let replicas = "replicas: { min: 0, max: 4, keep_alive: 1s, target: { concurrency: 2 }, down_after: 1s }";
    let one = model("m").with(replicas).does("TOKENS", TOKENS).does("TOKENS_PER_SECOND", 40).does("LOAD", "100ms");
    let (house, client) = depot.house(&[one]).await;
    assert_eq!(depot.begun("m"), 0);
    let listeners = Listeners::of(&client, "m", 8);
    let because = until("there is room for no more", async || {
        let told = client.get("/api/v1/deployments/m/explain").await.json();
        let because = told["scaling"]["because"].as_array().cloned().unwrap_or_default();
        // The callers come one after another: all of them count once four instances are wanted.
        let is_short = |reason: &Value| reason["code"] == "no_room" && reason["facts"]["wanted"] == 4;
        (told["scaling"]["has"] == 2 && because.iter().any(is_short)).then_some(because)
    })
    .await;
    let fact = |at: usize, name: &str| because[at]["facts"][name].as_u64();
    let codes: Vec<_> = because.iter().filter_map(|reason| reason["code"].as_str()).collect();
    assert_eq!(codes, ["concurrency", "recent_load", "no_room"], "{because:?}");
    assert_eq!((fact(0, "each"), fact(0, "instances"), fact(1, "instances")), (Some(2), Some(4), Some(4)), "{because:?}");
    assert_eq!((fact(1, "window_ms"), fact(2, "room_instances"), fact(2, "wanted")), (Some(1000), Some(2), Some(4)), "{because:?}");
    assert!(because.iter().all(|reason| reason["remedy"].is_string()), "what is to be done: {because:?}");
    until("both are ready", async || (house.fleet().deployments.values().next()?.ready == 2).then_some(())).await;
    let (whole, cut) = listeners.end().await;
    assert!(whole > 0 && cut == 0, "{cut} of {} streams were cut", whole + cut);
    until("nobody is there any more", async || house.fleet().instances.is_empty().then_some(())).await;
    assert_eq!(depot.begun("m"), 2, "no third one was tried");
    let told = client.get("/api/v1/events?deployment=m&limit=500").await.json();
    let scaled: Vec<&Value> = told["items"].as_array().expect("a list").iter().filter(|event| event["kind"] == "scaled").collect();
    assert!(scaled.len() >= 2 && scaled.len() <= 12, "{scaled:?}");
    let codes: Vec<&str> = scaled.iter().filter_map(|event| event["reason"]["code"].as_str()).collect();
    let known = |code: &&str| ["concurrency", "recent_load"].contains(code);
    assert!(codes.len() == scaled.len() && codes.iter().all(known) && codes.contains(&"concurrency"), "{scaled:?}");
    assert!(scaled.iter().all(|event| event["reason"]["facts"]["instances"].is_u64()), "{scaled:?}");
    assert!(depot.book().peak["ram"] <= depot.room);
    assert_eq!(ask(&client, "m").await.status, 200, "from zero");
    depot.close(house).await;
}
