//! What goes wrong is said, costs nothing and leaks nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use base::tasks;
use spec::{Endpoint, Retries};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece};
use super::until;

fn never_ends() -> Vec<Step> {
    vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\ndata: {}\n\n", fake::ROLE, fake::HI).into_bytes()), Step::AwaitClose]
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_ends_it_upstream_and_gives_everything_back() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| never_ends());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut times = Vec::new();
    for round in 1..=11 {
        let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
        piece(&mut body).await.unwrap();
        let left = Instant::now();
        drop(body);
        assert_eq!(house.board.in_flight(), 0, "the slot is back before the drop returns");
        engine.closed(round).await;
        times.push(left.elapsed());
    }
    times.sort();
    assert!(times[times.len() / 2] < MS * 50, "half of the engines heard of it within 50 ms: {times:?}");
    let (calls, completed, prompt, completion) = house.rows("m").await;
    assert_eq!((calls, completed, completion), (11, 0, 11), "one row for each call, with what was made");
    assert!(prompt > 0);
    assert!((house.metric(&["gen_ai_server_request_duration_seconds_count", r#"error_type="cancelled""#]).await - 11.0).abs() < 0.5);
    assert!(house.metric(&["penstock_in_flight"]).await.abs() < 0.5);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_reply_is_folded_ends_it_upstream() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| never_ends());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let router = house.router.clone();
    let request = house.request("/v1/chat/completions", CHAT);
    let call = tasks::spawn("client", async move { drop(tower::ServiceExt::oneshot(router, request).await) });
    until(|| engine.seen().len() == 1).await;
    drop(call);
    engine.closed(1).await;
    until(|| house.board.in_flight() == 0).await;
    assert_eq!(house.rows("m").await.1, 0);
    assert!((house.metric(&["penstock_cancel_seconds_count"]).await - 1.0).abs() < 0.5, "it was seen to have left");
}

#[tokio::test]
async fn a_client_that_leaves_over_a_real_connection_ends_it_upstream() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| never_ends());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = house.router.clone();
    let _server = tasks::spawn("server", async move { axum::serve(listener, router).await.unwrap() });
    for (round, body) in [STREAM, CHAT].into_iter().enumerate() {
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            house.token,
            body.len()
        );
        client.write_all((head + body).as_bytes()).await.unwrap();
        until(|| engine.seen().len() == round + 1).await;
        if body == STREAM {
            client.read_u8().await.unwrap();
        }
        drop(client);
        engine.closed(round + 1).await;
        until(|| house.board.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn a_call_that_an_engine_of_ours_ended_without_reading_is_made_once_more() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    let (front, behind) = (house.dir.path().join("d.sock"), house.dir.path().join("e.sock"));
    let listener = tokio::net::UnixListener::bind(&front).unwrap();
    let _door = tasks::spawn("door", async move {
        let (unread, _) = listener.accept().await.unwrap();
        unread.readable().await.unwrap();
        drop(unread);
        let (mut read, _) = listener.accept().await.unwrap();
        let mut engine = tokio::net::UnixStream::connect(behind).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut read, &mut engine).await); // either side may hang up first
    });
    house.publish([entry("m", STREAMS, &[(&Endpoint::Unix(front), 1)])]);
    assert_eq!(house.chat(CHAT).await.status, 200);
    assert_eq!(engine.seen().len(), 1);
    assert_eq!(house.rows("m").await.0, 1);
}

#[tokio::test]
async fn a_call_whose_engine_is_gone_waits_for_the_one_that_comes_in_its_place() {
    let house = House::new().await;
    let gone = Endpoint::Unix(house.dir.path().join("gone.sock"));
    house.publish([entry("m", STREAMS, &[(&gone, 1)])]);
    tokio::time::pause();
    let waits = house.chat(CHAT);
    let comes = async {
        tokio::time::sleep(MS * 1000).await; // longer than the tries of a call take, none of which waits for anything but the clock
        tokio::time::resume();
        let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        engine
    };
    let (answer, engine) = tokio::join!(waits, comes);
    assert_eq!((answer.status.as_u16(), engine.seen().len()), (200, 1));
}

#[tokio::test]
async fn a_client_that_leaves_the_line_leaves_no_trace_in_it() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| never_ends());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut holder = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut holder).await.unwrap();
    let (router, request) = (house.router.clone(), house.request("/v1/chat/completions", CHAT));
    let waiter = tasks::spawn("client", async move { drop(tower::ServiceExt::oneshot(router, request).await) });
    until(|| house.board.demand()[0].waiting == 1).await;
    drop(waiter);
    until(|| house.board.demand()[0].waiting == 0).await;
    assert_eq!(house.rows("m").await, (1, 0, 0, 0), "a row for who waited; who is served has none yet");
    assert!((house.metric(&["penstock_cancel_seconds_count"]).await - 1.0).abs() < 0.5, "it was seen to have left");
    assert_eq!(engine.seen().len(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_error_event_and_no_done() {
    let house = House::new().await;
    for (at, last) in [Step::Hang, Step::End].into_iter().enumerate() {
        let engine = Fake::unix(house.dir.path(), &format!("e{at}.sock"), move |_, _| {
            let mut steps = never_ends();
            steps.pop();
            steps.push(last.clone());
            steps.push(Step::Hang);
            steps
        });
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        let answer = house.chat(STREAM).await;
        assert_eq!(answer.status, 200);
        let events: Vec<&str> = answer.body.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.len(), 3, "{events:#?}");
        let error: serde_json::Value = serde_json::from_str(events[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "upstream_error");
        let folded = house.chat(CHAT).await;
        assert_eq!((folded.status.as_u16(), folded.code().as_str()), (502, "upstream_error"));
    }
    assert_eq!(house.rows("m").await.1, 0);
    assert!(house.metric(&["duration_seconds_count", r#"error_type="upstream_error""#]).await > 3.5);
}

#[tokio::test]
async fn an_error_before_the_first_event_is_a_real_status() {
    let house = House::new().await;
    let event = r#"{"error":{"message":"no such sampler","type":"invalid_request_error","param":null,"code":null}}"#;
    let cases: Vec<(Vec<Step>, u16, &str)> = vec![
        (fake::events(&[event]), 502, "no such sampler"),
        (fake::whole("400 Bad Request", event), 400, "no such sampler"),
        (fake::whole("500 Internal Server Error", "<html>"), 502, "did not explain"),
        (
            fake::whole("401 Unauthorized", r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#),
            502,
            "key",
        ),
        (
            fake::whole("503 Service Unavailable", r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#),
            503,
            "Loading",
        ),
        (fake::events(&[]), 502, "ended before"),
        (vec![Step::Raw(b"SSH-2.0-surprise\r\n\r\n".to_vec()), Step::Hang], 502, "connection"),
        (vec![Step::Hang], 502, "connection"),
        (fake::whole("200 OK", "not json"), 502, "ended before"),
    ];
    for (at, (steps, status, words)) in cases.into_iter().enumerate() {
        let engine = Fake::unix(house.dir.path(), &format!("e{at}.sock"), move |_, _| steps.clone());
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        for body in [STREAM, CHAT] {
            let answer = house.chat(body).await;
            assert_eq!(answer.status.as_u16(), status, "case {at}: {}", answer.body);
            assert!(
                answer.body.contains(words) && wire::openai::error::is_openai_error(answer.body.as_bytes()),
                "case {at}: {}",
                answer.body
            );
        }
        assert_eq!(house.board.in_flight(), 0);
    }
}

#[tokio::test]
async fn each_time_limit_ends_the_call_with_its_own_words() {
    let house = House::new().await;
    let silent = Fake::unix(house.dir.path(), "silent.sock", |_, _| vec![Step::AwaitClose]);
    let stuck = Fake::unix(house.dir.path(), "stuck.sock", |_, _| never_ends());
    let slow = entry("m", STREAMS, &[(&silent.endpoint, 1)]);
    house.publish([limited(slow.clone(), |spec| spec.timeouts.first_token = MS * 30)]);
    for body in [STREAM, CHAT] {
        let answer = house.chat(body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_timeout"));
        assert!(answer.body.contains("timeouts.first_token"));
    }
    silent.closed(2).await;
    house.publish([limited(slow, |spec| spec.timeouts.total = MS * 30)]);
    assert!(house.chat(CHAT).await.body.contains("timeouts.total"));
    let stalls = entry("m", STREAMS, &[(&stuck.endpoint, 1)]);
    for words in ["timeouts.idle", "timeouts.total"] {
        house.publish([limited(stalls.clone(), |spec| {
            let limit = if words == "timeouts.idle" { &mut spec.timeouts.idle } else { &mut spec.timeouts.total };
            *limit = MS * 500; // the head and what follows it are there long before
        })]);
        let streamed = house.chat(STREAM).await;
        assert_eq!(streamed.status, 200);
        assert!(streamed.body.contains(words) && !streamed.body.contains("[DONE]"), "{}", streamed.body);
        let folded = house.chat(CHAT).await;
        assert_eq!(folded.status, 504);
        assert!(folded.body.contains(words), "{}", folded.body);
    }
    assert_eq!(house.board.in_flight(), 0);
}

#[tokio::test]
async fn a_connection_that_is_not_taken_in_time_ends_the_call_with_the_words_of_its_own_limit() {
    let house = House::new().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Whoever comes when the backlog is full is kept waiting by the kernel.
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(MS * 300, TcpStream::connect(address)).await {
        held.push(stream.unwrap());
        assert!(held.len() < 64, "it is never full");
    }
    let endpoint = Endpoint::Url(format!("http://{address}/v1"));
    house.publish([limited(entry("m", ALL, &[(&endpoint, 1)]), |spec| {
        spec.timeouts.connect = MS * 50;
        spec.retries = Retries { attempts: 1 };
    })]);
    let answer = house.chat(CHAT).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (504, "upstream_timeout"), "{}", answer.body);
    assert!(answer.body.contains("timeouts.connect"), "{}", answer.body);
    assert_eq!(house.board.in_flight(), 0);
    drop((held, listener));
}

#[tokio::test]
async fn a_member_that_cannot_be_reached_is_reported_and_another_asked() {
    const CALLS: u64 = 24; // the dice send some of so many to either
    let house = House::new().await;
    let gone = Endpoint::Unix(PathBuf::from("/nonexistent/e.sock"));
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&gone, 1), (&engine.endpoint, 1)])]);
    for _ in 0..CALLS {
        assert_eq!(house.chat(CHAT).await.status, 200);
    }
    assert_eq!(engine.seen().len() as u64, CALLS);
    assert_eq!(house.board.take_suspects().iter().map(ToString::to_string).collect::<Vec<_>>(), ["m-0"]);
    house.publish([entry("m", STREAMS, &[(&gone, 1)])]);
    let answer = house.chat(CHAT).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "upstream_error"));
    let (calls, completed, prompt, completion) = house.rows("m").await;
    assert_eq!((calls, completed, completion), (CALLS + 1, CALLS, CALLS * 3));
    assert_eq!(prompt, CALLS * 7, "nobody has read the last");
}

#[tokio::test]
async fn nothing_is_sent_twice_once_an_engine_may_have_begun() {
    let house = House::new().await;
    let cut = vec![fake::sse_head(), Step::Hang];
    let cuts = cut.clone();
    let a = Fake::unix(house.dir.path(), "a.sock", move |_, _| cuts.clone());
    let b = Fake::unix(house.dir.path(), "b.sock", move |_, _| cut.clone());
    house.publish([entry("m", STREAMS, &[(&a.endpoint, 1), (&b.endpoint, 1)])]);
    assert_eq!(house.chat(CHAT).await.status, 502);
    assert_eq!(a.seen().len() + b.seen().len(), 1);
    let hang = Fake::unix(house.dir.path(), "c.sock", |_, _| vec![Step::Hang]);
    house.publish([entry("m", STREAMS, &[(&hang.endpoint, 1), (&b.endpoint, 1)])]);
    let before = b.seen().len();
    assert_eq!(house.chat(CHAT).await.status, 502);
    assert_eq!(hang.seen().len() + b.seen().len(), before + 1, "a fresh connection that dies has perhaps done something");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_replaced_unseen() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| {
        let mut steps = fake::answer();
        if number == 1 {
            steps.push(Step::Hang);
        }
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    for _ in 0..3 {
        assert_eq!(house.chat(CHAT).await.status, 200);
        engine.rest().await;
    }
    assert_eq!(engine.connections(), 2);
}

#[tokio::test]
async fn one_that_is_published_anew_keeps_its_connection_and_one_that_is_gone_does_not() {
    const ROUNDS: usize = 20;
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 => fake::answer(),
        _ => [fake::answer(), vec![Step::AwaitClose]].concat(),
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    assert_eq!(house.chat(CHAT).await.status, 200);
    engine.rest().await;
    // Another member to the board, the same instance.
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 2)])]);
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await; // whoever follows the board has its turn
    }
    assert_eq!((house.chat(CHAT).await.status.as_u16(), engine.connections()), (200, 1));
    house.publish([]);
    engine.closed(1).await;
}

#[tokio::test]
async fn a_reused_connection_that_dies_is_replaced_by_one_fresh_one_and_never_once_it_has_answered() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let silent = Fake::tcp(move |number, _| match number {
        1 | 2 => [vec![Step::Wait(Arc::clone(&wait))], fake::answer()].concat(),
        _ => vec![Step::Hang],
    })
    .await;
    house.publish([entry("m", STREAMS, &[(&silent.endpoint, 2)])]);
    let (first, second, ()) = tokio::join!(house.chat(CHAT), house.chat(CHAT), async {
        until(|| silent.seen().len() == 2).await;
        gate.add_permits(2);
    });
    assert_eq!((first.status.as_u16(), second.status.as_u16(), silent.connections()), (200, 200, 2), "two are idle now");
    silent.rest().await;
    assert_eq!(house.chat(CHAT).await.status, 502);
    let tries = silent.seen().len() - 2;
    assert!(tries <= 2, "over an idle one and over a fresh one, not over all that are idle: {tries}");
    for (at, begun) in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 2"].into_iter().enumerate() {
        let engine = Fake::unix(house.dir.path(), &format!("{at}.sock"), move |number, _| match number {
            1 => fake::answer(),
            _ => vec![Step::Raw(begun.into()), Step::Hang],
        });
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        assert_eq!(house.chat(CHAT).await.status, 200);
        engine.rest().await;
        assert_eq!((house.chat(CHAT).await.status.as_u16(), engine.seen().len()), (502, 2), "it had begun to answer with {begun:?}");
    }
}

#[tokio::test]
async fn a_reply_to_nobody_does_not_hold_the_next() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |number, _| {
        let mut steps = fake::answer();
        if number == 1 {
            steps.insert(2, Step::Wait(Arc::clone(&wait)));
        }
        steps
    });
    house.publish([entry("m", ALL, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut body).await.unwrap();
    drop(body);
    assert_eq!(house.chat(STREAM).await.status, 200, "on a connection of its own");
    gate.add_permits(1);
    assert_eq!(engine.connections(), 2);
}
