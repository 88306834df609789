//! Who and what is let in, and what is said to the rest.

use axum::body::Body;
use board::Wait;
use bytes::Bytes;
use http::{Method, Request};
use spec::{Limits, Name, Reason, ReasonCode};

use super::fake::{self, Fake};
use super::house::{ALL, CHAT, House, MS, STREAMS, entry, limited};

#[tokio::test]
async fn what_is_not_served_is_said_in_the_shape_of_openai() {
    let house = House::new().await;
    let unknown = house.ask(house.get("/v1/nope")).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["error"]["message"].as_str().unwrap().contains("GET /v1/nope"));
    let wrong = house.ask(house.get("/v1/chat/completions")).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "POST"));
    assert_eq!(wrong.json()["error"]["type"], "invalid_request_error");
    let wrong = house.ask(Request::builder().method(Method::DELETE).uri("/infer").body(Body::empty()).unwrap()).await;
    assert_eq!((wrong.status.as_u16(), wrong.json()["code"].as_u64()), (405, Some(405)));
    for answer in [unknown, wrong] {
        assert!(answer.header("x-request-id").starts_with("req_"));
        assert!(answer.header("openai-processing-ms").parse::<u64>().is_ok());
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_a_call_is_refused_with_what_is_wrong() {
    let house = House::with(crate::Config { max_body_bytes: 200, ..crate::Config::default() }).await;
    let large = house.chat(&" ".repeat(201)).await;
    assert_eq!(large.status, 413);
    let pieces = futures_util::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(Bytes::from(" ".repeat(50)))));
    let growing = house.ask(house.request("/v1/chat/completions", Body::from_stream(pieces))).await;
    assert_eq!(growing.status, 413, "also when its length was not announced");
    let mut form = house.request("/v1/chat/completions", "a=b");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(house.ask(form).await.status, 415);
    let cases = [
        (r#"{"model":"m",}"#, "byte 13", None),
        ("", "byte 0", None),
        (r#"{"model":"m"}"#, "messages", Some("messages")),
        (r#"{"model":7,"messages":[{}]}"#, "string", Some("model")),
        (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "boolean", Some("stream")),
        (r#"{"model":"m","messages":[{}],"stream_options":{"include_usage":true}}"#, "stream", Some("stream_options")),
    ];
    for (body, words, param) in cases {
        let answer = house.chat(body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status.as_u16(), error["param"].as_str()), (400, param), "{body}");
        assert!(error["message"].as_str().unwrap().contains(words), "{body}: {error}");
    }
}

#[tokio::test]
async fn nobody_without_a_token_makes_us_read_a_body() {
    let house = House::new().await;
    let unread = Body::from_stream(futures_util::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
        panic!("the body was read")
    }));
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json").body(unread).unwrap();
    let answer = house.ask(request).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn a_token_comes_as_bearer_or_as_x_api_key_and_is_refused_once_revoked() {
    let house = House::new().await;
    let ask = async |name: &'static str, value: String| {
        house.ask(Request::get("/v1/models").header(name, value).body(Body::empty()).unwrap()).await.status.as_u16()
    };
    let token = house.token.clone();
    assert_eq!(ask("authorization", format!("Bearer {token}")).await, 200);
    assert_eq!(ask("authorization", format!("bearer {token}")).await, 200);
    assert_eq!(ask("x-api-key", token.clone()).await, 200);
    for (name, value) in
        [("authorization", format!("Basic {token}")), ("authorization", "Bearer nope".to_owned()), ("x-other", token.clone())]
    {
        assert_eq!(ask(name, value).await, 401);
    }
    let id = house.access.list().await.unwrap()[0].id.clone();
    house.access.revoke(&id).await.unwrap();
    assert_eq!(ask("x-api-key", token).await, 401);
}

#[tokio::test]
async fn a_key_sees_and_calls_only_its_models() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("org/m:8b", STREAMS, &[(&engine.endpoint, 1)]), entry("cold", ALL, &[])]);
    let all = house.ask(house.get("/v1/models")).await;
    insta::assert_snapshot!(all.body);
    house.token = house.token_for(Some(vec!["org/m:8b".to_owned()]), Limits::default()).await;
    let some = house.ask(house.get("/v1/models")).await.json();
    assert_eq!(some["data"].as_array().unwrap().len(), 1);
    for path in ["/v1/models/org/m:8b", "/v1/models/org%2Fm%3A8b"] {
        assert_eq!(house.ask(house.get(path)).await.json()["id"], "org/m:8b", "{path}");
    }
    for path in ["/v1/models/cold", "/v1/models/nope", "/v1/models/%ff"] {
        let answer = house.ask(house.get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "model_not_found"), "{path}");
    }
    let forbidden = house.chat(&CHAT.replace(r#""m""#, r#""cold""#)).await;
    assert_eq!((forbidden.status.as_u16(), forbidden.code().as_str()), (403, "permission_denied"));
    let missing = house.chat(&CHAT.replace(r#""m""#, r#""nope""#)).await;
    assert_eq!((missing.status.as_u16(), missing.code().as_str()), (404, "model_not_found"));
    let listed = house.ask(house.get("/models")).await.json();
    assert_eq!(listed["models"][0]["id"], "org/m:8b");
    assert_eq!(engine.seen().len(), 0);
}

#[tokio::test]
async fn what_an_engine_does_not_do_is_refused_here() {
    let house = House::new().await;
    house.publish([entry("m", spec::Dialect { embeddings: false, ..ALL }, &[])]);
    let answer = house.ask(house.request("/v1/embeddings", r#"{"model":"m","input":"a"}"#)).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["param"].as_str()), (400, Some("model")));
}

#[tokio::test]
async fn limits_are_told_with_every_answer_and_the_wait_with_a_refusal() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let limits = Limits { requests_per_minute: Some(2), tokens_per_minute: Some(1000), concurrency: None };
    house.token = house.token_for(None, limits).await;
    let first = house.chat(CHAT).await;
    assert_eq!((first.header("x-ratelimit-limit-requests"), first.header("x-ratelimit-remaining-requests")), ("2", "1"));
    assert_eq!(first.header("x-ratelimit-limit-tokens"), "1000");
    assert!(first.header("x-ratelimit-reset-requests").ends_with('s'));
    house.chat(CHAT).await;
    let refused = house.chat(CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(refused.json()["error"]["type"], "requests");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1 && refused.header("retry-after-ms").parse::<u64>().unwrap() > 0);
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    house.token = house.token_for(None, Limits { tokens_per_minute: Some(10), ..Limits::default() }).await;
    let never = house.chat(&CHAT.replace("}]", r#"}],"max_tokens":100"#)).await;
    assert_eq!((never.status.as_u16(), never.header("x-should-retry"), never.header("retry-after")), (429, "false", ""));
    assert_eq!(never.json()["error"]["type"], "tokens");
}

#[tokio::test]
async fn what_was_set_aside_is_settled_with_what_was_used() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    house.token = house.token_for(None, Limits { tokens_per_minute: Some(1000), ..Limits::default() }).await;
    for round in 1..=3_u64 {
        house.chat(&CHAT.replace("}]", r#"}],"max_tokens":900"#)).await;
        let left: u64 = house.chat("{}").await.header("x-ratelimit-remaining-tokens").parse().unwrap_or(0);
        assert_eq!(left, 0, "a body that is no call is answered before there are limits to tell");
        let rates = house.access.verify(Some(&house.token)).unwrap().rates().tokens.unwrap();
        assert!((1000 - 10 * round..=1000).contains(&rates.remaining), "{rates:?} after {round}");
    }
}

#[tokio::test]
async fn a_model_that_does_not_come_up_in_time_is_loading_and_one_that_cannot_is_down() {
    let house = House::new().await;
    let short = |spec: &mut spec::Deployment| {
        spec.timeouts.start = MS * 10;
        spec.timeouts.wait = MS * 10;
    };
    house.publish([limited(entry("m", ALL, &[]), short)]);
    let loading = house.chat(CHAT).await;
    assert_eq!((loading.status.as_u16(), loading.code().as_str()), (503, "model_loading"));
    assert!(loading.json()["error"]["loading"]["state"].is_string());
    assert_eq!(loading.header("retry-after"), "1");
    let mut down = entry("m", ALL, &[]);
    down.state = board::State::Down(Reason::new(ReasonCode::DoesNotFit, "needs 90 GiB of 8 GiB", "use a smaller quantisation"));
    house.publish([down]);
    let answer = house.chat(CHAT).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (507, "model_unavailable"));
    assert!(answer.body.contains("smaller quantisation") && answer.header("x-should-retry") == "false");
}

#[tokio::test]
async fn a_full_line_is_refused_at_once_and_an_ended_wait_in_time() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| vec![fake::Step::AwaitClose]);
    house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| {
        spec.max_queue = 1;
        spec.timeouts.wait = MS * 200;
    })]);
    let (name, wait) = (Name::parse("m").unwrap(), Wait { patience_ready: MS, patience_cold: MS, keep_alive: None, avoid: Vec::new() });
    let _held = house.board.lease(&name, wait).await.unwrap();
    let (waited, full) = tokio::join!(house.chat(CHAT), async {
        super::until(|| house.board.demand()[0].waiting == 1).await;
        house.chat(CHAT).await
    });
    assert_eq!((full.status.as_u16(), full.code().as_str()), (429, "queue_full"));
    assert_eq!((waited.status.as_u16(), waited.code().as_str()), (503, "queue_timeout"));
    assert!(!full.header("retry-after").is_empty() && !waited.header("retry-after").is_empty());
    assert!((house.metric(&["modeld_http_backpressure_total", "queue_full"]).await - 1.0).abs() < 0.5);
    assert!((house.metric(&["modeld_http_backpressure_total", "wait_timeout"]).await - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn other_sites_may_call_only_where_the_config_says_so() {
    let preflight = || {
        let request = Request::builder().method(Method::OPTIONS).uri("/v1/chat/completions").header("origin", "https://a.example");
        let request = request.header("access-control-request-method", "POST").header("access-control-request-headers", "authorization");
        request.body(Body::empty()).unwrap()
    };
    let closed = House::new().await;
    assert_eq!(closed.ask(preflight()).await.status, 405);
    let cors = crate::Cors { origins: vec!["https://a.example".to_owned()], ..crate::Cors::default() };
    let open = House::with(crate::Config { cors: Some(cors), ..crate::Config::default() }).await;
    let answer = open.ask(preflight()).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, "https://a.example"));
    assert_eq!(answer.header("access-control-allow-headers"), "authorization");
}

#[tokio::test]
async fn the_metrics_speak_the_names_of_the_conventions() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    house.chat(CHAT).await;
    house.ask(house.get("/v1/no/such/path/at/all")).await;
    let text = house.ask(house.get("/metrics")).await.body;
    let families: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    insta::assert_snapshot!(families.join("\n"));
    assert!(text.contains(r#"modeld_http_requests_total{path="/v1/chat/completions",method="POST",status="200"} 1"#), "{text}");
    assert!(text.contains(r#"penstock_http_requests_total{path="unmatched",method="GET",status="404"} 1"#), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("gen_ai_client_token_usage_sum") && line.contains("input") && line.ends_with(" 7.0")),
        "{text}"
    );
    assert!(text.contains("penstock_loads_total 3"), "{text}");
}
