//! Section 1, time limits: connect, first token, idle between tokens, total; each its own setting.

use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use serde_json::Value;
use testkit::upstream::{Script, Step};

use super::streams::json_of;
use super::{CHAT, Door, HI, ROLE, chat, data, soon};

const STREAM: &str = r#","stream":true"#;

fn timed_out(status: u16, body: &Value) {
    let error = &body["error"];
    assert_eq!((status, error["type"].as_str(), error["code"].as_str()), (504, Some("upstream_error"), Some("upstream_timeout")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_take_the_connection_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listen(&listener, Backlog::new(0).expect("a backlog")).expect("to listen");
    let address = listener.local_addr().expect("an address");
    let door = Door::of(&[("m", &format!("url: http://{address}/v1\ntimeouts: {{ connect: 100ms, start: 1s }}"))]).await;
    // Whoever comes when the backlog is full is kept waiting by the kernel.
    let full: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))).collect();
    let reply = soon(door.post(CHAT, &chat("m", ""))).await;
    assert!([503, 504].contains(&reply.status), "it was found out by the fleet or by the call: {}", reply.text);
    drop((full, listener));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_say_its_first_token_in_time() {
    let door = Door::of(&[("m", "timeouts: { first_token: 100ms }")]).await;
    for script in
        [Script::silent().then(Step::Silence), Script::stream().then(Step::Silence), Script::says(": wait\n\n").then(Step::Silence)]
    {
        door.upstream.plays("m", script);
        let reply = soon(door.post(CHAT, &chat("m", STREAM))).await;
        timed_out(reply.status, &reply.json());
        assert!(reply.text.contains("first_token"), "it says which setting: {}", reply.text);
    }
    soon(door.upstream.saw(|asks| asks.iter().all(|ask| ask.left.is_some()))).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_ends_with_an_error() {
    let door = Door::of(&[("m", "timeouts: { idle: 500ms }")]).await;
    door.upstream.plays("m", Script::events([ROLE, HI]).then(Step::Silence));
    let text = soon(door.streamed("m")).await;
    let events = data(&text);
    assert_eq!(&events[..2], [ROLE, HI]);
    timed_out(504, &json_of(events[2].trim_end()));
    assert!(events.len() == 3 && events[2].contains("idle"), "{text}");
    soon(door.upstream.saw(|asks| asks[0].left.is_some())).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_is_not_silence_but_it_does_not_outlive_the_total() {
    let door = Door::of(&[("m", "timeouts: { idle: 1s, total: 2s }")]).await;
    door.upstream.plays("m", Script::events([ROLE]).then(Step::Forever(format!("data: {HI}\n\n").into(), Duration::from_millis(30))));
    let text = soon(door.streamed("m")).await;
    let events = data(&text);
    assert!(events.len() > 5, "it went on beyond the idle limit: {text}");
    let last = json_of(events.last().expect("an event").trim_end());
    timed_out(504, &last);
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("total")), "{last}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_has_until_the_total() {
    let door = Door::of(&[("m", "timeouts: { first_token: 50ms, total: 1500ms }")]).await;
    let answer = super::whole("m").to_string();
    door.upstream.next(
        "m",
        [Script::json(200, answer.clone()).first(Step::Pause(Duration::from_millis(150))), Script::silent().then(Step::Silence)],
    );
    let reply = soon(door.post(CHAT, &chat("m", ""))).await;
    assert_eq!((reply.status, reply.text), (200, answer), "who does not stream says its first byte when it has finished");
    let reply = soon(door.post(CHAT, &chat("m", ""))).await;
    timed_out(reply.status, &reply.json());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_engine_does_not_outlive_its_idle_limit_in_a_whole_answer_either() {
    let door = Door::of(&[("m", "timeouts: { idle: 100ms }")]).await;
    door.upstream.plays("m", Script::json(200, "{\"id\":").promising(100).then(Step::Silence));
    let reply = soon(door.post(CHAT, &chat("m", ""))).await;
    timed_out(reply.status, &reply.json());
    door.close().await;
}
