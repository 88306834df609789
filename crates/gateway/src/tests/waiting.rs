//! What a client hears while its call waits.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use spec::{Reason, ReasonCode};

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece};
use super::until;

const PING: &[u8] = b": ping\n\n";

async fn waiting() -> House {
    House::with(crate::Config { cold_comment: MS * 20, keep_alive_comment: MS * 40, ..crate::Config::default() }).await
}

#[tokio::test]
async fn a_stream_that_waits_for_a_cold_model_gets_comments_and_then_its_events() {
    let house = waiting().await;
    house.publish([entry("m", ALL, &[])]);
    let response = house.begin(house.request("/v1/chat/completions", STREAM)).await;
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    let mut body = response.into_body();
    for _ in 0..3 {
        assert_eq!(piece(&mut body).await.unwrap(), PING);
    }
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let rest = super::soon(body.collect()).await.unwrap().to_bytes();
    let text = String::from_utf8(rest.to_vec()).unwrap().replace(": ping\n\n", "");
    assert!(text.starts_with(&format!("data: {}", fake::ROLE)) && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(house.rows("m").await, (1, 1, 7, 3));
}

#[tokio::test]
async fn what_goes_wrong_after_the_first_comment_is_told_in_the_stream() {
    let house = waiting().await;
    house.publish([entry("m", ALL, &[])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), PING);
    let mut down = entry("m", ALL, &[]);
    down.state = board::State::Down(Reason::new(ReasonCode::DoesNotFit, "needs 90 GiB of 8 GiB", "use a smaller quantisation"));
    house.publish([down]);
    let rest = super::soon(body.collect()).await.unwrap().to_bytes();
    let text = String::from_utf8(rest.to_vec()).unwrap().replace(": ping\n\n", "");
    assert!(text.starts_with("data: {\"error\":") && text.contains("smaller quantisation") && !text.contains("[DONE]"), "{text}");
    assert_eq!(house.rows("m").await.0, 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_gets_comments_leaves_the_line() {
    let house = waiting().await;
    house.publish([entry("m", ALL, &[])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut body).await.unwrap();
    assert_eq!(house.board.demand()[0].waiting, 1);
    drop(body);
    assert_eq!(house.board.demand()[0].waiting, 0, "before the drop returns");
    assert_eq!(house.rows("m").await, (1, 0, 0, 0));
}

#[tokio::test]
async fn what_is_known_soon_enough_has_a_status_of_its_own() {
    let house = House::with(crate::Config { cold_comment: MS * 2000, ..crate::Config::default() }).await;
    house.publish([limited(entry("m", ALL, &[]), |spec| {
        spec.timeouts.start = MS * 10;
        spec.timeouts.wait = MS * 10;
    })]);
    let answer = house.chat(STREAM).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "model_loading"));
}

#[tokio::test]
async fn who_waits_for_a_model_or_in_line_waits_no_longer_than_the_call_may_take() {
    let house = House::new().await;
    let soon = |of: board::Entry| limited(of, |spec| spec.timeouts.total = MS * 30);
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| vec![fake::sse_head(), Step::AwaitClose]);
    let busy = entry("m", STREAMS, &[(&engine.endpoint, 1)]);
    house.publish([busy.clone()]);
    let holds = house.begin(house.request("/v1/chat/completions", STREAM));
    let waits = async {
        until(|| engine.seen().len() == 1).await;
        for state in [soon(busy), soon(entry("m", ALL, &[]))] {
            house.publish([state]);
            let answer = house.chat(CHAT).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_timeout"), "{}", answer.body);
            assert!(answer.body.contains("timeouts.total"), "{}", answer.body);
            assert!(house.board.demand().iter().all(|demand| demand.waiting == 0));
        }
    };
    tokio::select! {
        _ = holds => panic!("it never begins"),
        () = waits => {}
    }
}

#[tokio::test]
async fn messages_are_pinged_in_their_own_words_and_lines_not_at_all() {
    let house = waiting().await;
    house.publish([entry("m", ALL, &[])]);
    let ask = r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut body = house.begin(house.request("/v1/messages", ask)).await.into_body();
    assert!(piece(&mut body).await.unwrap().starts_with(b"event: ping\n"));
    drop(body);
    let lines = house.begin(house.request("/infer", r#"{"model":"m","prompt":"hi","stream":true}"#));
    let publish = async {
        until(|| house.board.demand()[0].waiting == 1).await;
        tokio::time::sleep(MS * 60).await;
        let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        engine
    };
    let (lines, _engine) = tokio::join!(lines, publish);
    let text: Bytes = super::soon(lines.into_body().collect()).await.unwrap().to_bytes();
    assert!(text.starts_with(b"{\"token\""), "{text:?}");
}
