//! HTTP/2 without TLS, by prior knowledge, on both sides of the house.

use std::collections::BTreeSet;
use std::convert::Infallible;

use base::tasks::{self, Task};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::upstream::{Gate, Script, Step};
use tokio::net::TcpListener;

use super::{CHAT, DONE, Door, HI, ROLE, STOP, chat, soon, wire};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_http_2_from_the_first_byte_gets_its_streams_as_they_are_made() {
    const STREAMS: usize = 5;
    let door = Door::open().await;
    let gate = Gate::new();
    let held = gate.clone();
    door.upstream.plays_with("m", move |_| Script::stream().event(ROLE).event(HI).then(Step::Wait(held.clone())).event(STOP).event(DONE));
    let line = door.client.h2c().await;
    let asked = chat("m", r#","stream":true"#);
    let mut streams = soon(join_all((0..STREAMS).map(|_| line.stream(CHAT, asked.clone())))).await;
    for stream in &mut streams {
        assert_eq!((stream.status, soon(stream.next()).await.as_deref()), (200, Some(ROLE)));
        assert_eq!(soon(stream.next()).await.as_deref(), Some(HI), "while its engine still waits");
    }
    streams.truncate(STREAMS - 1);
    soon(door.upstream.saw(|asks| asks.iter().filter(|ask| ask.left.is_some()).count() == 1)).await;
    (1..STREAMS).for_each(|_| gate.open());
    for stream in streams {
        assert_eq!(soon(stream.text()).await, wire(&[STOP, DONE]), "one that leaves ends no other");
    }
    door.upstream.plays("m", Script::json(200, super::whole("m").to_string()));
    let whole = soon(line.post(CHAT, chat("m", ""))).await;
    assert_eq!((whole.status, whole.said().as_str()), (200, "Hi"));
    assert_eq!(soon(line.post(CHAT, chat("nobody", ""))).await.status, 404);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_speaks_h2c_is_asked_over_a_few_connections_that_calls_share() {
    const CALLS: usize = 250;
    let door = Door::of(&[("m", "http_version: 2")]).await;
    assert_eq!(door.post(CHAT, &chat("m", "")).await.status, 200, "it is ready");
    door.upstream.forget();
    let gate = Gate::new();
    let held = gate.clone();
    door.upstream.plays_with("m", move |_| Script::stream().then(Step::Wait(held.clone())).event(ROLE).event(HI).event(STOP).event(DONE));
    let line = door.client.h2c().await;
    let other = door.client.h2c().await;
    let asked = chat("m", r#","stream":true"#);
    let calls = join_all((0..CALLS).map(|at| if at % 2 == 0 { line.post(CHAT, asked.clone()) } else { other.post(CHAT, asked.clone()) }));
    let opens = async {
        door.upstream.saw(|asks| asks.len() == CALLS).await;
        (0..CALLS).for_each(|_| gate.open());
    };
    let (answers, ()) = soon(async { tokio::join!(calls, opens) }).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == wire(&[ROLE, HI, STOP, DONE])));
    assert!(door.upstream.asks().iter().all(|ask| ask.http == 2));
    let used: BTreeSet<usize> = door.upstream.asks().iter().map(|ask| ask.connection).collect();
    assert!((3..=4).contains(&used.len()), "{CALLS} calls over the connections {used:?}");
    door.close().await;
}

/// An engine that knows nothing but HTTP/2; it ends when dropped.
async fn only_http2() -> (String, Task) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let door = tasks::spawn("engine", async move {
        let mut guests = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(super::whole("m").to_string()))))
            });
            let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer);
            guests.push(tasks::spawn("engine-connection", async move { drop(connection.await) }));
        }
    });
    (url, door)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_knows_nothing_but_h2c_is_found_ready_and_asked() {
    let (url, _engine) = only_http2().await;
    let door = Door::of(&[("m", &format!("url: {url}\nhttp_version: 2"))]).await;
    assert_eq!(soon(door.post(CHAT, &chat("m", ""))).await.said(), "Hi");
    door.close().await;
}
