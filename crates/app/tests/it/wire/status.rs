//! Section 4: `/models`, `/status`, `/healthz`, `/readyz`, and the numbers of `/metrics`.

use serde_json::{Value, json};
use testkit::upstream::{Gate, Script, Step};

use super::{CHAT, Door, chat, soon, soon_is};
use crate::stage::{Stage, lives, stop, until};

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_with_what_their_files_say() {
    let stage = Stage::new();
    let house = stage.house(&crate::stage::lazy()).await;
    let client = stage.client(&house);
    let models = until("the file has been read", async || {
        let models = client.get("/models").await.json();
        (models["models"][0]["family"] != "").then_some(models)
    })
    .await;
    let expected = json!({"models": [{"id": "tiny", "name": "tiny", "path": "tiny.gguf", "quant": "F16", "family": "llama"}]});
    assert_eq!(models, expected);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_without_what_opens_their_addresses() {
    let stage = Stage::new();
    let far = "  - { name: far, model: 'http://127.0.0.1:9/t.gguf?X-Amz-Signature=abc' }\n";
    let house =
        stage.house(&format!("deployments:\n{far}  - {{ name: remote, engine: openai, url: 'http://127.0.0.1:9/v1?key=abc' }}\n")).await;
    let client = stage.client(&house);
    let models = client.get("/models").await.json()["models"].take();
    let paths: Vec<&Value> = models.as_array().expect("a list").iter().map(|model| &model["path"]).collect();
    assert_eq!(paths, ["http://127.0.0.1:9/t.gguf?…", ""]);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_the_truth_about_who_runs_and_who_waits() {
    let begun = base::Timestamp::now().as_secs();
    let door = Door::of(&[("m", "parallel: 1\nmax_queue: 7")]).await;
    let gate = Gate::new();
    door.upstream.plays_with("m", {
        let gate = gate.clone();
        move |_| Script::json(200, super::whole("m").to_string()).first(Step::Wait(gate.clone()))
    });
    let asks: Vec<_> = (0..3)
        .map(|_| {
            let client = door.client.clone();
            base::tasks::spawn("asks", async move { drop(client.post(CHAT, &serde_json::from_str(&chat("m", "")).expect("JSON")).await) })
        })
        .collect();
    let seen = async || door.client.get("/status").await.json();
    soon_is("one runs and two wait", async || seen().await["instances"][0]["queue_len"] == 2).await;
    let status = seen().await;
    let one = &status["instances"][0];
    let expected = ["est_vram_mb", "inflight", "last_used_unix", "max_queue_depth", "model_id", "pid", "port", "queue_len", "state"];
    assert_eq!(keys(one), expected);
    assert_eq!(
        (&one["model_id"], &one["state"], &one["inflight"], &one["max_queue_depth"]),
        (&json!("m"), &json!("ready"), &json!(1), &json!(7))
    );
    let url = door.upstream.url();
    let port: Option<u64> = url.rsplit(':').next().and_then(|rest| rest.trim_end_matches("/v1").parse().ok());
    assert!(port.is_some() && one["port"].as_u64() == port, "{url}: {one}");
    let always = [
        "budget_mb",
        "draining_count",
        "evictions_total",
        "instances",
        "loads_total",
        "margin_mb",
        "server_time_unix",
        "state",
        "uptime_seconds",
        "used_est_mb",
        "warmups_in_progress",
    ];
    assert_eq!(keys(&status), always, "error and last_error only when there is one");
    let (told, used) = (status["server_time_unix"].as_i64().expect("a time"), one["last_used_unix"].as_i64().expect("a time"));
    let (first, last) = (begun - 2, base::Timestamp::now().as_secs() + 2);
    assert!((first..=last).contains(&told) && (first..=last).contains(&used), "{status}");
    for _ in 0..3 {
        gate.open();
    }
    soon_is("all have been served", async || {
        let status = seen().await;
        let one = &status["instances"][0];
        door.upstream.asks().len() == 3 && one["inflight"] == 0 && one["queue_len"] == 0
    })
    .await;
    drop(asks);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_real_engine_has_its_process_and_its_memory() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house(&format!("vram_budget_mb: 2048\nvram_margin_mb: 100\n{}", crate::stage::lazy())).await;
    let client = stage.client(&house);
    assert_eq!(
        (client.get("/readyz").await.status, client.get("/readyz").await.text.as_str()),
        (503, "loading"),
        "nothing was asked for yet"
    );
    let idle = client.get("/status").await.json();
    assert_eq!((&idle["instances"], &idle["state"], &idle["loads_total"]), (&json!([]), &json!("loading"), &json!(0)));
    client.capital("tiny").await.said();
    let status = client.get("/status").await.json();
    let one = &status["instances"][0];
    assert!(lives(u32::try_from(one["pid"].as_u64().expect("a number")).expect("a pid")), "{one}");
    assert!(one["est_vram_mb"].as_u64().is_some_and(|mb| mb > 0), "{status:#}");
    assert_eq!(one["port"], 0, "it listens on a socket");
    assert_eq!(status["used_est_mb"], one["est_vram_mb"], "what is used is what the instances hold: {status:#}");
    assert_eq!((&status["budget_mb"], &status["margin_mb"], &status["state"]), (&json!(2048), &json!(100), &json!("ready")));
    assert_eq!((&status["loads_total"], &status["evictions_total"], &one["state"]), (&json!(1), &json!(0), &json!("ready")));
    let ready = client.with_token(None).get("/readyz").await;
    assert_eq!((ready.status, ready.text.as_str()), (200, "ready"));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_to_everybody_and_readiness_ends_with_the_stop() {
    let door = Door::open().await;
    let anybody = door.client.with_token(None);
    let health = anybody.get("/healthz").await;
    assert_eq!((health.status, health.text.as_str()), (200, "ok"));
    assert_eq!(door.post(CHAT, &chat("m", "")).await.status, 200);
    assert_eq!(anybody.get("/readyz").await.text, "ready");
    door.upstream.plays("m", Script::stream().then(Step::Silence));
    let client = door.client.clone();
    let held =
        base::tasks::spawn("holds", async move { drop(client.stream_with(CHAT, &[], chat("m", r#","stream":true"#)).await.text().await) });
    soon(door.upstream.saw(|asks| asks.len() == 2)).await;
    let stopping = base::tasks::spawn("stop", stop(door.house));
    soon_is("it is not ready", async || anybody.get("/readyz").await.status == 503).await;
    drop(held);
    stopping.join().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_this_face_use_route_patterns() {
    let door = Door::open().await;
    door.post("/infer", r#"{"model":"m","prompt":"once"}"#).await;
    door.post("/infer", "{").await;
    door.client.get("/v1/models/some/model").await;
    door.client.get("/no/such/path").await;
    let lines = [
        r#"modeld_http_requests_total{path="/infer",method="POST",status="200"} 1"#,
        r#"modeld_http_requests_total{path="/infer",method="POST",status="400"} 1"#,
        r#"modeld_http_requests_total{path="/v1/models/{*id}",method="GET",status="404"} 1"#,
        r#"modeld_http_requests_total{path="unmatched",method="GET",status="404"} 1"#,
        r#"modeld_http_request_duration_seconds_count{path="/infer"} 2"#,
        r#"modeld_http_inflight_requests{path="/infer"} 0"#,
        r#"modeld_http_inflight_requests{path="/metrics"} 1"#,
    ];
    // A request is counted a moment after its last byte.
    let metrics = until("all are counted", async || {
        let metrics = door.client.get("/metrics").await.text;
        lines.iter().all(|line| metrics.contains(line)).then_some(metrics)
    })
    .await;
    assert!(!metrics.contains("some/model") && !metrics.contains("no/such"), "a client's words are no label");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_have_the_names_and_buckets_of_the_conventions() {
    let door = Door::of(&[("m", "upstream_model: theirs")]).await;
    door.post(CHAT, &chat("m", "")).await;
    soon(door.streamed("m")).await;
    let call = r#"gen_ai_operation_name="chat""#;
    let metrics = until("both are counted", async || {
        let metrics = door.client.get("/metrics").await.text;
        let count = metrics.lines().find(|line| line.starts_with("gen_ai_server_request_duration_seconds_count") && line.contains(call))?;
        count.ends_with(" 2").then_some(metrics)
    })
    .await;
    for name in [
        "gen_ai_server_request_duration_seconds_bucket",
        "gen_ai_server_time_to_first_token_seconds_bucket",
        "gen_ai_server_time_per_output_token_seconds_bucket",
        "gen_ai_client_token_usage_bucket",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name) && line.contains(call)), "{name}\n{metrics}");
    }
    for label in [r#"gen_ai_provider_name=""#, r#"gen_ai_request_model="m""#, r#"gen_ai_response_model=""#, r#"gen_ai_token_type="input""#]
    {
        assert!(metrics.contains(label), "{label}\n{metrics}");
    }
    let buckets = |name: &str| -> Vec<f64> {
        let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}_bucket")) && line.contains(call));
        let mut all: Vec<f64> = lines.filter_map(|line| line.split("le=\"").nth(1)?.split('"').next()?.parse().ok()).collect();
        all.retain(|le| le.is_finite());
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    };
    let durations = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    assert_eq!(buckets("gen_ai_server_request_duration_seconds"), durations);
    let first = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    assert_eq!(buckets("gen_ai_server_time_to_first_token_seconds"), first);
    let per_token = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
    assert_eq!(buckets("gen_ai_server_time_per_output_token_seconds"), per_token);
    let powers: Vec<f64> = (0..14).map(|power| 4_f64.powi(power)).collect();
    assert_eq!(buckets("gen_ai_client_token_usage"), powers);
    let stages = metrics.lines().filter(|line| line.starts_with("penstock_overhead_seconds_bucket") && line.contains("stage=\""));
    assert!(stages.count() > 0, "{metrics}");
    door.close().await;
}
