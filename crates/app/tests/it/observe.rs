//! What a running house tells about itself: metrics, a log of requests, traces.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use app::config::Environment;
use base::tasks::{self, Task};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::Process;
use crate::stage::{PATIENCE, Stage, stop, until};

const ECHO: &str = "deployments:\n  - { name: echo, engine: echo }\n";

fn chat(stream: bool) -> Bytes {
    json!({"model": "echo", "stream": stream, "messages": [{"role": "user", "content": "one two three"}]}).to_string().into()
}

/// The whole lines of a log.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_a_line_in_the_access_log_and_a_moved_file_is_let_go() {
    let stage = Stage::new();
    let mut process = Process::start(&stage, &format!("access_log: ./access.log\n{ECHO}")).await;
    let client = process.client.clone();
    let (file, moved) = (stage.folder().join("access.log"), stage.folder().join("access.log.1"));
    let answered =
        client.ask_with(Method::POST, "/v1/chat/completions", &[("x-request-id", "my-id"), ("user-agent", "a\"b")], chat(true)).await;
    assert_eq!(answered.status, 200);
    client.get("/api/v1/deployments/echo").await;
    client.with_token(Some("psk_wrong")).get("/v1/models").await;
    client.ask_with(Method::POST, "/v1/chat/completions?log=off", &[], chat(false)).await;
    client.ask_with(Method::POST, "/v1/chat/completions?log=debug", &[], chat(false)).await;
    let seen = until("four of the five are there", async || Some(lines(&file)).filter(|lines| lines.len() >= 4)).await;
    assert_eq!(seen.len(), 4, "{seen:#?}");
    // Each line is written a moment after its answer, so those of two connections come in any order.
    let one = |is: &dyn Fn(&Value) -> bool| seen.iter().find(|line| is(line)).unwrap_or_else(|| panic!("{seen:#?}"));
    let call = one(&|line| line["id"] == "my-id");
    assert_eq!((call["id"].as_str(), call["agent"].as_str()), (Some("my-id"), Some("a\"b")));
    assert_eq!((call["model"].as_str(), call["ending"].as_str(), call["status"].as_u64()), (Some("echo"), Some("completed"), Some(200)));
    assert_eq!(call["bytes_out"].as_u64(), Some(answered.text.len() as u64));
    assert!(call["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{call}");
    assert!(call["completion_tokens"].as_u64() > Some(0) && call["upstream_ms"].as_f64() <= call["ms"].as_f64(), "{call}");
    let token = stage.token().expect("a token");
    assert!(call["token"].as_str().is_some_and(|id| !id.is_empty()) && !std::fs::read_to_string(&file).expect("a log").contains(&token));
    assert_eq!(one(&|line| line["route"] == "/api/v1/deployments/{name}")["token"], call["token"]);
    assert_eq!(one(&|line| line["status"] == 401)["token"], Value::Null);
    assert!(seen.iter().any(|line| line["stages_us"]["identify"].is_u64()), "{seen:#?}");

    std::fs::rename(&file, &moved).expect("a rename");
    process.signal(Signal::SIGHUP);
    until("there is a new file", async || file.exists().then_some(())).await;
    client.get("/healthz").await;
    process.signal(Signal::SIGTERM);
    process.ended().await;
    let last = lines(&file);
    assert_eq!(last.len(), 1, "what was said before the end is written: {last:#?}");
    assert_eq!((last[0]["route"].as_str(), lines(&moved).len()), (Some("/healthz"), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_access_log_who_asks_for_a_line_gets_it_in_the_log_of_the_process() {
    let stage = Stage::new();
    let process = Process::start(&stage, ECHO).await;
    process
        .client
        .ask_with(
            Method::POST,
            "/infer",
            &[("x-log-infer", "1"), ("x-request-id", "loud")],
            json!({"model": "echo", "prompt": "hi"}).to_string(),
        )
        .await;
    process
        .client
        .ask_with(Method::POST, "/infer", &[("x-request-id", "quiet")], json!({"model": "echo", "prompt": "hi"}).to_string())
        .await;
    until("the line is there", async || process.log().contains("loud").then_some(())).await;
    assert!(!process.log().contains("quiet"), "{}", process.log());
}

/// A collector of OpenTelemetry, as far as it takes traces.
async fn collector() -> (String, Arc<Mutex<Vec<ExportTraceServiceRequest>>>, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let got = Arc::<Mutex<Vec<_>>>::default();
    let taken = Arc::clone(&got);
    let task = tasks::spawn("collector", async move {
        let mut inside = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let taken = Arc::clone(&taken);
            let service = service_fn(move |request: Request<Incoming>| {
                let taken = Arc::clone(&taken);
                async move {
                    assert_eq!((request.uri().path(), request.headers()["x-api"].to_str().ok()), ("/v1/traces", Some("k")));
                    let body = request.into_body().collect().await?.to_bytes();
                    taken.lock().expect("the list").push(ExportTraceServiceRequest::decode(body).expect("a request of the protocol"));
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::new())))
                }
            });
            let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            inside.push(tasks::spawn("collector-connection", async move { drop(serve.await) }));
        }
    });
    (url, got, task)
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Attribute> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_two_spans_at_a_collector_and_its_client_keeps_its_trace() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let stage = Stage::new();
    let (url, got, _collector) = collector().await;
    let house = stage.house(&format!("otlp: {{ endpoint: '{url}', headers: 'x-api=k', sample_ratio: 0 }}\n{ECHO}")).await;
    let client = stage.client(&house);
    client.ask_with(Method::POST, "/v1/chat/completions", &[("traceparent", PARENT), ("x-request-id", "traced")], chat(true)).await;
    client.ask_with(Method::POST, "/v1/chat/completions", &[], chat(true)).await; // by our ratio, not sampled
    stop(house).await; // what waits is sent before the end
    let got = got.lock().expect("the list");
    let resource = &got[0].resource_spans[0];
    assert!(format!("{:?}", resource.resource).contains("penstock"));
    let spans: Vec<&Span> =
        got.iter().flat_map(|got| &got.resource_spans).flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (server, engine) = (spans[0], spans[1]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    assert_eq!((hex(&server.trace_id).as_str(), hex(&server.parent_span_id).as_str()), (&PARENT[3..35], &PARENT[36..52]));
    assert_eq!((&engine.parent_span_id, &engine.trace_id), (&server.span_id, &server.trace_id));
    assert_eq!((server.name.as_str(), engine.name.as_str()), ("POST /v1/chat/completions", "chat echo"));
    assert_eq!(attribute(server, "penstock.request.id"), Some(&Attribute::StringValue("traced".to_owned())));
    for (key, value) in [("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "echo"), ("gen_ai.request.model", "echo")] {
        assert_eq!(attribute(engine, key), Some(&Attribute::StringValue(value.to_owned())), "{key}");
    }
    assert!(matches!(attribute(server, "gen_ai.usage.output_tokens"), Some(Attribute::IntValue(tokens)) if *tokens > 0));
    assert!(server.start_time_unix_nano < engine.start_time_unix_nano && engine.end_time_unix_nano <= server.end_time_unix_nano);
    let stages: Vec<&str> = server.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(stages.len(), 7, "{stages:?}");
    assert_eq!(engine.events[0].name, "gen_ai.first_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_nobody() {
    let stage = Stage::new();
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", gone.local_addr().expect("an address"));
    drop(gone);
    let house = stage.house(&format!("otlp: {{ endpoint: '{url}' }}\n{ECHO}")).await;
    let client = stage.client(&house);
    for _ in 0..20 {
        assert_eq!(client.ask_with(Method::POST, "/v1/chat/completions", &[], chat(true)).await.status, 200);
    }
    until("the loss is counted", async || {
        let text = client.get("/metrics").await.text;
        let line = text.lines().find(|line| line.starts_with("penstock_traces_dropped_total"))?;
        line.rsplit(' ').next()?.parse::<u64>().ok().filter(|dropped| *dropped >= 20)
    })
    .await;
    stop(house).await;
}

const HEAD: &str = "\
# The metrics

What `GET /metrics` tells, made from a server that has served a call; write it anew with
`PENSTOCK_TEST_RENEW=1 cargo test -p app --test it the_page_about_the_metrics`. How to scrape and what to look at stands in
[observe.md](../how-to/observe.md). Names of counters end in `_total`, those of histograms in `_bucket`, `_sum` and `_count`.
Every label's values are bounded: models are those that are deployed (any other name is `other`), routes are patterns,
and what is beyond a bound is counted in `penstock_series_dropped_total`.

| metric | kind | labels | what it tells |
|---|---|---|---|
";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_the_metrics_lists_what_a_scrape_shows() {
    let stage = Stage::new();
    // A card that tells how busy it is, which not every machine has.
    let devices = json!([
        {"id": "ram", "kind": "ram", "total": 4_u64 << 30, "free": 4_u64 << 30},
        {"id": "cuda:GPU-0", "kind": "cuda", "total": 1_u64 << 30, "free": 1_u64 << 30, "utilization": 40},
    ]);
    std::fs::write(stage.folder().join("devices.json"), devices.to_string()).expect("a file");
    std::fs::write(stage.folder().join("hook.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a file");
    let config = format!(
        "access_log: ./access.log\nmemory: {{ budget: 1GiB, devices_file: devices.json }}\n\
         webhooks:\n  - {{ name: pager, url: 'http://127.0.0.1:9/', secret_file: hook.secret }}\n\
         otlp: {{ endpoint: 'http://127.0.0.1:9', sample_ratio: 0 }}\n{ECHO}"
    );
    let house = stage.house(&config).await;
    let client = stage.client(&house);
    client.ask_with(Method::POST, "/v1/chat/completions", &[], chat(true)).await;
    // A call is counted a moment after its last byte, and what the fleet and the receivers count after their next turn.
    let begun = Instant::now();
    let scrape = until("each family has a value", async || {
        let scrape = client.get("/metrics").await;
        let bare = bare(&scrape.text);
        assert!(bare.is_empty() || begun.elapsed() < PATIENCE / 2, "nothing is told of {bare:?}");
        bare.is_empty().then_some(scrape)
    })
    .await;
    assert_eq!(scrape.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let newer = client.ask_with(Method::GET, "/metrics", &[("accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")], "").await;
    assert!(newer.header("content-type").starts_with("application/openmetrics-text") && newer.text.ends_with("# EOF\n"));
    stop(house).await;
    let over_tls = crate::safety::tls::scrape().await;
    let families = |text: &str| -> Vec<String> { text.split("# HELP ").skip(1).map(|family| format!("# HELP {family}")).collect() };
    let name = |family: &String| family.split(' ').nth(2).unwrap_or_default().to_owned();
    let plain: BTreeSet<String> = families(&scrape.text).iter().map(name).collect();
    let only_with_tls: String = families(&over_tls).into_iter().filter(|family| !plain.contains(&name(family))).collect();
    let page = format!("{HEAD}{}", table(&format!("{}{only_with_tls}", scrape.text)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    if Environment::of_process().get("PENSTOCK_TEST_RENEW").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    let only = |one: &str, other: &str| one.lines().filter(|line| !other.lines().any(|same| same == *line)).collect::<Vec<_>>().join("\n");
    assert!(
        stands == page,
        "docs/reference/metrics.md is old: PENSTOCK_TEST_RENEW=1 cargo test -p app --test it the_page_about_the_metrics\nit says\n{}\nand should say\n{}",
        only(&stands, &page),
        only(&page, &stands)
    );
}

/// Families of a scrape without a value, whose labels are not known yet.
fn bare(text: &str) -> Vec<&str> {
    let families = text.split("# HELP ").skip(1);
    let without = families.filter(|family| family.lines().skip(1).all(|line| line.is_empty() || line.starts_with('#')));
    without.filter_map(|family| family.split(' ').next()).collect()
}

/// A row for each family of a scrape.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    for family in text.split("# HELP ").skip(1) {
        let (name, rest) = family.split_once(' ').expect("a name");
        let help = rest.lines().next().unwrap_or_default().trim_end_matches('.');
        let kind = rest.lines().find_map(|line| line.strip_prefix("# TYPE ")?.rsplit(' ').next()).expect("a kind");
        let labels: BTreeSet<&str> =
            rest.lines().filter(|line| !line.starts_with('#')).flat_map(labels).filter(|label| *label != "le").collect();
        let labels = labels.into_iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        rows.push(format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    rows.concat()
}

/// The names of a line's labels.
fn labels(line: &str) -> Vec<&str> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    inside.split("\",").filter_map(|label| Some(label.split_once("=\"")?.0)).collect()
}
