//! Ready or not, and how serving ends.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use tokio::sync::Semaphore;

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece};
use super::soon;

async fn readyz(house: &House) -> (u16, String) {
    let answer = house.ask(Request::get("/readyz").body(Body::empty()).unwrap()).await;
    (answer.status.as_u16(), answer.body)
}

#[tokio::test]
async fn ready_means_that_a_call_would_be_served() {
    let house = House::new().await;
    let healthz = house.ask(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!((healthz.status.as_u16(), healthz.body.as_str()), (200, "ok"));
    assert_eq!(readyz(&house).await, (503, "loading".to_owned()), "with no deployment at all");
    house.publish([limited(entry("m", ALL, &[]), |spec| spec.timeouts.start = MS)]);
    assert_eq!(readyz(&house).await.0, 503, "nobody has asked yet");
    house.chat(CHAT).await;
    assert_eq!(readyz(&house).await, (200, "ready".to_owned()), "it was asked for and can come up");
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    assert_eq!(readyz(&house).await.0, 200);
    house.gateway.set_not_ready();
    assert_eq!(readyz(&house).await.0, 503);
}

#[tokio::test]
async fn stopping_lets_streams_finish_within_the_grace_and_refuses_new_calls() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let mut steps = fake::answer();
        steps.insert(2, Step::Wait(Arc::clone(&wait)));
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut body).await.unwrap();
    house.gateway.close();
    let refused = house.chat(CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "shutting_down"));
    let (gateway, read) = (house.gateway.clone(), async {
        gate.add_permits(1);
        let mut rest = Vec::new();
        while let Some(bytes) = piece(&mut body).await {
            rest.extend_from_slice(&bytes);
        }
        drop(body);
        String::from_utf8(rest).unwrap()
    });
    let ((), rest) = soon(async { tokio::join!(gateway.drain(Duration::from_mins(1)), read) }).await;
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(house.rows("m").await.1, 1);
}

#[tokio::test]
async fn what_outlives_the_grace_ends_with_an_error() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, seen| {
        let begun = vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::ROLE).into_bytes()), Step::AwaitClose];
        if seen.body.contains("mute") { vec![Step::AwaitClose] } else { begun }
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 3)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut body).await.unwrap();
    let mute = CHAT.replace("hi", "mute");
    let stop = async {
        super::until(|| engine.seen().len() == 3).await;
        house.gateway.close();
        house.gateway.drain(MS).await;
    };
    let read = async {
        let mut rest = Vec::new();
        while let Some(bytes) = piece(&mut body).await {
            rest.extend_from_slice(&bytes);
        }
        drop(body);
        String::from_utf8(rest).unwrap()
    };
    let (folded, silent, rest, ()) = tokio::join!(house.chat(CHAT), house.chat(&mute), read, stop);
    for answer in [folded, silent] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "shutting_down"));
    }
    assert!(rest.contains("shutting_down") && !rest.contains("[DONE]"), "{rest}");
    engine.closed(3).await;
    assert_eq!(house.rows("m").await.0, 3);
}
