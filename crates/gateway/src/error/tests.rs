//! The table of errors, in full: what a client reads, and in whose manner.

use std::fmt::Write as _;

use access::{Coin, Denied, Quota, Resource, Whose};
use board::Error as BoardError;
use http_body_util::BodyExt as _;
use spec::{Period, Phase, Reason, ReasonCode};
use wire::openai::{Ask, Shape};

use super::*;

fn name() -> Name {
    Name::parse("tiny").unwrap()
}

fn bad_body(body: &str) -> Error {
    match wire::scan::object(body.as_bytes()) {
        Err(error) => wire::Error::Json(error).into(),
        Ok(scan) => Ask::read(Shape::Chat, &scan).unwrap_err().into(),
    }
}

fn down(code: ReasonCode) -> Error {
    BoardError::Down { deployment: name(), reason: Reason::new(code, "the numbers", "do this") }.into()
}

fn said(status: u16, body: &'static str) -> Error {
    let said = Said::new(StatusCode::from_u16(status).unwrap(), Again::default(), &Bytes::from_static(body.as_bytes()));
    Error::Said(said.by(spec::EngineKind::LlamaServer))
}

fn limited(what: Resource) -> Error {
    access::Error::Limited { what, whose: Whose::Token, asked: 7, limit: 60, retry_after: Duration::from_millis(1200) }.into()
}

fn budget(spent: u64) -> Error {
    let resets = base::Timestamp::from_millis(86_400_000);
    let quota = Quota { coin: Coin::Tokens, period: Period::Day, limit: 1000, spent, reserved: 895, asked: 20, resets };
    access::Error::Budget { whose: Whose::Project("red".to_owned()), quota: Box::new(quota) }.into()
}

fn at_the_door() -> Vec<Error> {
    let get = Method::GET;
    vec![
        Error::Route { method: get.clone(), path: "/v1/nope".to_owned() },
        Error::Method { method: get, path: "/v1/embeddings".to_owned() },
        Error::TooLarge { limit: 100 },
        Error::MediaType { found: "text/plain".to_owned() },
        Error::Encoding { found: "gzip".to_owned() },
        Error::SlowBody { after: Duration::from_secs(30) },
        bad_body(r#"{"model":"tiny",,}"#),
        bad_body(r#"{"model":"tiny"}"#),
        bad_body(r#"{"model":"tiny","messages":"hello"}"#),
        bad_body(r#"{"model":"tiny","messages":[{}],"stream_options":{}}"#),
        access::Error::MissingToken.into(),
        access::Error::WrongToken.into(),
        access::Error::Expired { at: base::Timestamp::from_millis(0) }.into(),
        access::Error::Disabled { user: "ann".to_owned() }.into(),
        access::Error::Guessing { retry_after: Duration::from_secs(3) }.into(),
        access::Error::Forbidden { what: Denied::Model("tiny".to_owned()) }.into(),
        access::Error::Forbidden { what: Denied::Inference }.into(),
        limited(Resource::Requests),
        limited(Resource::Tokens),
        limited(Resource::Concurrency),
        access::Error::NeverFits { what: Resource::Tokens, whose: Whose::Deployment("tiny".to_owned()), asked: 900, limit: 60 }.into(),
        budget(990),
        budget(100),
        Error::OtherName { host: "evil.example".to_owned() },
        Error::OtherPage { origin: "https://evil.example".to_owned() },
        Error::UnknownModel { model: "nope".to_owned() },
        Error::NoModel,
        Error::NotServed { model: name(), what: "embeddings" },
        Error::TooLong { model: name(), tokens: 5000, limit: 4096, param: "messages" },
        Error::LongConversation { bytes: 5000, limit: 4096 },
        Error::Background { most: 64, whose: "this project" },
        Error::BackgroundFull { most: 256 },
    ]
}

fn further_in() -> Vec<Error> {
    let second = Duration::from_secs(1);
    vec![
        BoardError::QueueFull { deployment: name(), waiting: 512 }.into(),
        BoardError::QueueTimeout { deployment: name(), waited: second * 30 }.into(),
        BoardError::Loading { deployment: name(), phase: Phase::Loading, progress: Some(0.5), eta: Some(second * 7), waited: second * 300 }
            .into(),
        down(ReasonCode::DoesNotFit),
        down(ReasonCode::NoRoom),
        down(ReasonCode::ModelMissing),
        down(ReasonCode::EngineExited),
        BoardError::Closed.into(),
        Error::Connect { source: "connection refused".into() },
        Error::ConnectTimeout { after: second * 5 },
        Error::FirstByteTimeout,
        Error::IdleTimeout { after: second * 60 },
        Error::TotalTimeout,
        wire::Error::Cut.into(),
        Error::Stopping,
        Error::Metrics(std::fmt::Error),
        said(
            400,
            r#"{"error":{"code":400,"message":"request (9010 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9010,"n_ctx":4096}}"#,
        ),
        said(400, r#"{"error":{"message":"bad sampler","type":"invalid_request_error","param":null,"code":null}}"#),
        said(401, r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#),
        said(429, r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#),
        said(503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#),
        said(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
        said(500, "<html>oops</html>"),
        said(
            500,
            r#"{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}"#,
        ),
        said(302, ""),
    ]
}

async fn row(error: &Error, face: Face) -> String {
    let response = error.response(face);
    let (head, body) = response.into_parts();
    let mut row = head.status.as_u16().to_string();
    for header in ["retry-after", "retry-after-ms", "x-should-retry"] {
        if let Some(value) = head.headers.get(header) {
            write!(row, " {header}={}", value.to_str().unwrap()).unwrap();
        }
    }
    let body = body.collect().await.unwrap().to_bytes();
    format!("{row} {}", std::str::from_utf8(&body).unwrap().trim_end())
}

#[tokio::test]
async fn every_error_has_its_row_in_the_table() {
    let mut table = String::new();
    for error in at_the_door().into_iter().chain(further_in()) {
        writeln!(table, "{}\n{}\n", row(&error, Face::OpenAi).await, row(&error, Face::Lines).await).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn every_error_body_has_the_four_keys() {
    for error in at_the_door().into_iter().chain(further_in()) {
        assert!(wire::openai::error::is_openai_error(&error.openai_body()), "{error}");
    }
}

#[test]
fn what_is_broken_inside_is_not_shown() {
    let error = Error::Unsendable { source: http::Uri::try_from("::secret::").unwrap_err().into() };
    assert!(!error.message().contains("secret") && error.message().contains("request id"));
}
