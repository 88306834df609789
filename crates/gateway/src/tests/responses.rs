//! The Responses API: made, fetched, gone on with, cancelled, deleted.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use spec::Limits;
use store::{Journal, JournalConfig};
use tokio::sync::Semaphore;

use crate::{Config, Gateway, Parts, StatusDoc, Watch};

use super::fake::{self, Fake, Step};
use super::house::{Answer, House, STREAMS, entry};

const ASK: &str = r#"{"model":"m","input":"hi","metadata":{"a":"b"}}"#;

impl House {
    async fn respond(&self, body: &str) -> Answer {
        self.ask(self.request("/v1/responses", body.to_owned())).await
    }
    async fn on(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.token));
        self.ask(request.body(Body::empty()).unwrap()).await
    }
    /// Another gateway over the same store, as after a restart.
    async fn again(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gateway = Gateway::new(Parts {
            board: Arc::clone(&self.board),
            access: self.access.clone(),
            journal: Journal::open(self.store.clone(), JournalConfig::new(dir.path().join("journal"))).await.unwrap(),
            store: self.store.clone(),
            counts: Arc::clone(&self.counts),
            config: Config::default(),
            status: Arc::new(StatusDoc::default),
            watch: Watch::default(),
        });
        Self {
            board: Arc::clone(&self.board),
            access: self.access.clone(),
            store: self.store.clone(),
            counts: Arc::clone(&self.counts),
            router: gateway.router(),
            gateway,
            dir,
            token: self.token.clone(),
        }
    }
}

/// Ids are random, times are now.
fn settled(body: &str, id: &str) -> String {
    let body = body.replace(id.trim_start_matches("resp_"), "0");
    let Some((before, after)) = body.split_once("\"created_at\":") else { return body };
    let now: String = after.chars().take_while(char::is_ascii_digit).collect();
    format!("{before}\"created_at\":{after}").replace(&format!("\"created_at\":{now}"), "\"created_at\":1")
}

/// The data of all events.
fn events(body: &str) -> Vec<Value> {
    body.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn a_response_comes_whole_and_as_events_and_can_be_fetched_again() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let whole = house.respond(ASK).await;
    let id = whole.json()["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!("whole", settled(&whole.body, &id));
    let stream = house.respond(&ASK.replace("\"input\"", r#""stream":true,"input""#)).await;
    let all = events(&stream.body);
    let streamed = all.last().unwrap()["response"]["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!("stream", settled(&stream.body, &streamed));
    assert!(all.iter().enumerate().all(|(at, event)| event["sequence_number"] == at));
    let ids = all.iter().filter_map(|event| event["response"]["id"].as_str()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids.len(), 1);
    assert_eq!(house.on(Method::GET, &format!("/v1/responses/{id}")).await.json(), whole.json());
    assert_eq!(house.on(Method::GET, &format!("/v1/responses/{streamed}")).await.json(), all.last().unwrap()["response"]);
    assert_eq!(house.rows("m").await, (2, 2, 14, 6));
}

#[tokio::test]
async fn another_response_goes_on_with_the_whole_conversation() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut previous = house.respond(r#"{"model":"m","instructions":"Be brief.","input":"one"}"#).await.json();
    for word in ["two", "three"] {
        let body = json!({"model": "m", "input": [{"role": "user", "content": word}], "previous_response_id": previous["id"]});
        previous = house.respond(&body.to_string()).await.json();
        assert_eq!(previous["previous_response_id"], body["previous_response_id"]);
    }
    let seen: Value = serde_json::from_str(&engine.seen()[2].body).unwrap();
    let said: Vec<String> =
        seen["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, ["one", "Hi 😀 über", "two", "Hi 😀 über", "three"], "instructions are not carried over");
    let path = format!("/v1/responses/{}/input_items", previous["id"].as_str().unwrap());
    let items = house.on(Method::GET, &path).await.json();
    assert_eq!((items["data"].as_array().unwrap().len(), items["data"][0]["content"].as_str()), (1, Some("three")), "its own alone");
    let unknown = house.respond(r#"{"model":"m","input":"a","previous_response_id":"resp_nope"}"#).await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (400, "previous_response_not_found"));
}

#[tokio::test]
async fn a_conversation_is_gone_on_with_until_it_is_larger_than_a_body_may_be() {
    let house = House::with(Config { max_body_bytes: 2_000, ..Config::default() }).await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let first = json!({"model": "m", "instructions": "i".repeat(1_000), "input": "a".repeat(800)});
    let mut id = house.respond(&first.to_string()).await.json()["id"].clone();
    let next = |id: &Value, letters: usize| json!({"model": "m", "input": "b".repeat(letters), "previous_response_id": id}).to_string();
    id = house.respond(&next(&id, 300)).await.json()["id"].clone();
    assert!(id.is_string(), "instructions are no part of what is gone on with");
    for path in ["/v1/responses", "/v1/responses/input_tokens"] {
        let refused = house.ask(house.request(path, next(&id, 600))).await;
        assert_eq!((refused.status.as_u16(), refused.json()["error"]["param"].as_str()), (400, Some("previous_response_id")), "{path}");
        assert!(refused.body.contains("at most 2000; ") && refused.body.contains("`max_body_bytes`"), "{path}: {}", refused.body);
    }
    assert_eq!(engine.seen().len(), 2);
    assert_eq!(house.on(Method::GET, &format!("/v1/responses/{}", id.as_str().unwrap())).await.status, 200, "it is still there");
}

#[tokio::test]
async fn a_conversation_larger_than_memory_is_there_as_soon_as_it_was_answered() {
    let keeping = crate::Keeping { memory_bytes: 1_000, ..crate::Keeping::default() };
    let house = House::with(Config { keeping, ..Config::default() }).await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut previous = Value::Null;
    for turn in 1..=4 {
        let body = json!({"model": "m", "input": "many words ".repeat(20_000), "previous_response_id": previous});
        let made = house.respond(&body.to_string()).await.json();
        previous = made["id"].clone();
        let fetched = house.on(Method::GET, &format!("/v1/responses/{}", previous.as_str().unwrap())).await;
        assert_eq!(fetched.json(), made, "turn {turn}");
        let seen: Value = serde_json::from_str(&engine.seen()[turn - 1].body).unwrap();
        assert_eq!(seen["messages"].as_array().unwrap().len(), 2 * turn - 1, "turn {turn}");
    }
}

#[tokio::test]
async fn input_items_are_listed_a_page_at_a_time() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let items: Vec<Value> = (0..5).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    let id = house.respond(&json!({"model": "m", "input": items}).to_string()).await.json()["id"].as_str().unwrap().to_owned();
    let page = async |query: &str| {
        let page = house.on(Method::GET, &format!("/v1/responses/{id}/input_items{query}")).await.json();
        let words: String = page["data"].as_array().unwrap().iter().map(|item| item["content"].as_str().unwrap()).collect();
        (words, page["has_more"].as_bool().unwrap(), page["last_id"].as_str().unwrap_or_default().to_owned())
    };
    let (words, more, last) = page("?limit=2").await;
    assert_eq!((words.as_str(), more), ("43", true), "the last ones first");
    assert_eq!(page(&format!("?limit=2&after={last}")).await.0, "21");
    assert_eq!(page("?order=asc").await.0, "01234");
    for (path, status, param) in [
        (format!("{id}/input_items?limit=abc"), 400, Some("limit")),
        (format!("{id}?stream=1"), 400, Some("stream")),
        (format!("{id}?stream=true"), 404, None),
        ("%ff".to_owned(), 404, None),
        ("%ff/input_items?limit=1&limit=2".to_owned(), 404, None),
    ] {
        let answer = house.on(Method::GET, &format!("/v1/responses/{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "application/json"), "{path}: {}", answer.body);
        assert_eq!(answer.json()["error"]["param"].as_str(), param, "{path}: {}", answer.body);
    }
    assert_eq!(house.on(Method::GET, &format!("/v1/responses/{id}?stream=false&limit=abc")).await.status, 200);
    for (method, path) in [(Method::DELETE, "/v1/responses/%ff"), (Method::POST, "/v1/responses/%ff/cancel")] {
        assert_eq!(house.on(method, path).await.json()["error"]["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn a_response_is_its_makers_alone_until_it_is_deleted() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let id = house.respond(ASK).await.json()["id"].as_str().unwrap().to_owned();
    let mine = std::mem::take(&mut house.token);
    house.token = house.token_for(None, Limits::default()).await;
    let path = format!("/v1/responses/{id}");
    for (method, tail) in [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/cancel"), (Method::GET, "/input_items")] {
        let answer = house.on(method, &format!("{path}{tail}")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["error"]["type"].as_str()), (404, Some("invalid_request_error")), "{tail}");
    }
    let stolen = house.respond(&json!({"model": "m", "input": "a", "previous_response_id": id}).to_string()).await;
    assert_eq!(stolen.status, 400);
    house.token = mine;
    assert_eq!(house.on(Method::POST, &format!("{path}/cancel")).await.status, 400, "it was not made in the background");
    assert_eq!(house.on(Method::DELETE, &path).await.json(), json!({"id": id, "object": "response", "deleted": true}));
    assert_eq!(house.on(Method::GET, &path).await.status, 404);
    house.gateway.flush().await;
    assert_eq!(house.store.get_response(&id).await.unwrap(), None);
    let unkept = house.respond(&ASK.replace("\"input\"", r#""store":false,"input""#)).await.json();
    assert_eq!(house.on(Method::GET, &format!("/v1/responses/{}", unkept["id"].as_str().unwrap())).await.status, 404);
}

#[tokio::test]
async fn kept_responses_survive_a_restart() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let made = house.respond(ASK).await.json();
    house.gateway.flush().await;
    let again = house.again().await;
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    assert_eq!(again.on(Method::GET, &path).await.json(), made);
    let next = json!({"model": "m", "input": "b", "previous_response_id": made["id"]});
    assert_eq!(again.respond(&next.to_string()).await.status, 200);
}

#[tokio::test]
async fn what_is_made_in_the_background_is_polled_and_can_be_cancelled() {
    let mut house = House::new().await;
    house.token = house.token_for(None, Limits { requests_per_minute: Some(100), ..Limits::default() }).await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let mut steps = vec![Step::Wait(Arc::clone(&wait))];
        steps.extend(fake::answer());
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 4)])]);
    let ask = ASK.replace("\"input\"", r#""background":true,"input""#);
    let queued = house.respond(&ask).await;
    let told = ["limit", "remaining"].map(|what| queued.header(&format!("x-ratelimit-{what}-requests")).to_owned());
    assert_eq!(told, ["100", "99"]);
    let queued = queued.json();
    assert_eq!((queued["status"].as_str(), queued["background"].as_bool()), (Some("queued"), Some(true)));
    let path = format!("/v1/responses/{}", queued["id"].as_str().unwrap());
    assert_eq!(house.on(Method::GET, &path).await.json()["status"], "queued");
    gate.add_permits(1);
    let done = super::soon(async {
        loop {
            let now = house.on(Method::GET, &path).await.json();
            if now["status"] == "completed" {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(done["output"][0]["content"][0]["text"], "Hi 😀 über");
    assert_eq!(house.on(Method::POST, &format!("{path}/cancel")).await.json(), done, "what has ended stays as it is");
    let second = house.respond(&ask).await.json();
    super::until(|| engine.seen().len() == 2).await;
    let path = format!("/v1/responses/{}", second["id"].as_str().unwrap());
    assert_eq!(house.on(Method::POST, &format!("{path}/cancel")).await.json()["status"], "cancelled");
    assert_eq!(house.on(Method::GET, &path).await.json()["status"], "cancelled");
    super::until(|| house.board.in_flight() == 0).await;
    assert_eq!(house.rows("m").await.1, 1, "one was completed");
}

#[tokio::test]
async fn what_is_not_let_in_is_refused_at_once_also_in_the_background() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)]), entry("other", STREAMS, &[(&engine.endpoint, 1)])]);
    let ask = ASK.replace("\"input\"", r#""background":true,"input""#);
    house.token = house.token_for(Some(vec!["m".to_owned()]), Limits { requests_per_minute: Some(1), ..Limits::default() }).await;
    assert_eq!(house.respond(&ask.replace("\"m\"", "\"nope\"")).await.status, 404);
    assert_eq!(house.respond(&ask.replace("\"m\"", "\"other\"")).await.status, 403);
    assert_eq!(house.respond(&ask).await.json()["status"], "queued");
    let over = house.respond(&ask).await;
    assert_eq!(
        (over.status.as_u16(), over.code().as_str(), over.header("x-ratelimit-remaining-requests")),
        (429, "rate_limit_exceeded", "0")
    );
    super::until(|| house.board.in_flight() == 0 && engine.seen().len() == 1).await;
}

#[tokio::test]
async fn a_response_that_fails_says_so_however_it_was_asked_for() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 | 2 => vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()), Step::Hang],
        3 => fake::events(&[fake::ROLE, fake::HI, &fake::STOP.replace("stop", "length"), fake::USAGE, fake::DONE]),
        _ => fake::whole(
            "400 Bad Request",
            r#"{"error":{"message":"no such thing","type":"invalid_request_error","param":null,"code":"bad"}}"#,
        ),
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let stream = ASK.replace("\"input\"", r#""stream":true,"input""#);
    let broken = house.respond(&stream).await;
    let last = events(&broken.body).pop().unwrap();
    assert_eq!((last["type"].as_str(), last["response"]["status"].as_str()), (Some("response.failed"), Some("failed")), "{}", broken.body);
    assert_eq!(last["response"]["error"]["code"], "upstream_error");
    let kept = house.on(Method::GET, &format!("/v1/responses/{}", last["response"]["id"].as_str().unwrap())).await.json();
    assert_eq!(kept, last["response"]);
    assert_eq!(house.respond(ASK).await.status, 502);
    let short = events(&house.respond(&stream).await.body).pop().unwrap();
    assert_eq!(
        (short["type"].as_str(), short["response"]["incomplete_details"]["reason"].as_str()),
        (Some("response.incomplete"), Some("max_output_tokens"))
    );
    let refused = house.respond(&stream).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "bad"));
    let queued = house.respond(&ASK.replace("\"input\"", r#""background":true,"input""#)).await.json();
    let path = format!("/v1/responses/{}", queued["id"].as_str().unwrap());
    let failed = super::soon(async {
        loop {
            let now = house.on(Method::GET, &path).await.json();
            if now["status"] == "failed" {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((failed["error"]["code"].as_str(), failed["error"]["message"].as_str()), (Some("bad"), Some("no such thing")));
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_refused_before_any_engine_hears_of_them() {
    let house = House::new().await;
    house.publish([entry("m", STREAMS, &[])]);
    for (body, param) in [
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","input":"a","tools":[{"type":"web_search"}]}"#, "tools"),
        (r#"{"model":"m","input":"a","conversation":"c"}"#, "conversation"),
        (r#"{"model":"nope","input":"a"}"#, "model"),
    ] {
        let answer = house.respond(body).await;
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.body);
    }
}
