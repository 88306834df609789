//! What is told of requests: to the log, to traces, to the metrics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use spec::{Ending, Limits};

use super::fake::{self, Fake, Step};
use super::house::{CHAT, House, STREAM, STREAMS, entry, piece};
use super::until;
use crate::{Config, Record, Sampling, Watch, Wish};

/// A record, with texts of its own.
#[derive(Debug, Clone)]
struct Told {
    line: String,
    bytes: (u64, u64),
    wish: Wish,
    ending: Option<Ending>,
    error: Option<&'static str>,
    tokens: (u64, u64),
    laps: Vec<&'static str>,
    times: (Duration, Duration, Duration),
    token: bool,
    trace: Option<crate::Trace>,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Told>>>);

impl Ear {
    fn watch(&self, sampling: Option<Sampling>) -> Watch {
        let heard = Arc::clone(&self.0);
        let ended = move |record: &Record<'_>| {
            let call = record.call.as_ref();
            let place = call.map(|call| (call.deployment.unwrap_or("-"), call.instance.unwrap_or("-"), call.model));
            heard.lock().unwrap().push(Told {
                line: format!("{} {} {} {place:?}", record.method, record.route, record.status),
                bytes: (record.bytes_in, record.bytes_out),
                wish: record.wish,
                ending: call.map(|call| call.ending),
                error: call.and_then(|call| call.error),
                tokens: call.map_or((0, 0), |call| (call.prompt_tokens, call.completion_tokens)),
                laps: record.laps.iter().flatten().map(|lap| lap.stage).collect(),
                times: call.map_or_else(Default::default, |call| (call.first_byte.unwrap_or_default(), call.upstream, record.duration)),
                token: record.token.is_some(),
                trace: record.trace,
            });
        };
        Watch { ended: Some(Arc::new(ended)), always: true, sampling, sources: Vec::new() }
    }
    fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }
    fn last(&self) -> Told {
        self.all().pop().expect("a record")
    }
}

async fn house(ear: &Ear, sampling: Option<Sampling>) -> House {
    House::watched(Config::default(), ear.watch(sampling)).await
}

#[tokio::test]
async fn each_request_is_told_once_with_what_became_of_it() {
    let ear = Ear::default();
    let house = house(&ear, None).await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    for body in [CHAT, STREAM] {
        let answer = house.chat(body).await;
        let told = ear.last();
        assert_eq!(told.line, r#"POST /v1/chat/completions 200 Some(("m", "m-0", "m"))"#);
        assert_eq!(told.bytes, (body.len() as u64, answer.body.len() as u64));
        assert_eq!((told.ending, told.error, told.tokens), (Some(Ending::Completed), None, (7, 3)));
        assert_eq!(told.laps, ["identify", "body", "read", "admit", "choose", "send", "engine"]);
        let (first, upstream, whole) = told.times;
        assert!(Duration::ZERO < first && first <= whole && upstream <= whole, "{:?}", told.times);
        assert!(told.token);
    }
    house.ask(house.get("/v1/nope")).await;
    assert_eq!(ear.last().line, "GET unmatched 404 None");
    house.chat(&CHAT.replace(r#""m""#, r#""nope""#)).await;
    assert_eq!(ear.last().line, r#"POST /v1/chat/completions 404 Some(("-", "-", "nope"))"#);
    assert_eq!((ear.last().ending, ear.last().error), (Some(Ending::Rejected), Some("model_not_found")));
    assert_eq!(ear.all().len(), 4);
}

#[tokio::test]
async fn a_client_that_leaves_is_told_of_as_gone_with_what_it_got() {
    let ear = Ear::default();
    let house = house(&ear, None).await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 => vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()), Step::AwaitClose],
        _ => vec![Step::AwaitClose],
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    let got = piece(&mut body).await.unwrap();
    assert!(ear.all().is_empty(), "it is not over yet");
    drop(body);
    engine.closed(1).await;
    let told = ear.last();
    assert_eq!((told.ending, told.bytes.1), (Some(Ending::Cancelled), got.len() as u64));
    assert!((house.metric(&["penstock_cancel_seconds_count"]).await - 1.0).abs() < 0.5);
    let leaving = house.begin(house.request("/v1/chat/completions", CHAT));
    tokio::select! {
        _ = leaving => panic!("it never ends"),
        () = until(|| engine.seen().len() == 2) => {}
    }
    engine.closed(2).await;
    until(|| ear.all().len() == 3).await; // the second is the scrape
    assert_eq!(ear.last().line, r#"POST /v1/chat/completions 499 Some(("m", "m-0", "m"))"#);
    assert!((house.metric(&["penstock_cancel_seconds_count"]).await - 2.0).abs() < 0.5, "also who leaves before there is a head");
}

#[tokio::test]
async fn only_who_has_a_token_decides_what_is_logged_of_its_request() {
    let ear = Ear::default();
    let house = house(&ear, None).await;
    let mut known = house.request("/v1/chat/completions", "{}");
    known.headers_mut().insert("x-log-level", "off".parse().unwrap());
    house.ask(known).await;
    assert_eq!(ear.last().wish, Wish::Off);
    let mut unknown = house.request("/v1/chat/completions?log=off", "{}");
    unknown.headers_mut().insert("authorization", "Bearer nope".parse().unwrap());
    house.ask(unknown).await;
    assert_eq!((ear.last().wish, ear.last().token), (Wish::Usual, false));
}

#[tokio::test]
async fn where_nothing_is_usually_told_a_wish_is_heard() {
    let ear = Ear::default();
    let watch = Watch { always: false, ..ear.watch(None) };
    let house = House::watched(Config::default(), watch).await;
    house.chat("{}").await;
    assert!(ear.all().is_empty());
    let mut loud = house.request("/infer", "{}");
    loud.headers_mut().insert("x-log-infer", "1".parse().unwrap());
    house.ask(loud).await;
    assert_eq!((ear.last().wish, ear.last().line.as_str()), (Wish::Info, "POST /infer 400 None"));
}

#[tokio::test]
async fn an_engine_is_told_of_the_trace_it_works_for() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = async |sampling, parent: Option<&str>| {
        let ear = Ear::default();
        let house = house(&ear, sampling).await;
        let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        let mut request = house.request("/v1/chat/completions", CHAT);
        if let Some(parent) = parent {
            request.headers_mut().insert("traceparent", parent.parse().unwrap());
        }
        request.headers_mut().insert("baggage", "user=1".parse().unwrap());
        assert_eq!(house.ask(request).await.status, 200);
        let seen = engine.seen().remove(0);
        assert_eq!(seen.header("baggage"), Some("user=1"));
        (seen.header("traceparent").map(str::to_owned), ear.last().trace)
    };
    let all = Some(Sampling { ratio: 1.0 });
    let (sent, trace) = ask(all, Some(PARENT)).await;
    let trace = trace.unwrap();
    assert_eq!(sent.unwrap(), format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", trace.engine.unwrap()));
    let (sent, trace) = ask(all, None).await;
    assert!(sent.unwrap().contains(&trace.unwrap().id.to_string()), "a call without a trace gets one");
    let (sent, trace) = ask(None, Some(PARENT)).await;
    assert_eq!(sent.as_deref(), Some(PARENT), "where nobody traces it goes through");
    assert_eq!(trace.unwrap().id.to_string(), "0af7651916cd43dd8448eb211c80319c", "and the log can be joined with it");
    assert_eq!(ask(None, None).await, (None, None));
}

#[tokio::test]
async fn routes_of_others_get_an_id_and_are_counted_and_told_of() {
    let ear = Ear::default();
    let house = house(&ear, None).await;
    let shown = |headers: http::HeaderMap| async move { headers["x-request-id"].to_str().unwrap().to_owned() };
    let others = Router::new().route("/api/v1/things/{id}", get(shown));
    let caller = house.access.verify(Some(&house.token)).unwrap();
    let others = others.layer(axum::middleware::map_response(move |mut response: axum::response::Response| {
        response.extensions_mut().insert(Arc::clone(&caller));
        std::future::ready(response)
    }));
    let house = House { router: house.gateway.router_with(others), ..house };
    let answer = house.ask(house.get("/api/v1/things/7")).await;
    assert!(answer.body.starts_with("req_"), "{}", answer.body);
    assert_eq!(answer.header("x-request-id"), answer.body, "both know it under one id");
    assert_eq!((ear.last().line.as_str(), ear.last().token), ("GET /api/v1/things/{id} 200 None", true));
    let count = house.metric(&["penstock_http_requests_total", "/api/v1/things/{id}", "200"]).await;
    assert!((count - 1.0).abs() < 0.5);
    assert_eq!(house.ask(house.get("/v1/nope")).await.status, 404, "the answer to unknown paths stays ours");
}

#[tokio::test]
async fn what_is_refused_counts_for_its_model_and_what_nobody_serves_for_none() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    house.token = house.token_for(None, Limits { requests_per_minute: Some(1), ..Limits::default() }).await;
    house.chat(CHAT).await;
    house.chat(CHAT).await;
    for name in ["x1", "x2", "x3"] {
        house.chat(&CHAT.replace(r#""m""#, &format!("\"{name}\""))).await;
    }
    let counted = async |model: &str, error: &str| {
        let (model, error) = (format!("request_model=\"{model}\""), format!("error_type=\"{error}\""));
        house.metric(&["request_duration_seconds_count", &model, &error]).await
    };
    assert!((counted("m", "").await - 1.0).abs() < 0.5);
    assert!((counted("m", "rate_limit_exceeded").await - 1.0).abs() < 0.5);
    assert!((counted("other", "model_not_found").await - 3.0).abs() < 0.5);
    let text = house.ask(house.get("/metrics")).await.body;
    assert!(!text.contains("x1"), "a client's word is no label: {text}");
    for stage in ["identify", "read", "admit", "choose", "send", "relay", "total"] {
        let line = format!("penstock_overhead_seconds_count{{stage=\"{stage}\"}} 1");
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(text.contains("penstock_reservations_open 0") && text.contains("penstock_in_flight 0"), "{text}");
}
