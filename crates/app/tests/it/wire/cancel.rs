//! Section 1, cancel: a client that goes away costs nothing more, wherever it was.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::upstream::{Script, Step};

use super::{AT_ONCE, CHAT, Door, HI, ROLE, chat, soon, soon_is};
use crate::client::{Client, Stream};

/// Out of so many the middle one counts: a test machine is busy with other things too.
const ROUNDS: usize = 5;
/// And of so many such measures the best one.
const MEASURES: usize = 8;

/// Leaves when the engine has got the call and `ready` is so; gives back how long until the engine saw it.
async fn left(door: &Door, client: &Client, body: &str, ready: impl AsyncFn(&Client, &str) -> Option<Stream>) -> Duration {
    let before = door.upstream.asks().len();
    let held = ready(client, body).await;
    let asking = held.is_none().then(|| {
        let (client, body) = (client.clone(), body.to_owned());
        base::tasks::spawn("asks", async move { drop(client.stream_with(CHAT, &[], body).await.text().await) })
    });
    soon(door.upstream.saw(|asks| asks.len() > before)).await;
    // The head and what follows it are on their way to the house now; give it the time to take them.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let gone = Instant::now();
    drop((held, asking));
    soon(door.upstream.saw(|asks| asks[before].left.is_some())).await;
    door.upstream.asks()[before].left.expect("left").saturating_duration_since(gone)
}

/// The middle of some rounds is at once, whatever else the machine does; how many rounds it took.
async fn at_once(mut round: impl AsyncFnMut() -> Duration) -> usize {
    let mut all = Vec::new();
    for measure in 1..=MEASURES {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            took.push(round().await);
        }
        took.sort();
        if took[ROUNDS / 2] <= AT_ONCE {
            return measure * ROUNDS;
        }
        all.push(took);
    }
    panic!("the engine heard of it after {all:?}");
}

/// With a token that has one place: it must come back each time.
async fn promptly(door: &Door, more: &str, ready: impl AsyncFn(&Client, &str) -> Option<Stream>) {
    let limits = json!({"concurrency": 1, "tokens_per_minute": 10_000});
    let client = door.with_token(json!({"name": "one", "limits": limits})).await;
    let rounds = at_once(async || {
        // Two of these would be more than the limit, so that what is set aside must come back too.
        let took = left(door, &client, &chat("m", &format!(r#"{more},"max_tokens":6000"#)), &ready).await;
        soon_is("its place is free", async || in_flight(door).await == 0).await;
        took
    })
    .await;
    let cancelled = || async {
        let calls = door.client.get("/api/v1/usage/calls").await.json();
        calls["items"].as_array().expect("a list").iter().filter(|call| call["ending"] == "cancelled").count()
    };
    soon_is("each has its row", async || cancelled().await == rounds).await;
    door.upstream.plays("m", Script::json(200, super::whole("m").to_string()));
    let reply = client.ask_with(hyper::Method::POST, CHAT, &[], chat("m", "")).await;
    assert_eq!(reply.status, 200, "the permit came back: {}", reply.text);
}

async fn in_flight(door: &Door) -> u64 {
    let status = door.client.get("/status").await.json();
    status["instances"].as_array().expect("a list").iter().filter_map(|one| one["inflight"].as_u64()).sum()
}

const KINDS: [&str; 2] = ["", r#","stream":true"#];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_engine_sent_its_headers() {
    for more in KINDS {
        let door = Door::open().await;
        door.upstream.plays("m", Script::silent().then(Step::Silence));
        promptly(&door, more, async |_, _| None).await;
        door.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_first_token() {
    for more in KINDS {
        let door = Door::open().await;
        door.upstream.plays("m", Script::stream().then(Step::Silence));
        promptly(&door, more, async |_, _| None).await;
        door.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_mid_stream() {
    for script in [
        Script::events([ROLE, HI]).then(Step::Silence),
        Script::events([ROLE]).then(Step::Forever(format!("data: {HI}\n\n").into(), Duration::from_millis(1))),
    ] {
        let door = Door::open().await;
        door.upstream.plays("m", script);
        promptly(&door, KINDS[1], async |client, body| {
            let mut stream = client.stream_with(CHAT, &[], body.to_owned()).await;
            // Not the first one alone, which has no word in it.
            let heard = [soon(stream.next()).await, soon(stream.next()).await];
            assert!(heard.iter().all(Option::is_some), "{heard:?}");
            Some(stream)
        })
        .await;
        let calls = door.client.get("/api/v1/usage/calls").await.json();
        for call in calls["items"].as_array().expect("a list").iter().filter(|call| call["ending"] == "cancelled") {
            assert!(call["completion_tokens"].as_u64().is_some_and(|count| count > 0), "with what was made: {call}");
        }
        door.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_a_whole_answer() {
    let door = Door::open().await;
    door.upstream.plays("m", Script::json(200, "{\"id\":").promising(1000).then(Step::Silence));
    promptly(&door, KINDS[0], async |_, _| None).await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_the_line_was_never_there() {
    let door = Door::of(&[("m", "parallel: 1")]).await;
    door.upstream.plays("m", Script::silent().then(Step::Silence));
    let ask = |client: &Client| {
        let client = client.clone();
        base::tasks::spawn("asks", async move { drop(client.stream_with(CHAT, &[], chat("m", KINDS[1])).await.text().await) })
    };
    let queue = async || door.client.get("/status").await.json()["instances"][0]["queue_len"].as_u64().expect("a number");
    let running = ask(&door.client);
    soon(door.upstream.saw(|asks| asks.len() == 1)).await;
    let one = door.with_token(json!({"name": "one", "limits": {"concurrency": 1}})).await;
    for _ in 0..ROUNDS {
        let waiting = ask(&one);
        soon_is("it waits", async || queue().await == 1).await;
        drop(waiting);
        soon_is("it has left the line", async || queue().await == 0).await;
    }
    door.upstream.plays("m", Script::json(200, super::whole("m").to_string()));
    drop(running);
    let reply = soon(one.ask_with(hyper::Method::POST, CHAT, &[], chat("m", ""))).await;
    assert_eq!(reply.status, 200, "both places are free: {}", reply.text);
    assert_eq!(door.upstream.asks().len(), 2, "the engine never heard of those in between");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_an_ndjson_call() {
    let door = Door::with("default_model: m\n", &[("m", "")]).await;
    let piece = r#"{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}"#;
    door.upstream.plays("m", Script::stream().then(Step::Forever(format!("data: {piece}\n\n").into(), Duration::from_millis(1))));
    at_once(async || {
        let round = door.upstream.asks().len();
        let mut stream = door.client.stream_with("/infer", &[], r#"{"prompt":"Hi"}"#).await;
        assert!(soon(stream.piece()).await.is_some());
        let gone = Instant::now();
        drop(stream);
        soon(door.upstream.saw(|asks| asks[round].left.is_some())).await;
        door.upstream.asks()[round].left.expect("left").saturating_duration_since(gone)
    })
    .await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_has_its_row_whatever_the_manner_in_which_it_asked() {
    let door = Door::open().await;
    let piece = r#"{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}"#;
    door.upstream.plays_with("m", move |ask| {
        let events = if ask.path.ends_with("/chat/completions") { [ROLE, HI] } else { [piece, piece] };
        Script::events(events).then(Step::Silence)
    });
    let asks = [
        ("/infer", r#"{"model":"m","prompt":"Hi"}"#, "infer", r#""a""#),
        ("/v1/messages", r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}"#, "messages", "Hi"),
        ("/api/chat", r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#, "chat", "Hi"),
    ];
    for (round, (path, body, operation, word)) in asks.into_iter().enumerate() {
        let mut stream = soon(door.client.stream_with(path, &[], body)).await;
        assert_eq!(stream.status, 200, "{path}");
        // Until a word has come, what was made may still be nothing.
        let mut heard = String::new();
        while !heard.contains(word) {
            heard.push_str(&soon(stream.piece()).await.unwrap_or_else(|| panic!("{path} ended: {heard}")));
        }
        drop(stream);
        soon(door.upstream.saw(|asks| asks.get(round).is_some_and(|ask| ask.left.is_some()))).await;
        soon_is("it has its row", async || {
            let calls = door.client.get("/api/v1/usage/calls").await.json();
            let rows = calls["items"].as_array().expect("a list");
            let of_it = rows.iter().find(|row| row["operation"] == operation);
            of_it.is_some_and(|row| row["ending"] == "cancelled" && row["status"] == 200 && row["completion_tokens"].as_u64() > Some(0))
        })
        .await;
    }
    door.close().await;
}
