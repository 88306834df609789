//! The NDJSON face.

use access::NewToken;
use spec::{Kind, Limits, Reason, ReasonCode, Rights, Verb};

use super::fake::{self, Fake, Step};
use super::house::{ALL, House, STREAMS, entry};

fn text(text: &str, finish: &str) -> String {
    format!(r#"{{"id":"c","object":"text_completion","choices":[{{"index":0,"text":{text},"finish_reason":{finish}}}]}}"#)
}

fn engine(house: &House) -> Fake {
    Fake::unix(house.dir.path(), "e.sock", |_, _| {
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}"#;
        fake::events(&[&text(r#""4 + ""#, "null"), &text(r#""4 \"=\"""#, "null"), &text(r#""""#, r#""stop""#), usage, fake::DONE])
    })
}

/// The duration is the only thing that differs from run to run.
fn without_time(body: &str) -> String {
    let Some((before, after)) = body.split_once(r#""duration_ms":"#) else { return body.to_owned() };
    format!(r#"{before}"duration_ms":0{}"#, after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[tokio::test]
async fn infer_streams_a_line_for_each_token_and_a_last_one() {
    let house = House::with(crate::Config { default_model: Some("m".to_owned()), ..crate::Config::default() }).await;
    let engine = engine(&house);
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.ask(house.request("/infer?log=debug", r#"{"prompt":"2+2","temperature":0,"seed":0,"max_tokens":5}"#)).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    insta::assert_snapshot!(without_time(&answer.body));
    let seen: serde_json::Value = serde_json::from_str(&engine.seen()[0].body).unwrap();
    assert_eq!((seen["temperature"].as_f64(), seen["seed"].as_i64(), seen["max_tokens"].as_u64()), (Some(0.0), Some(0), Some(5)));
    assert_eq!(house.rows("m").await, (1, 1, 2, 2));
}

#[tokio::test]
async fn infer_without_a_stream_gives_only_the_last_line() {
    let house = House::new().await;
    let engine = engine(&house);
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.ask(house.request("/infer", r#"{"model":"m","prompt":"2+2","stream":false}"#)).await;
    assert_eq!(answer.body.lines().count(), 1);
    assert_eq!((answer.json()["content"].as_str(), answer.json()["done"].as_bool()), (Some("4 + 4 \"=\""), Some(true)));
    assert_eq!(house.rows("m").await, (1, 1, 2, 2));
}

#[tokio::test]
async fn a_line_that_breaks_ends_with_an_error_line() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| {
        vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", text(r#""4""#, "null")).into_bytes()), Step::Hang]
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.ask(house.request("/infer", r#"{"model":"m","prompt":"2+2"}"#)).await;
    let last: serde_json::Value = serde_json::from_str(answer.body.lines().last().unwrap()).unwrap();
    assert_eq!((last["code"].as_u64(), last["done"].as_bool()), (Some(502), Some(true)));
    let whole = house.ask(house.request("/infer", r#"{"model":"m","prompt":"2+2","stream":false}"#)).await;
    assert_eq!((whole.status.as_u16(), whole.json()["code"].as_u64()), (502, Some(502)));
}

#[tokio::test]
async fn infer_refuses_with_its_own_statuses() {
    let house = House::new().await;
    let mut big = entry("big", ALL, &[]);
    big.state = board::State::Down(Reason::new(ReasonCode::DoesNotFit, "needs 9 GiB of 1 GiB", "choose a smaller model"));
    house.publish([big]);
    let cases = [
        (r#"{"prompt":"x"}"#, 404),
        (r#"{"model":"nope","prompt":"x"}"#, 404),
        (r#"{"model":"big","prompt":"x"}"#, 507),
        (r#"{"model":"big","prompt":"  "}"#, 400),
        (r#"{"model":"big","prompt":7}"#, 400),
        (r#"{"model":"big","prompt":"x""#, 400),
    ];
    for (body, status) in cases {
        let answer = house.ask(house.request("/infer", body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_u64()), (status, Some(status.into())), "{body}");
        assert!(answer.json()["error"].is_string(), "{body}");
    }
    let mut plain = house.request("/infer", "x");
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(house.ask(plain).await.status, 415);
}

#[tokio::test]
async fn status_is_the_document_that_app_makes() {
    let house = House::new().await;
    let answer = house.ask(house.get("/status")).await;
    insta::assert_snapshot!(answer.body);
    let stranger = http::Request::get("/status").body(axum::body::Body::empty()).unwrap();
    assert_eq!(house.ask(stranger).await.json()["code"], 401);
}

#[tokio::test]
async fn status_names_the_models_that_the_reader_may_call_and_all_to_who_may_look_at_them() {
    let mut house = House::new().await;
    house.publish([entry("a", ALL, &[]), entry("b", ALL, &[])]);
    let looks = NewToken { scopes: Vec::new(), rights: Rights::default().with(Verb::Get, Kind::Deployments), ..NewToken::named("looks") };
    let looks = house.access.create(looks).await.unwrap().1.expose().to_owned();
    let one = house.token_for(Some(vec!["a".to_owned()]), Limits::default()).await;
    for (token, named) in [(house.token.clone(), &["a", "b"][..]), (one, &["a"]), (looks, &["a", "b"])] {
        house.token = token;
        let status = house.ask(house.get("/status")).await.json();
        let ids: Vec<&str> = status["instances"].as_array().unwrap().iter().map(|of| of["model_id"].as_str().unwrap()).collect();
        assert_eq!(ids, named);
    }
}
