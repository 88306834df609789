//! Spans reach a collector, and when it is away nobody waits and what is lost is counted.

use std::sync::Mutex as StdMutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

type Got = Arc<StdMutex<Vec<(String, ExportTraceServiceRequest)>>>;

/// A collector that answers the first so many posts with 503, and then takes what comes.
async fn collector(failures: usize) -> (String, Got, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1/traces", listener.local_addr().expect("an address"));
    let (got, left) = (Got::default(), Arc::new(AtomicU64::new(failures as u64)));
    let taken = Arc::clone(&got);
    let task = tasks::spawn("collector", async move {
        let mut inside = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (taken, left) = (Arc::clone(&taken), Arc::clone(&left));
            let service = service_fn(move |request: Request<Incoming>| take(request, Arc::clone(&taken), Arc::clone(&left)));
            let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            inside.push(tasks::spawn("collector-connection", async move { drop(serve.await) }));
        }
    });
    (url, got, task)
}

async fn take(request: Request<Incoming>, got: Got, left: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let kind = request.headers()["content-type"].to_str().unwrap_or_default().to_owned();
    let key = request.headers().get("x-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let fails = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
    if !fails {
        let decoded = ExportTraceServiceRequest::decode(body).expect("a request of the protocol");
        got.lock().expect("the list").push((format!("{path} {kind} {key}"), decoded));
    }
    let status = if fails { 503 } else { 200 };
    Ok(Response::builder().status(status).body(Full::default()).expect("an answer"))
}

fn kept(id: &str) -> Kept {
    Kept {
        at: base::Timestamp::from_millis(1_700_000_000_000),
        duration: Duration::from_millis(5),
        trace: gateway::TraceId([7; 16]),
        parent: None,
        span: gateway::SpanId([1; 8]),
        engine: gateway::SpanId([2; 8]),
        id: id.into(),
        method: "GET",
        route: "/healthz".into(),
        status: 200,
        client: None,
        agent: "".into(),
        token: None,
        project: None,
        bytes: (0, 2),
        laps: Vec::new(),
        call: None,
    }
}

impl Line {
    fn put(&self, kept: Kept) {
        self.kept.lock().expect("the line").push(kept);
        self.begun.notify_one();
    }
}

fn to(url: &str) -> Collector {
    Collector { url: url.to_owned(), headers: Some(Secret::new("x-key=abc")), service: "here".to_owned() }
}

#[tokio::test]
async fn spans_are_sent_again_to_a_collector_that_is_away_for_a_moment() {
    let (url, got, _collector) = collector(1).await;
    let traces = Traces::start(to(&url));
    let line = traces.line();
    line.put(kept("a"));
    line.put(kept("b"));
    traces.end().await;
    assert_eq!(line.counts(), (2, 0));
    let got = got.lock().expect("the list");
    let (how, request) = &got[0];
    assert_eq!(how, "/v1/traces application/x-protobuf abc");
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].trace_id, [7; 16]);
    assert_eq!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano, 5_000_000);
}

#[tokio::test]
async fn what_no_collector_takes_is_dropped_and_counted() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1/traces", gone.local_addr().expect("an address"));
    drop(gone);
    let traces = Traces::start(to(&url));
    let line = traces.line();
    line.put(kept("a"));
    traces.end().await;
    assert_eq!(line.counts(), (0, 1));
}

#[test]
fn headers_are_pairs_with_commas_between() {
    assert_eq!(pairs("a=1, b = x=y ,c").collect::<Vec<_>>(), [("a", "1"), ("b", "x=y")]);
}
