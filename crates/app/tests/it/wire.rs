//! What goes over the wire, line by line, through the front door of a whole house.
//!
//! Life of a golden test: a [`Door`], which is a house in this process before an engine whose every byte
//! is in the test's hands; a call as a client makes it; then both ends are looked at: what the engine
//! got and what the client got. What real engines show better is asked of llama-server. The table
//! of promises is `docs/reference/wire.md`; each of its lines names the tests here that hold it.

mod broken;
mod cancel;
mod errors;
mod flags;
mod full;
mod h2c;
mod headers;
mod infer;
mod limits;
mod messages;
mod ollama;
mod pass;
mod real;
mod responses;
mod shapes;
mod status;
mod streams;

use std::fmt::Write as _;
use std::time::Duration;

use app::serve::House;
use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::Upstream;

use crate::client::{Client, Reply, Stream};
use crate::stage::{PATIENCE, Stage, stop};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const TEXT: &str = "/v1/completions";

/// A house before an engine.
pub(crate) struct Door {
    _stage: Stage,
    pub(crate) house: House,
    pub(crate) upstream: Upstream,
    pub(crate) client: Client,
}

impl Door {
    /// One model, `m`.
    pub(crate) async fn open() -> Self {
        Self::of(&[("m", "")]).await
    }

    /// These models, each with more lines of its deployment.
    pub(crate) async fn of(models: &[(&str, &str)]) -> Self {
        Self::with("", models).await
    }

    /// With more of the config.
    pub(crate) async fn with(config: &str, models: &[(&str, &str)]) -> Self {
        Self::begin(config, models, None).await
    }

    /// One that waits only so long for its streams when it stops.
    pub(crate) async fn with_grace(grace: Duration, models: &[(&str, &str)]) -> Self {
        Self::begin("", models, Some(grace)).await
    }

    async fn begin(config: &str, models: &[(&str, &str)], grace: Option<Duration>) -> Self {
        let upstream = Upstream::open().await.expect("an engine");
        let stage = Stage::new();
        // On a machine that is busy the engine may be found late: a comment meanwhile would be the head of every stream.
        let patient = if config.contains("cold_comment") { "" } else { "cold_comment: 1m\n" };
        let mut text = format!("{patient}{config}deployments:\n");
        for (name, more) in models {
            let url =
                if more.contains("url:") || more.starts_with("model: ") { String::new() } else { format!("    url: {}\n", upstream.url()) };
            let _ = writeln!(text, "  - name: {name}\n{url}{}", indented(more));
        }
        let mut settings = stage.settings(&text);
        settings.config.shutdown_timeout = grace.unwrap_or(settings.config.shutdown_timeout);
        let house = House::start(settings).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        let client = stage.client(&house);
        Self { _stage: stage, house, upstream, client }
    }

    pub(crate) async fn close(self) {
        stop(self.house).await;
    }

    /// Bytes as they are.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.client.ask_with(Method::POST, path, &[], body.to_owned()).await
    }

    pub(crate) async fn open_stream(&self, path: &str, body: &str) -> Stream {
        soon(self.client.stream_with(path, &[], body.to_owned())).await
    }

    /// All that a streamed chat with this model brings.
    pub(crate) async fn streamed(&self, model: &str) -> String {
        self.open_stream(CHAT, &chat(model, r#","stream":true"#)).await.text().await
    }

    /// A client with a token that may and may not.
    pub(crate) async fn with_token(&self, wish: Value) -> Client {
        let made = self.client.post("/api/v1/tokens", &wish).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.client.with_token(made.json()["token"].as_str())
    }
}

fn indented(lines: &str) -> String {
    lines.lines().fold(String::new(), |text, line| text + "    " + line + "\n")
}

/// The body of a chat, with more members behind.
pub(crate) fn chat(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]{more}}}"#)
}

/// What is asked: a name for it, more headers, the body.
pub(crate) type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// What must come, comes soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// What a client sees of an answer: status, the headers that are promised, body; ids and times redacted.
pub(crate) fn shown(reply: &Reply) -> String {
    let mut text = format!("{}\n", reply.status);
    let mut headers: Vec<_> = reply.headers.iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    // What all answers have is looked at by `safety`.
    let of_all = ["x-content-type-options", "content-security-policy", "referrer-policy"];
    for (name, value) in headers.into_iter().filter(|(name, _)| !of_all.contains(&name.as_str())) {
        let value = match name.as_str() {
            "date" | "connection" | "content-length" | "traceparent" => continue,
            "x-request-id" | "request-id" if value.as_bytes().starts_with(b"req_") => "req_ID",
            "openai-processing-ms" => "MS",
            _ => value.to_str().expect("text"),
        };
        let _ = writeln!(text, "{name}: {value}");
    }
    format!("{text}\n{}\n", redacted(&reply.text))
}

/// Request ids are new each time.
pub(crate) fn redacted(text: &str) -> String {
    let mut parts = text.split("req_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("req_ID");
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    }
    out
}

/// The data of each event.
pub(crate) fn data(stream: &str) -> Vec<&str> {
    stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

/// Tries this until it is so, for as long as the machine may be busy.
pub(crate) async fn soon_is(what: &str, is: impl AsyncFnMut() -> bool) {
    let mut is = is;
    crate::stage::until(what, async || is().await.then_some(())).await;
}

/// The events of a small chat.
pub(crate) const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
pub(crate) const HI: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"content":"Hi 😀 über"},"finish_reason":null}],"vendor":12345678901234567890}"#;
pub(crate) const STOP: &str =
    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub(crate) const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
pub(crate) const DONE: &str = "[DONE]";

/// These events as they stand on the wire.
pub(crate) fn wire(events: &[&str]) -> String {
    events.iter().fold(String::new(), |text, event| text + "data: " + event + "\n\n")
}

/// A whole answer of the same.
pub(crate) fn whole(model: &str) -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    })
}

/// The promise.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(50);
