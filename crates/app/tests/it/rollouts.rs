//! Rollouts through the front door: under load, in room for one, with a bad revision, as a canary, and back again. Callers
//! notice nothing of any of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base::tasks::{self, Task};
use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Head, Script, Step, Upstream};

use crate::client::{Client, Reply};
use crate::stage::{Stage, lazy, stop, tiny, until};

const ECHO: &str = "deployments:\n  - { name: m, engine: echo, parallel: 8, replicas: { min: 1 } }\n";

/// Callers who ask one after the other, and count what they are told.
struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    callers: Vec<Task>,
}

impl Load {
    fn of(client: &Client, model: &str, callers: usize) -> Self {
        let (over, answered, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let caller = |_| {
            let (client, model) = (client.clone(), model.to_owned());
            let (over, answered, failed) = (Arc::clone(&over), Arc::clone(&answered), Arc::clone(&failed));
            tasks::spawn("caller", async move {
                while !over.load(Ordering::Relaxed) {
                    let reply = client.capital(&model).await;
                    let count = if reply.status == 200 { &answered } else { &failed };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self { callers: (0..callers).map(caller).collect(), over, answered, failed }
    }

    fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many were answered, and how many were not.
    async fn end(self) -> (u32, u32) {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.join().await;
        }
        (self.answered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

async fn change(client: &Client, name: &str, patch: &Value) -> Reply {
    let reply = client.ask(Method::PATCH, &format!("/api/v1/deployments/{name}"), patch.to_string().into()).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
    reply
}

async fn rollout(client: &Client, name: &str) -> Value {
    client.get(&format!("/api/v1/deployments/{name}/rollout")).await.json()
}

/// Waits until it is in this state at this revision.
pub(crate) async fn reaches(client: &Client, name: &str, state: &str, revision: u64) -> Value {
    until(&format!("revision {revision} is {state}"), async || {
        let status = rollout(client, name).await;
        (status["state"] == state && status["to"] == revision).then_some(status)
    })
    .await
}

async fn pids(client: &Client) -> Vec<Value> {
    let all = client.get("/api/v1/instances").await.json();
    all["items"].as_array().expect("a list").iter().map(|one| one["pid"].clone()).collect()
}

async fn rolls_under_load(stage: &Stage, config: &str, (model, replicas): (&str, u64)) {
    let house = stage.house(config).await;
    let client = stage.client(&house);
    client.capital(model).await.said();
    let load = Load::of(&client, model, 4);
    for revision in 2..=3_u64 {
        let before = load.answered();
        until("calls run", async || (load.answered() > before + 8).then_some(())).await;
        change(&client, model, &json!({"context": 128 * revision})).await;
        let status = reaches(&client, model, "complete", revision).await;
        assert_eq!((&status["from"], &status["strategy"]), (&json!(revision - 1), &json!("rolling")));
    }
    let (answered, failed) = load.end().await;
    assert!(answered > 16 && failed == 0, "{failed} of {} calls failed", answered + failed);
    let shown = client.get(&format!("/api/v1/deployments/{model}")).await.json();
    assert_eq!((&shown["status"]["revision"], &shown["status"]["ready"]), (&json!(3), &json!(replicas)));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_under_load_fails_no_call() {
    rolls_under_load(&Stage::new(), ECHO, ("m", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_of_three_instances_under_load_fails_no_call() {
    rolls_under_load(&Stage::new(), &ECHO.replace("{ min: 1 }", "{ min: 3, max: 3 }"), ("m", 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_of_a_real_engine_under_load_fails_no_call() {
    let Some(stage) = Stage::with_engine() else { return };
    rolls_under_load(&stage, &format!("{}    parallel: 4\n    context: 128\n    replicas: {{ min: 1 }}\n", lazy()), ("tiny", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_for_one_the_old_engine_ends_first_and_every_caller_is_held() {
    let Some(stage) = Stage::with_engine() else { return };
    let deployment = format!("{}    parallel: 2\n    context: 256\n    replicas: {{ min: 1 }}\n", lazy());
    let house = stage.house(&deployment).await;
    let memory = until("it is estimated", async || {
        stage.client(&house).get("/api/v1/deployments/tiny/explain").await.json()["memory"].as_u64().filter(|bytes| *bytes > 0)
    })
    .await;
    stop(house).await;
    let stage = Stage::with_engine().expect("it was there");
    let house = stage.house(&format!("memory: {{ budget: {}MiB }}\n{deployment}", memory * 3 / 2 / (1 << 20))).await;
    let client = stage.client(&house);
    client.capital("tiny").await.said();
    let load = Load::of(&client, "tiny", 3);
    until("calls run", async || (load.answered() > 3).then_some(())).await;
    change(&client, "tiny", &json!({"threads": 1})).await;
    let status = reaches(&client, "tiny", "complete", 2).await;
    let (answered, failed) = load.end().await;
    assert!(answered > 3 && failed == 0, "{failed} of {} calls failed", answered + failed);
    assert_eq!(status["strategy"], "recreate", "{status}");
    until("it is told why", async || {
        let told = client.get("/api/v1/events?deployment=tiny&limit=200").await.text;
        told.contains("there is no room for revision 2 beside the old one").then_some(())
    })
    .await;
    assert_eq!(house.fleet().instances.len(), 1);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_whose_engine_refuses_its_arguments_goes_back_by_itself() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("{}    parallel: 2\n    context: 128\n    replicas: {{ min: 1 }}\n", lazy())).await;
    let client = stage.client(&house);
    client.capital("tiny").await.said();
    let before = pids(&client).await;
    let load = Load::of(&client, "tiny", 2);
    change(&client, "tiny", &json!({"args": ["--seed", "no-such-number"]})).await;
    let status = reaches(&client, "tiny", "rolled_back", 2).await;
    let (answered, failed) = load.end().await;
    assert!(answered > 0 && failed == 0, "{failed} of {} calls failed", answered + failed);
    let reason = &status["reason"];
    assert_eq!((&reason["code"], &status["failures"]), (&json!("revision_failed"), &json!(3)));
    assert!(reason["message"].as_str().is_some_and(|message| message.contains("--seed")), "{reason}");
    assert!(pids(&client).await.contains(&before[0]), "the old engine was never touched");
    let revisions = client.get("/api/v1/deployments/tiny/revisions").await.json();
    let standing: Vec<&Value> = revisions["items"].as_array().expect("a list").iter().map(|one| &one["status"]).collect();
    assert_eq!(standing, ["failed", "serving"]);
    let undone = client.post("/api/v1/deployments/tiny/rollout/undo", &json!({})).await;
    assert_eq!(undone.status, 202, "{}", undone.text);
    reaches(&client, "tiny", "complete", 3).await;
    assert_eq!(pids(&client).await.iter().filter(|pid| **pid == before[0]).count(), 1, "an undo to what runs starts nothing");
    client.capital("tiny").await.said();
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_at_once_and_no_engine_starts_anew_by_api_and_by_a_reload() {
    let stage = Stage::new();
    let mut house = stage.house(ECHO).await;
    let client = stage.client(&house);
    client.capital("m").await.said();
    let before = pids(&client).await;
    change(&client, "m", &json!({"limits": {"requests_per_minute": 1000}, "max_queue": 3, "replicas": {"min": 1, "max": 2}})).await;
    reaches(&client, "m", "complete", 2).await;
    assert_eq!(client.capital("m").await.header("x-ratelimit-limit-requests"), "1000");
    assert_eq!(pids(&client).await, before);
    stage.write_config(&ECHO.replace("parallel: 8", "parallel: 8, max_queue: 9"));
    house.reload(&app::config::Flags::default()).await.expect("a config");
    reaches(&client, "m", "complete", 3).await;
    assert_eq!(pids(&client).await, before);
    stage.write_config(&ECHO.replace("parallel: 8", "parallel: 4"));
    house.reload(&app::config::Flags::default()).await.expect("a config");
    reaches(&client, "m", "complete", 4).await;
    assert_ne!(pids(&client).await, before, "slots are the engine's");
    let revisions = client.get("/api/v1/deployments/m/revisions").await.json();
    let causes: Vec<&str> = revisions["items"].as_array().expect("a list").iter().filter_map(|one| one["cause"].as_str()).collect();
    assert_eq!((causes[0], causes[1], causes[3]), ("the config", "the config", "the config"));
    assert!(causes[2].starts_with("a change by token"), "{causes:?}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_back_what_the_api_has_changed_only_where_the_file_has_changed() {
    const CONFIG: &str = "\
deployments:
  - { name: m, engine: echo, parallel: 8, replicas: { min: 1 } }
  - { name: gone, engine: echo }
routes:
  - { name: r, targets: [{ deployment: m }] }
";
    let stage = Stage::new();
    let mut house = stage.house(CONFIG).await;
    let client = stage.client(&house);
    reaches(&client, "m", "complete", 1).await;
    let bad = CONFIG.replace("parallel: 8", "parallel: 1");
    stage.write_config(&bad);
    house.reload(&app::config::Flags::default()).await.expect("a config");
    reaches(&client, "m", "complete", 2).await;
    let undone = client.post("/api/v1/deployments/m/rollout/undo", &json!({})).await;
    assert_eq!(undone.status, 202, "{}", undone.text);
    reaches(&client, "m", "complete", 3).await;
    let routed = json!({"targets": [{"deployment": "m", "weight": 7}]});
    let routed = client.ask(Method::PUT, "/api/v1/routes/r", routed.to_string().into()).await;
    assert_eq!(routed.status, 200, "{}", routed.text);
    assert_eq!(client.ask(Method::DELETE, "/api/v1/deployments/gone", "".into()).await.status, 202);
    until("it is gone", async || (client.get("/api/v1/deployments/gone").await.status == 404).then_some(())).await;

    house.reload(&app::config::Flags::default()).await.expect("the same config");
    let of = async |path: &str| client.get(path).await.json();
    let (m, r) = (of("/api/v1/deployments/m").await, of("/api/v1/routes/r").await);
    assert_eq!((&m["generation"], &m["spec"]["parallel"]), (&json!(3), &json!(8)), "the undo holds");
    assert_eq!((&r["generation"], &r["spec"]["targets"][0]["weight"]), (&json!(2), &json!(7)), "the route as well");
    assert_eq!(client.get("/api/v1/deployments/gone").await.status, 404);

    stage.write_config(&bad.replace("parallel: 1", "parallel: 2"));
    house.reload(&app::config::Flags::default()).await.expect("a config");
    let (m, r) = (of("/api/v1/deployments/m").await, of("/api/v1/routes/r").await);
    assert_eq!((&m["generation"], &m["spec"]["parallel"]), (&json!(4), &json!(2)), "a changed entry is followed");
    assert_eq!(r["generation"], 2, "and no other");
    stop(house).await;

    let house = stage.house(CONFIG).await;
    let client = stage.client(&house);
    assert_eq!(client.get("/api/v1/routes/r").await.json()["spec"]["targets"][0]["weight"], 1, "a start follows the file");
    assert_eq!(client.get("/api/v1/deployments/gone").await.status, 200);
    stop(house).await;
}

/// A remote engine behind a canary.
async fn canary(stage: &Stage, upstream: &Upstream, more: &str) -> (app::serve::House, Client) {
    let by = format!("rollout: {{ strategy: canary, canary: {{ {more} }} }}");
    let deployment = format!("{{ name: m, url: '{}', upstream_model: old, replicas: {{ min: 1 }}, {by} }}", upstream.url());
    let house = stage.house(&format!("deployments:\n  - {deployment}\n")).await;
    let client = stage.client(&house);
    reaches(&client, "m", "complete", 1).await;
    change(&client, "m", &json!({"upstream_model": "new"})).await;
    until("both serve", async || (rollout(&client, "m").await["ready"] == 1).then_some(())).await;
    (house, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_its_share_of_the_calls_step_by_step() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    let (house, client) = canary(&stage, &upstream, "weights: [10, 40], hold: 1h, max_latency_ratio: 100").await;
    assert_eq!(rollout(&client, "m").await["weight"], 10);
    for _ in 0..100 {
        assert_eq!(client.capital("m").await.status, 200);
    }
    let new = upstream.asks_of("new").len();
    assert!((9..=11).contains(&new), "{new} of 100");
    assert_eq!(client.post("/api/v1/deployments/m/rollout/promote", &json!({})).await.status, 202);
    reaches(&client, "m", "complete", 2).await;
    upstream.forget();
    assert_eq!(client.capital("m").await.status, 200);
    assert_eq!((upstream.asks_of("new").len(), upstream.asks_of("old").len()), (1, 0));
    assert_eq!(client.post("/api/v1/deployments/m/rollout/promote", &json!({})).await.status, 409);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_steps_forward_by_itself() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    let (house, client) = canary(&stage, &upstream, "weights: [20, 50], hold: 300ms, max_latency_ratio: 100").await;
    let load = Load::of(&client, "m", 2);
    reaches(&client, "m", "complete", 2).await;
    let (answered, failed) = load.end().await;
    assert!(answered > 0 && failed == 0, "{failed} of {} calls failed", answered + failed);
    // The story is written down a moment after what it tells.
    until("each step is told", async || {
        let told = client.get("/api/v1/events?deployment=m&kind=rollout_step").await.json();
        (told["items"].as_array().expect("a list").len() >= 4).then_some(())
    })
    .await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_fails_its_calls_goes_back_after_a_few_of_them() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    upstream.plays("new", Script::json(500, r#"{"error":{"message":"it broke"}}"#));
    let (house, client) = canary(&stage, &upstream, "weights: [30], hold: 1h").await;
    let load = Load::of(&client, "m", 2);
    let status = reaches(&client, "m", "rolled_back", 2).await;
    let (answered, failed) = load.end().await;
    // An answer of 500 is the caller's: its engine may have been at work on it.
    assert!(answered > 0 && (3..=8).contains(&failed), "{failed} of {} calls failed", answered + failed);
    assert_eq!((&status["reason"]["code"], &status["from"]), (&json!("canary_errors"), &json!(1)));
    let asked = upstream.asks_of("new").len();
    assert_eq!(client.capital("m").await.status, 200);
    assert_eq!(upstream.asks_of("new").len(), asked, "it gets no more calls");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_whose_first_tokens_take_far_longer_goes_back_and_no_stream_fails() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an engine"));
    let chunk = |delta: &str, finish: &str| {
        format!(
            r#"data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"new","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
        )
    };
    let body = [chunk(r#"{"role":"assistant","content":"late"}"#, "null"), chunk("{}", r#""stop""#), "data: [DONE]".to_owned()];
    let head = Head { status: 200, headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())], length: None };
    let late = Step::Pause(std::time::Duration::from_millis(200));
    let body = format!("{}\n\n", body.join("\n\n"));
    upstream.plays("new", Script::silent().then(late).then(Step::Head(head)).then(Step::Body(body.into())));
    let (house, client) = canary(&stage, &upstream, "weights: [30], hold: 1h, max_latency_ratio: 3").await;
    // How long a first token takes is seen of streams.
    let mut ask = crate::client::capital("m");
    ask["stream"] = json!(true);
    let status = until("it goes back", async || {
        let heard = client.stream("/v1/chat/completions", &ask).await.events().await;
        assert_eq!(heard.last().map(String::as_str), Some("[DONE]"), "{heard:?}");
        let status = rollout(&client, "m").await;
        (status["state"] == "rolled_back").then_some(status)
    })
    .await;
    assert_eq!((&status["reason"]["code"], &status["from"]), (&json!("canary_slow"), &json!(1)), "{status}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_takes_a_registered_model_by_its_digest_and_refuses_a_file_that_has_changed() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let file = stage.folder().join("one.gguf");
    std::fs::copy(tiny(), &file).expect("a copy");
    let model = client.post("/api/v1/models", &json!({"name": "stories", "source": format!("file:{}", file.display())})).await;
    assert!(model.status < 300, "{}", model.text);
    for (name, source) in [("named", "stories".to_owned()), ("filed", format!("file:{}", file.display()))] {
        assert_eq!(client.post("/api/v1/deployments", &json!({"name": name, "model": source})).await.status, 202);
        until("it is frozen", async || {
            let all = client.get(&format!("/api/v1/deployments/{name}/revisions")).await.json();
            (all["items"].as_array()?.len() == 1).then_some(())
        })
        .await;
        change(&client, name, &json!({"max_queue": 3})).await;
        until("it is frozen", async || {
            let all = client.get(&format!("/api/v1/deployments/{name}/revisions")).await.json();
            (all["items"].as_array()?.len() == 2).then_some(())
        })
        .await;
    }
    let undone = client.post("/api/v1/deployments/named/rollout/undo", &json!({"to": 1})).await;
    assert_eq!(undone.status, 202, "{}", undone.text);
    let model = undone.json()["spec"]["model"].as_str().expect("a model").to_owned();
    assert!(model.starts_with("stories@sha256:"), "{model}");
    let mut bytes = std::fs::read(&file).expect("the file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("another file");
    let refused = client.post("/api/v1/deployments/filed/rollout/undo", &json!({"to": 1})).await;
    assert!(refused.status == 400 && refused.text.contains("has changed since revision 1"), "{}", refused.text);
    stop(house).await;
}
