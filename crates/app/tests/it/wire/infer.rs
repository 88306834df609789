//! Section 4: `POST /infer`, line by line.

use std::fmt::Write as _;

use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Gate, Script, Step, nobody};

use super::{Asked, DONE, Door, soon, soon_is};
use crate::client::Reply;

fn piece(text: &str, finish: &str) -> String {
    format!(
        r#"{{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{{"text":"{text}","index":0,"logprobs":null,"finish_reason":{finish}}}]}}"#
    )
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

async fn infer(door: &Door, body: &str) -> Reply {
    soon(door.post("/infer", body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_one_a_line_and_the_last_line_says_it_all() {
    let door = Door::open().await;
    let reply = infer(&door, r#"{"model":"m","prompt":"once"}"#).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let mut all = lines(&reply.text);
    let mut last = all.pop().expect("a last line");
    assert!(last["stats"]["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{last}");
    last["stats"]["duration_ms"] = json!(0);
    let tokens = ["Hello", " there", "."].map(|token| json!({"token": token, "done": false}));
    assert_eq!(all, tokens);
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
    assert_eq!(
        last,
        json!({"done": true, "content": "Hello there.", "finish_reason": "stop", "usage": usage, "stats": {"duration_ms": 0}})
    );
    let only = infer(&door, r#"{"model":"m","prompt":"once","stream":false}"#).await;
    assert_eq!((only.status, only.header("content-type"), lines(&only.text).len()), (200, "application/x-ndjson", 1));
    assert_eq!(lines(&only.text)[0]["content"], "Hello there.");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_is_flushed_when_it_is_made() {
    let door = Door::open().await;
    let gate = Gate::new();
    let events = [piece("a", "null"), piece("b", "null"), piece("", "\"length\""), DONE.to_owned()];
    door.upstream.plays("m", Script::events(events.iter().map(String::as_str)).between(&Step::Wait(gate.clone())));
    gate.open();
    let mut stream = soon(door.client.stream_with("/infer", &[], r#"{"model":"m","prompt":"once"}"#)).await;
    for token in ["a", "b"] {
        assert_eq!(soon(stream.piece()).await.as_deref(), Some(&*format!("{{\"token\":\"{token}\",\"done\":false}}\n")));
        gate.open();
    }
    gate.open();
    gate.open();
    let rest = soon(stream.text()).await;
    assert_eq!(lines(&rest)[0]["finish_reason"], "length", "{rest}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_reaches_the_engine_and_zero_is_a_value() {
    let door = Door::open().await;
    let options = r#""max_tokens":5,"temperature":0,"top_p":0.5,"top_k":0,"stop":["a","b"],"seed":0,"repeat_penalty":1.1"#;
    infer(&door, &format!(r#"{{"model":"m","prompt":"once",{options}}}"#)).await;
    infer(&door, r#"{"model":"m","prompt":"once"}"#).await;
    let asks = door.upstream.asks();
    let got = asks[0].json();
    let expected = json!({
        "model": "m", "prompt": "once", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 5, "temperature": 0.0,
        "top_p": 0.5, "top_k": 0, "stop": ["a", "b"], "seed": 0, "repeat_penalty": 1.1,
    });
    assert_eq!(got, expected);
    let bare = asks[1].json();
    assert_eq!(bare.as_object().map(serde_json::Map::len), Some(4), "what was not said is the engine's to decide: {bare}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_model_answers_where_none_is_named() {
    let door = Door::with("default_model: m\n", &[("m", "")]).await;
    assert_eq!(infer(&door, r#"{"prompt":"once"}"#).await.status, 200);
    assert_eq!(infer(&door, r#"{"prompt":"once","model":null}"#).await.status, 200);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_one_object_with_its_code() {
    let door = Door::with("max_body_bytes: 1KiB\ninfer_timeout: 2s\n", &[("m", ""), ("slow", ""), ("broken", ""), ("fussy", "")]).await;
    door.upstream.plays("slow", Script::silent().then(Step::Silence));
    door.upstream.plays("broken", Script::silent().then(Step::Reset));
    door.upstream.plays("fussy", Script::json(400, r#"{"error":{"message":"grammar is wrong","type":"invalid_request_error"}}"#));
    let text = [("content-type", "text/plain")];
    let large = format!(r#"{{"model":"m","prompt":"{}"}}"#, "x".repeat(2000));
    let asks: [(u16, Asked<'_>); 11] = [
        (415, ("a wrong media type", &text, "{}")),
        (400, ("bad JSON", &[], r#"{"prompt":"#)),
        (400, ("a wrong type", &[], r#"{"model":"m","prompt":7}"#)),
        (400, ("no prompt", &[], r#"{"model":"m"}"#)),
        (400, ("a blank prompt", &[], r#"{"model":"m","prompt":" \n\t"}"#)),
        (413, ("too large", &[], &large)),
        (404, ("no such model", &[], r#"{"model":"x","prompt":"once"}"#)),
        (404, ("no model named and no default", &[], r#"{"prompt":"once"}"#)),
        (504, ("too slow", &[], r#"{"model":"slow","prompt":"once"}"#)),
        (502, ("an engine that breaks", &[], r#"{"model":"broken","prompt":"once"}"#)),
        (400, ("an engine that refuses", &[], r#"{"model":"fussy","prompt":"once"}"#)),
    ];
    let mut seen = String::new();
    for (status, (what, headers, body)) in asks {
        let reply = soon(door.client.ask_with(Method::POST, "/infer", headers, body.to_owned())).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text);
        let object = reply.json();
        assert_eq!(object.as_object().map(serde_json::Map::len), Some(2), "{what}: {object}");
        assert!(object["error"].is_string() && object["code"] == status, "{what}: {object}");
        let _ = writeln!(seen, "{what}: {}", reply.text.trim_end());
    }
    let get = door.client.get("/infer").await;
    assert_eq!((get.status, get.header("allow"), &get.json()["code"]), (405, "POST", &json!(405)));
    insta::assert_snapshot!(seen);
    door.close().await;
}

const ASK: &str = r#"{"model":"m","prompt":"once"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_full_and_a_wait_that_is_over_are_both_429() {
    let door = Door::of(&[("m", "parallel: 1\nmax_queue: 1\ntimeouts: { wait: 2s }")]).await;
    door.upstream.plays("m", Script::silent().then(Step::Silence));
    let ask = |client: crate::client::Client| async move { client.ask_with(Method::POST, "/infer", &[], ASK).await };
    let running = base::tasks::spawn("runs", {
        let client = door.client.clone();
        async move { drop(ask(client).await) }
    });
    soon(door.upstream.saw(|asks| asks.len() == 1)).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let client = door.client.clone();
    let waiting = base::tasks::spawn("waits", async move { drop(tell.send(ask(client).await)) });
    soon_is("one waits", async || door.client.get("/status").await.json()["instances"][0]["queue_len"] == 1).await;
    for reply in [infer(&door, ASK).await, soon(told).await.expect("an answer")] {
        assert_eq!((reply.status, &reply.json()["code"]), (429, &json!(429)), "{}", reply.text);
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
    for reason in ["queue_full", "wait_timeout"] {
        let line = format!("modeld_http_backpressure_total{{reason=\"{reason}\"}} 1");
        soon_is(&line, async || door.client.get("/metrics").await.text.contains(&line)).await;
    }
    drop((running, waiting));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_not_to_be_had_is_503() {
    let url = format!("url: {}\ntimeouts: {{ start: 500ms }}", nobody().await.expect("a port"));
    let door = Door::of(&[("gone", &url)]).await;
    let reply = infer(&door, r#"{"model":"gone","prompt":"once"}"#).await;
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!(503)), "{}", reply.text);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_fit_is_507() {
    let stage = crate::stage::Stage::new();
    let config = format!("vram_budget_mb: 1\ndeployments:\n  - name: tiny\n    model: file:{}\n", crate::stage::tiny());
    let house = stage.house(&config).await;
    let reply = soon(stage.client(&house).post("/infer", &json!({"model": "tiny", "prompt": "once"}))).await;
    assert_eq!((reply.status, &reply.json()["code"]), (507, &json!(507)), "{}", reply.text);
    crate::stage::stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_has_begun_nothing_but_one_last_line_tells_of_an_error() {
    let door = Door::of(&[("m", ""), ("silent", "timeouts: { idle: 500ms }")]).await;
    let start = Script::events([&*piece("a", "null")]);
    door.upstream.plays("m", start.clone().then(Step::Fin));
    door.upstream.plays("silent", start.then(Step::Silence));
    for (model, code) in [("m", 502), ("silent", 504)] {
        let reply = infer(&door, &format!(r#"{{"model":"{model}","prompt":"once"}}"#)).await;
        let all = lines(&reply.text);
        assert_eq!((reply.status, all.len()), (200, 2), "{}", reply.text);
        let last = &all[1];
        assert!(last["error"].is_string() && last["code"] == code && last["done"] == true, "{last}");
        assert_eq!(last.as_object().map(serde_json::Map::len), Some(3), "{last}");
    }
    door.close().await;
}
