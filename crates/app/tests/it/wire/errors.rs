//! Section 1, errors: one shape, and the table of statuses, types and codes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Script, Step};

use super::{Asked, CHAT, Door, TEXT, chat, shown, soon, soon_is};
use crate::client::Reply;

/// Every error has these four and no number among them.
fn shaped(reply: &Reply) -> Value {
    let error = reply.json()["error"].clone();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()) && error["type"].is_string(), "{}", reply.text);
    for key in ["param", "code"] {
        assert!(error.get(key).is_some_and(|value| value.is_null() || value.is_string()), "{key}: {}", reply.text);
    }
    assert_eq!(reply.header("content-type"), "application/json");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_request_that_never_becomes_a_call() {
    let door = Door::with("max_body_bytes: 2KiB\n", &[("m", "")]).await;
    let (post, get) = (Method::POST, Method::GET);
    let large = chat("m", &format!(r#","x":"{}""#, "x".repeat(3000)));
    let text = [("content-type", "text/plain")];
    let zipped = [("content-encoding", "gzip")];
    let asks: [(&Method, &str, Asked<'_>); 13] = [
        (&post, CHAT, ("bad JSON", &[], r#"{"model":"m",}"#)),
        (&post, CHAT, ("not an object", &[], "[]")),
        (&post, CHAT, ("a wrong type", &[], r#"{"model":"m","messages":"Hi"}"#)),
        (&post, CHAT, ("a missing field", &[], r#"{"model":"m"}"#)),
        (&post, TEXT, ("a missing model", &[], r#"{"prompt":"Hi"}"#)),
        (&post, CHAT, ("an impossible value", &[], r#"{"model":"m","messages":[{}],"n":0}"#)),
        (&post, "/v1/nothing", ("no such route", &[], "{}")),
        (&get, "/nothing", ("no such path", &[], "")),
        (&get, CHAT, ("a wrong method", &[], "")),
        (&post, CHAT, ("too large", &[], &large)),
        (&post, CHAT, ("a wrong media type", &text, "{}")),
        (&post, CHAT, ("a compressed body", &zipped, "{}")),
        (&post, CHAT, ("no such model", &[], r#"{"model":"gpt-9","messages":[{}]}"#)),
    ];
    let mut seen = String::new();
    for (method, path, (what, headers, body)) in asks {
        let reply = door.client.ask_with(method.clone(), path, headers, body.to_owned()).await;
        shaped(&reply);
        let _ = writeln!(seen, "## {what}\n{}", shown(&reply));
    }
    insta::assert_snapshot!(seen);
    assert!(door.upstream.asks().is_empty());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_of_these_apis_says_what_to_do_in_its_place_and_that_is_served() {
    let door = Door::open().await;
    let asks = [
        "/v1/rerank",
        "/v2/rerank",
        "/v1/moderations",
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/videos",
        "/v1/realtime",
        "/v1/files",
        "/v1/batches",
        "/v1/fine_tuning/jobs",
        "/v1/assistants",
        "/v1/threads/t1/runs",
        "/v1/vector_stores",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/completion",
        "/tokenize",
        "/openai/deployments/m/chat/completions",
    ];
    let mut served = BTreeSet::new();
    for path in asks {
        for method in [Method::POST, Method::GET] {
            let reply = door.client.ask_with(method, path, &[], "{}").await;
            let error = shaped(&reply);
            assert_eq!((reply.status, &error["type"], &error["code"]), (404, &json!("invalid_request_error"), &Value::Null), "{path}");
            let message = error["message"].as_str().expect("words");
            let (_, instead) = message.split_once(" is not served here; ").unwrap_or_else(|| panic!("{path}: {message}"));
            served.extend(
                instead
                    .split([' ', ',', ':', ';', '`'])
                    .filter(|word| word.starts_with("/v1/") || word.starts_with("/api/"))
                    .map(str::to_owned),
            );
        }
    }
    assert!(served.contains(CHAT) && served.len() > 5, "{served:?}");
    for path in served {
        assert_eq!(door.client.ask_with(Method::PATCH, &path, &[], "{}").await.status, 405, "{path} is there, and takes something else");
    }
    let batch = door.client.ask_with(Method::POST, "/v1/messages/batches", &[], "{}").await;
    assert_eq!((batch.status, &batch.json()["type"], &batch.json()["error"]["type"]), (404, &json!("error"), &json!("not_found_error")));
    assert!(door.upstream.asks().is_empty());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_about_who_asks() {
    let door = Door::of(&[("m", ""), ("other", "")]).await;
    let narrow = door.with_token(json!({"name": "narrow", "models": ["other"]})).await;
    let operator = door.with_token(json!({"name": "no-calls", "scopes": ["admin"]})).await;
    let asks = [
        ("no key", door.client.with_token(None), CHAT),
        ("a wrong key", door.client.with_token(Some("psk_wrong")), CHAT),
        ("a model that the key may not use", narrow.clone(), CHAT),
        ("a model that the key may not see", narrow.clone(), "/v1/models/m"),
    ];
    let mut seen = String::new();
    for (what, client, path) in asks {
        let method = if path == CHAT { Method::POST } else { Method::GET };
        let reply = client.ask_with(method, path, &[], chat("m", "")).await;
        shaped(&reply);
        let _ = writeln!(seen, "## {what}\n{}", shown(&reply));
    }
    insta::assert_snapshot!(seen);
    assert_eq!(operator.ask_with(Method::POST, CHAT, &[], chat("m", "")).await.status, 200, "who operates may also call");
    assert_eq!(narrow.get("/api/v1/tokens").await.status, 403, "a route that it may not use");
    let made = door.client.post("/api/v1/tokens", &json!({"name": "by-header"})).await.json();
    let key = [("authorization", ""), ("x-api-key", made["token"].as_str().expect("a token"))];
    let reply = door.client.ask_with(Method::POST, CHAT, &key, chat("m", "")).await;
    assert_eq!(reply.status, 200, "x-api-key is as good: {}", reply.text);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_that_are_used_up_say_which_and_until_when() {
    let door = Door::open().await;
    let requests = door.with_token(json!({"name": "r", "limits": {"requests_per_minute": 1}})).await;
    assert_eq!(requests.ask_with(Method::POST, CHAT, &[], chat("m", "")).await.status, 200);
    let reply = requests.ask_with(Method::POST, CHAT, &[], chat("m", "")).await;
    let error = shaped(&reply);
    assert_eq!((reply.status, &error["type"], &error["code"]), (429, &json!("requests"), &json!("rate_limit_exceeded")));
    let seconds: u64 = reply.header("retry-after").parse().expect("whole seconds");
    let ms: u64 = reply.header("retry-after-ms").parse().expect("milliseconds");
    assert!(seconds >= 1 && seconds == ms.div_ceil(1000), "{seconds} s, {ms} ms");
    let tokens = door.with_token(json!({"name": "t", "limits": {"tokens_per_minute": 50}})).await;
    assert_eq!(tokens.ask_with(Method::POST, CHAT, &[], chat("m", r#","max_tokens":40"#)).await.status, 200);
    let spent = tokens.ask_with(Method::POST, CHAT, &[], chat("m", r#","max_tokens":45"#)).await;
    let error = shaped(&spent);
    assert_eq!((spent.status, &error["type"], &error["code"]), (429, &json!("tokens"), &json!("rate_limit_exceeded")), "{}", spent.text);
    assert!(!spent.header("retry-after").is_empty());
    let never = tokens.ask_with(Method::POST, CHAT, &[], chat("m", r#","max_tokens":4000"#)).await;
    assert_eq!((never.status, never.header("x-should-retry"), never.header("retry-after")), (429, "false", ""), "{}", never.text);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_line_and_a_wait_that_ends_say_so() {
    let limits = "parallel: 1\nmax_queue: 1\ntimeouts: { wait: 2s }";
    let door = Door::of(&[("m", limits)]).await;
    door.upstream.plays("m", Script::silent().then(Step::Silence));
    let ask = || door.client.stream_with(CHAT, &[], chat("m", ""));
    let running = base::tasks::spawn("runs", {
        let client = door.client.clone();
        async move { drop(client.stream_with(CHAT, &[], chat("m", "")).await) }
    });
    soon(door.upstream.saw(|asks| asks.len() == 1)).await;
    let client = door.client.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    let waiting =
        base::tasks::spawn("waits", async move { drop(tell.send(client.ask_with(Method::POST, CHAT, &[], chat("m", "")).await)) });
    soon_is("one waits", async || door.client.get("/status").await.json()["instances"][0]["queue_len"] == 1).await;
    let full = soon(ask()).await;
    let header = |name: &str| full.headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
    assert!(header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1) && header("retry-after-ms").parse::<u64>().is_ok());
    let status = full.status;
    let error: Value = serde_json::from_str(&full.text().await).expect("JSON");
    assert_eq!((status, &error["error"]["type"], &error["error"]["code"]), (429, &json!("overloaded_error"), &json!("queue_full")));
    let reply = soon(told).await.expect("an answer");
    let error = shaped(&reply);
    assert_eq!((reply.status, &error["type"], &error["code"]), (503, &json!("overloaded_error"), &json!("queue_timeout")));
    assert!(!reply.header("retry-after").is_empty() && !reply.header("retry-after-ms").is_empty());
    drop((running, waiting));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engines_own_error_is_relayed_as_it_is_when_it_has_the_shape_and_is_never_put_into_a_message() {
    let models = ["shaped", "llama", "fastapi", "list", "text", "html", "empty", "ours", "busy"];
    let door = Door::of(&models.map(|model| (model, ""))).await;
    let own = r#"{ "error":{"message":"temperature is too high","type":"invalid_request_error","param":"temperature","code":null,"vendor":[1]}, "x":12345678901234567890 }"#;
    let answers = [
        Script::json(400, own),
        Script::json(400, r#"{"error":{"code":400,"message":"grammar is wrong","type":"invalid_request_error"}}"#),
        Script::json(422, r#"{"detail":"no such adapter"}"#),
        Script::json(422, r#"{"detail":[{"loc":["body","top_p"],"msg":"top_p must be at most 1","type":"value_error"}]}"#),
        Script::whole(500, "text/plain", "Internal Server Error"),
        Script::whole(502, "text/html", "<html><h1>502</h1></html>"),
        Script::json(500, ""),
        Script::json(
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-secret","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        ),
        Script::json(429, r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#)
            .header("retry-after", "60"),
    ];
    let mut seen = String::new();
    for (model, script) in models.into_iter().zip(answers) {
        door.upstream.plays(model, script);
        for more in ["", r#","stream":true"#] {
            let reply = soon(door.post(CHAT, &chat(model, more))).await;
            shaped(&reply);
            assert!(!reply.text.contains("secret"), "our key is nobody's business: {}", reply.text);
            assert!(!shaped(&reply)["message"].as_str().is_some_and(|message| message.contains('{') || message.contains('<')));
            if more.is_empty() {
                let _ = writeln!(seen, "## {model}\n{}", shown(&reply));
            }
        }
    }
    assert!(seen.contains(own));
    insta::assert_snapshot!(seen);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_engines_for_a_prompt_that_is_too_long_become_one_code() {
    let door = Door::of(&[("llama", ""), ("vllm", "")]).await;
    let llama = r#"{"error":{"code":400,"message":"request (9010 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9010,"n_ctx":4096}}"#;
    let vllm = r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000.","type":"BadRequestError","param":null,"code":400}"#;
    door.upstream.plays("llama", Script::json(400, llama));
    door.upstream.plays("vllm", Script::json(400, vllm));
    for model in ["llama", "vllm"] {
        for more in ["", r#","stream":true"#] {
            let reply = soon(door.post(CHAT, &chat(model, more))).await;
            let error = shaped(&reply);
            let found = (reply.status, error["type"].as_str(), error["code"].as_str(), error["param"].as_str());
            assert_eq!(found, (400, Some("invalid_request_error"), Some("context_length_exceeded"), Some("messages")), "{error}");
        }
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_spent_is_not_to_be_asked_again() {
    let door = Door::open().await;
    let client = door.with_token(json!({"name": "thrifty", "budget": {"tokens_per_day": 30}})).await;
    let ask = || client.ask_with(Method::POST, CHAT, &[], chat("m", r#","max_tokens":5"#));
    let mut replies = Vec::new();
    while replies.last().is_none_or(|reply: &Reply| reply.status == 200) {
        assert!(replies.len() < 10, "10 tokens each, of 30");
        replies.push(ask().await);
    }
    let last = replies.last().expect("an answer");
    let error = shaped(last);
    assert_eq!((last.status, &error["type"], &error["code"]), (429, &json!("insufficient_quota"), &json!("insufficient_quota")));
    assert_eq!((last.header("x-should-retry"), last.header("retry-after")), ("false", ""), "{}", last.text);
    assert!(replies.len() >= 3, "what is left can be used: {}", replies.len());
    door.close().await;
}
