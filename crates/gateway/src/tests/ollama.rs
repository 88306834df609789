//! Ollama's face.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use access::{Access, Mode};
use axum::Router;
use axum::body::Body;
use board::KeepAlive;
use http::Request;
use hyper::service::Service as _;
use serde_json::{Value, json};
use spec::Dialect;
use store::{Journal, JournalConfig};

use super::fake::{self, Fake, Step};
use super::house::{ALL, Answer, House, MS, STREAMS, entry, limited};
use crate::passage::Peer;
use crate::{Config, Gateway, Parts, StatusDoc, Watch};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

impl House {
    async fn api(&self, call: &str, body: &str) -> Answer {
        self.ask(self.request(&format!("/api/{call}"), body.to_owned())).await
    }
}

/// Times differ from run to run.
fn timeless(body: &str) -> String {
    let line = |line: &str| {
        let Ok(mut line) = serde_json::from_str::<Value>(line) else { panic!("not a line of JSON: {line:?}") };
        for (key, value) in line.as_object_mut().unwrap() {
            if key.ends_with("_duration") {
                *value = 0.into();
            } else if key == "created_at" {
                *value = "now".into();
            }
        }
        line.to_string()
    };
    body.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn chat_and_generate_answer_in_lines_or_in_one_object() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut all = Vec::new();
    for (call, body) in [
        ("chat", CHAT.to_owned()),
        ("chat", CHAT.replace("\"m\",", r#""m:latest","stream":false,"#)),
        ("generate", r#"{"model":"m","prompt":"hi","system":"Be brief.","options":{"num_predict":5}}"#.to_owned()),
        ("generate", r#"{"model":"m","prompt":"hi","stream":false}"#.to_owned()),
    ] {
        let answer = house.api(call, &body).await;
        let kind = if body.contains("false") { "application/json" } else { "application/x-ndjson" };
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
        all.push(timeless(&answer.body));
    }
    insta::assert_snapshot!(all.join("\n\n"));
    let seen: Value = serde_json::from_str(&engine.seen()[2].body).unwrap();
    assert_eq!((seen["model"].as_str(), seen["max_tokens"].as_u64(), &seen["messages"][0]["role"]), (Some("m"), Some(5), &json!("system")));
    assert_eq!(house.rows("m").await, (4, 4, 28, 12));
}

#[tokio::test]
async fn a_raw_prompt_goes_past_the_chat() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| {
        fake::events(&[
            r#"{"choices":[{"index":0,"text":"4","finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"text":"","finish_reason":"length"}]}"#,
            fake::DONE,
        ])
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)]), entry("c", Dialect { completions: false, ..ALL }, &[])]);
    let answer = house.api("generate", r#"{"model":"m","prompt":"2+2=","raw":true,"stream":false}"#).await.json();
    assert_eq!((answer["response"].as_str(), answer["done_reason"].as_str()), (Some("4"), Some("length")));
    assert!(engine.seen()[0].head.starts_with("POST /v1/completions "));
    assert_eq!(house.api("generate", r#"{"model":"c","prompt":"2+2=","raw":true}"#).await.status, 400);
}

#[tokio::test]
async fn a_call_without_words_loads_the_model_or_lets_it_go() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([
        entry("m", STREAMS, &[(&engine.endpoint, 1)]),
        limited(entry("cold", STREAMS, &[]), |wish| wish.timeouts.start = 20 * MS),
    ]);
    let keep = || house.board.demand().into_iter().find(|demand| demand.deployment.as_str() == "m").unwrap().keep_alive;
    let loaded = house.api("generate", r#"{"model":"m","keep_alive":-1}"#).await;
    insta::assert_snapshot!(timeless(&loaded.body));
    assert_eq!(keep(), Some(KeepAlive::Forever));
    let loaded = house.api("chat", r#"{"model":"m:latest","messages":[],"keep_alive":"10m"}"#).await.json();
    assert_eq!(
        (loaded["done_reason"].as_str(), loaded["message"]["role"].as_str(), loaded["model"].as_str()),
        (Some("load"), Some("assistant"), Some("m:latest"))
    );
    assert_eq!(keep(), Some(KeepAlive::For(600_000 * MS)));
    assert_eq!(house.api("generate", r#"{"model":"m","keep_alive":0}"#).await.json()["done_reason"], "unload");
    assert_eq!(keep(), Some(KeepAlive::For(std::time::Duration::ZERO)));
    house.api("chat", &CHAT.replace("\"m\",", r#""m","keep_alive":"1h","#)).await;
    assert_eq!(keep(), Some(KeepAlive::For(3_600_000 * MS)), "it comes with any call");
    assert_eq!(house.api("generate", r#"{"model":"cold"}"#).await.status, 503, "it does not load");
    assert_eq!(house.api("generate", r#"{"model":"m","keep_alive":"soon"}"#).await.status, 400);
    assert_eq!(engine.seen().len(), 1, "no engine is asked for nothing");
}

#[tokio::test]
async fn errors_are_one_text_also_in_the_middle_of_a_stream() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 => vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()), Step::Hang],
        _ => fake::whole("400 Bad Request", r#"{"error":{"message":"no such thing","type":"invalid_request_error","code":400}}"#),
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let broken = house.api("chat", CHAT).await;
    let last: Value = serde_json::from_str(broken.body.lines().last().unwrap()).unwrap();
    assert!(last["error"].is_string() && last["done"].is_null(), "{}", broken.body);
    let refused = house.api("chat", CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.body.as_str()), (400, "{\"error\":\"no such thing\"}\n"));
    for (call, body, status) in [
        ("chat", r#"{"model":"nope","messages":[{"role":"user","content":"a"}]}"#, 404),
        ("generate", r#"{"model":"m","prompt":"a","suffix":"b"}"#, 400),
        ("show", r#"{"model":"nope"}"#, 404),
        ("pull", r#"{"model":"llama3"}"#, 404),
        ("nonsense", "{}", 404),
    ] {
        let answer = house.api(call, body).await;
        assert_eq!(answer.status, status, "{call}: {}", answer.body);
        assert!(answer.json()["error"].as_str().is_some_and(|words| words.len() > 10), "{call}: {}", answer.body);
    }
}

#[tokio::test]
async fn embeddings_come_in_the_words_of_ollama() {
    let house = House::new().await;
    let answer = r#"{"object":"list","data":[{"index":0,"embedding":[1,2.5]},{"index":1,"embedding":[3,4]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::whole("200 OK", answer));
    house.publish([entry("m", ALL, &[(&engine.endpoint, 1)])]);
    let both = house.api("embed", r#"{"model":"m","input":["a","b"]}"#).await;
    assert_eq!(
        timeless(&both.body),
        r#"{"model":"m","embeddings":[[1,2.5],[3,4]],"total_duration":0,"load_duration":0,"prompt_eval_count":4}"#
    );
    assert_eq!(house.api("embeddings", r#"{"model":"m","prompt":"a"}"#).await.body, r#"{"embedding":[1,2.5]}"#);
    assert_eq!(house.api("embed", r#"{"model":"m","input":[]}"#).await.json()["embeddings"], json!([]));
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn models_are_listed_shown_and_named_with_a_tag() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)]), entry("org/n:8b", STREAMS, &[])]);
    let tags = house.ask(house.get("/api/tags")).await;
    insta::assert_snapshot!(tags.body);
    let loaded = house.ask(house.get("/api/ps")).await.json();
    assert_eq!((loaded["models"].as_array().unwrap().len(), loaded["models"][0]["name"].as_str()), (1, Some("m:latest")));
    assert!(loaded["models"][0]["expires_at"].as_str().unwrap().parse::<base::Timestamp>().is_ok());
    for name in ["m", "m:latest", "org/n:8b"] {
        let shown = house.api("show", &json!({ "model": name }).to_string()).await.json();
        assert!(shown["model_info"].is_object() && shown["details"].is_object(), "{shown}");
    }
    let of_go = r#"{"model":"","system":"","template":"","verbose":false,"options":null,"name":"m"}"#;
    assert_eq!(house.api("show", of_go).await.status, 200, "as `ollama run` asks");
    let nameless = house.api("show", r#"{"model":"","name":null}"#).await;
    assert!(nameless.status == 400 && nameless.body.contains("`model` is missing"), "{}", nameless.body);
    assert!(house.ask(house.get("/api/version")).await.json()["version"].is_string());
    let stranger = http::Request::get("/api/tags").body(axum::body::Body::empty()).unwrap();
    assert_eq!(house.ask(stranger).await.status, 401);
}

/// As `curl -d` sends it, and a form of a page.
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_body_is_read_as_json_whatever_it_is_said_to_be() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let prompt = r#"{"model":"m","prompt":"hi"}"#;
    for (call, body) in [("chat", CHAT), ("generate", prompt), ("embed", r#"{"model":"m","input":[]}"#), ("show", r#"{"model":"m"}"#)] {
        let mut request = house.request(&format!("/api/{call}"), body);
        request.headers_mut().insert(FORM.0, FORM.1.parse().unwrap());
        let answer = house.ask(request).await;
        assert_eq!(answer.status, 200, "{call}: {}", answer.body);
    }
}

#[tokio::test]
async fn where_no_token_is_needed_a_form_of_another_site_calls_no_model() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let open = Gateway::new(Parts {
        board: Arc::clone(&house.board),
        access: Access::open(house.store.clone(), Mode::Open).await.unwrap(),
        journal: Journal::open(house.store.clone(), JournalConfig::new(house.dir.path().join("open"))).await.unwrap(),
        store: house.store.clone(),
        counts: Arc::clone(&house.counts),
        config: Config::default(),
        status: Arc::new(StatusDoc::default),
        watch: Watch::default(),
    });
    let visitor = open.entrance(Router::new()).visitor(Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))));
    let ask = async |pairs: &[(&str, &str)]| {
        let request = Request::post("/api/chat").header("host", "127.0.0.1:8080").header(FORM.0, FORM.1);
        let request = pairs.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        super::soon(visitor.call(request.body(Body::from(CHAT)).unwrap())).await.unwrap().status().as_u16()
    };
    for of_page in [
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(ask(of_page).await, 403, "{of_page:?}");
    }
    assert_eq!(engine.seen().len(), 0);
    assert_eq!(ask(&[]).await, 200, "no browser");
}
