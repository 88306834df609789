//! Section 1, a stream that breaks, and whatever else an engine does wrong.

use std::fmt::Write as _;

use serde_json::Value;
use testkit::upstream::{Gate, Script, Step, Upstream, nobody};

use super::streams::json_of;
use super::{CHAT, DONE, Door, HI, ROLE, STOP, chat, shown, soon, soon_is, wire};
use crate::client::Stream;

const STREAM: &str = r#","stream":true"#;

/// What came before the last event, and the last event, which is an error.
async fn broken(door: &Door, model: &str) -> (String, Value) {
    broken_after(door.open_stream(CHAT, &chat(model, STREAM)).await, "", || ()).await
}

/// The same of a stream that goes on once these words of it have come: what a reset finds unread is lost.
async fn broken_after(mut stream: Stream, words: &str, goes_on: impl FnOnce()) -> (String, Value) {
    assert_eq!(stream.status, 200, "it had begun");
    let mut text = String::new();
    while !text.contains(words) {
        text.push_str(&soon(stream.piece()).await.expect("it goes on"));
    }
    goes_on();
    text.push_str(&soon(stream.text()).await);
    assert!(text.ends_with("\n\n"), "the last event is whole: {text}");
    let at = text.trim_end().rfind("data: ").expect("an event");
    let error = json_of(text[at..].trim_start_matches("data: ").trim_end());
    assert!(error["error"]["message"].is_string(), "{error}");
    (text[..at].to_owned(), error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_ends_with_an_error_and_neither_a_done_nor_a_finish_reason() {
    let door = Door::of(&[("fin", ""), ("reset", ""), ("end", ""), ("short", "")]).await;
    let said = Script::events([ROLE, HI]);
    door.upstream.plays("fin", said.clone().then(Step::Fin));
    let gate = Gate::new();
    door.upstream.plays("reset", said.clone().then(Step::Wait(gate.clone())).then(Step::Reset));
    door.upstream.plays("end", said.clone());
    door.upstream.plays("short", said.promising(100_000).then(Step::Fin));
    for model in ["fin", "reset", "end", "short"] {
        let stream = door.open_stream(CHAT, &chat(model, STREAM)).await;
        let (before, error) = broken_after(stream, HI, || gate.open()).await;
        assert_eq!(before, wire(&[ROLE, HI]), "{model}");
        assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&"upstream_error".into(), &"upstream_error".into()), "{model}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_event_before_a_cut_is_not_let_through() {
    let door = Door::open().await;
    door.upstream.plays("m", Script::events([ROLE]).body(format!("data: {}", &HI[..50])).then(Step::Fin));
    let (before, _error) = broken(&door, "m").await;
    assert_eq!(before, wire(&[ROLE]));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_right_after_the_finish_reason_is_a_clean_one() {
    let door = Door::open().await;
    for script in [Script::events([ROLE, HI, STOP]).then(Step::Fin), Script::events([ROLE, HI, STOP])] {
        door.upstream.next("m", [script]);
        assert_eq!(soon(door.streamed("m")).await, wire(&[ROLE, HI, STOP, DONE]));
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_choices_without_its_finish_reason_is_a_cut() {
    let door = Door::open().await;
    let second = HI.replace("\"index\":0", "\"index\":1");
    door.upstream.plays("m", Script::events([ROLE, HI, &second, STOP]).then(Step::Fin));
    let (before, _error) = broken(&door, "m").await;
    assert!(before.ends_with(&wire(&[STOP])), "{before}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_event_of_the_engine_is_passed_on_and_is_the_last() {
    let door = Door::of(&[("shaped", ""), ("other", ""), ("named", "")]).await;
    let own = r#"{"error":{"message":"out of memory","type":"server_error","param":null,"code":"oom","vendor":1}}"#;
    door.upstream.plays("shaped", Script::events([ROLE, own, DONE]));
    door.upstream.plays("other", Script::events([ROLE, r#"{"error":{"message":"slot lost","code":500}}"#, HI, DONE]));
    door.upstream.plays("named", Script::events([ROLE]).body("event: error\ndata: {\"message\":\"overloaded\"}\n\n"));
    let (before, error) = broken(&door, "shaped").await;
    assert_eq!((before, error), (wire(&[ROLE]), json_of(own)), "as it is");
    let (before, error) = broken(&door, "other").await;
    assert_eq!((before, error["error"]["message"].as_str()), (wire(&[ROLE]), Some("slot lost")));
    let (_before, error) = broken(&door, "named").await;
    assert_eq!(error["error"]["message"], "overloaded");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_before_its_first_event_gets_a_real_status() {
    let models = ["event", "cut", "reset", "hung", "nothing", "busy"];
    // A model whose engine is not known to be ready yet would have its head out before the failure.
    let door = Door::with("cold_comment: 15s\n", &models.map(|model| (model, ""))).await;
    door.upstream.plays("event", Script::events([r#"{"error":{"message":"bad grammar","type":"x","param":"grammar","code":null}}"#]));
    door.upstream.plays("cut", Script::stream().then(Step::Fin));
    door.upstream.plays("reset", Script::stream().then(Step::Reset));
    door.upstream.plays("hung", Script::silent().then(Step::Fin));
    door.upstream.plays("nothing", Script::stream());
    door.upstream.plays("busy", Script::json(503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#));
    let mut seen = String::new();
    for model in models {
        let reply = soon(door.post(CHAT, &chat(model, STREAM))).await;
        let _ = writeln!(seen, "## {model}\n{}", shown(&reply));
    }
    insta::assert_snapshot!(seen);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_passed_on_and_never_waited_on() {
    let door = Door::open().await;
    for garbage in ["{not json", "[1,2]", "plain words", r#"{"choices":"none"}"#, r#"{"choices":[{"index":0}]}"#] {
        door.upstream.next("m", [Script::events([ROLE, garbage, HI, STOP, DONE])]);
        let text = soon(door.streamed("m")).await;
        assert_eq!(text, wire(&[ROLE, garbage, HI, STOP, DONE]));
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stream_at_all_is_an_error_and_not_an_empty_answer() {
    let door = Door::of(&[("html", ""), ("json", ""), ("wrong", ""), ("whole", "")]).await;
    door.upstream.plays("html", Script::whole(200, "text/html", "<html><body>Bad Gateway</body></html>"));
    door.upstream.plays("wrong", Script::says("nothing that anybody could read\n\n"));
    door.upstream.plays("json", Script::json(200, r#"{"status":"ok"}"#));
    for (model, words) in
        [("html", "asked for a stream and sent something else"), ("json", "sent something else"), ("wrong", "ended before")]
    {
        let reply = soon(door.post(CHAT, &chat(model, STREAM))).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (502, Some("upstream_error")), "{model}: {}", reply.text);
        assert!(reply.text.contains(words), "{model}: {}", reply.text);
    }
    door.upstream.plays("whole", Script::json(200, super::whole("whole").to_string()));
    let told = soon(door.post(CHAT, &chat("whole", STREAM))).await;
    assert_eq!((told.status, told.header("content-type")), (200, "text/event-stream"), "a whole reply is told as a stream");
    assert!(told.text.contains(r#""content":"Hi""#) && told.text.ends_with("\n\ndata: [DONE]\n\n"), "{}", told.text);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_whole_is_an_error_with_a_real_status() {
    let models = ["short", "chunks", "reset", "garbage", "html", "empty"];
    let door = Door::of(&models.map(|model| (model, ""))).await;
    let body = super::whole("m").to_string();
    door.upstream.plays("short", Script::json(200, body.clone()).promising(body.len() + 50).then(Step::Fin));
    door.upstream.plays("chunks", Script::stream().body(body[..60].to_owned()).then(Step::Fin));
    door.upstream.plays("reset", Script::json(200, body[..60].to_owned()).promising(body.len()).then(Step::Reset));
    door.upstream.plays("garbage", Script::json(200, body[..60].to_owned()));
    door.upstream.plays("html", Script::whole(200, "text/html", "<html>"));
    door.upstream.plays("empty", Script::json(200, ""));
    for model in models {
        let reply = soon(door.post(CHAT, &chat(model, ""))).await;
        assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (502, Some("upstream_error")), "{model}: {}", reply.text);
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_reached_or_hangs_up_is_an_upstream_error() {
    let (gone, nobody) = (Upstream::open().await.expect("an engine"), nobody().await.expect("a port"));
    let (once, never) =
        (format!("url: {}\nretries: {{ attempts: 1 }}", gone.url()), format!("url: {nobody}\ntimeouts: {{ start: 500ms }}"));
    let door = Door::of(&[("nobody", &never), ("gone", &once), ("hangs-up", ""), ("nonsense", "")]).await;
    door.upstream.plays("hangs-up", Script::silent().then(Step::Reset));
    door.upstream.plays("nonsense", Script::silent().then(Step::Raw("SSH-2.0-OpenSSH\r\n\r\n".into())).then(Step::Fin));
    assert_eq!(soon(door.post(CHAT, &chat("gone", ""))).await.status, 200);
    let address = gone.url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    drop(gone);
    soon_is("nobody listens there", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    for model in ["gone", "hangs-up", "nonsense"] {
        let reply = soon(door.post(CHAT, &chat(model, ""))).await;
        assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (502, Some("upstream_error")), "{model}: {}", reply.text);
    }
    let reply = soon(door.post(CHAT, &chat("nobody", ""))).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (503, Some("model_loading")), "nobody ever came up: {}", reply.text);
    door.close().await;
}
