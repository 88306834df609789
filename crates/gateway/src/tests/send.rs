//! How calls reach engines: which connections they take, and when they are tried again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use base::Timestamp;
use futures_util::future::join_all;
use spec::{Affinity, Endpoint, HttpVersion, Retries};
use store::{GroupBy, UsageQuery};
use testkit::upstream::{Gate, Script, Step as Pause, Upstream};
use tokio::sync::Semaphore;

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece};
use super::until;

const BUSY: &str = r#"{"error":{"message":"too much to do","type":"overloaded_error","param":null,"code":null}}"#;

fn busy(headers: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 429 Too Many Requests\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BUSY}",
        BUSY.len()
    );
    vec![Step::Raw(head.into_bytes())]
}

/// Retries that stand in all rows.
async fn retries(house: &House) -> u64 {
    house.gateway.flush().await;
    let query = UsageQuery { from: Timestamp::from_millis(0), to: Timestamp::from_millis(i64::MAX), by: vec![GroupBy::Model], most: 100 };
    house.store.usage_sums(&query).await.unwrap().iter().map(|sum| sum.retries).sum()
}

#[tokio::test]
async fn an_outage_is_not_made_worse_by_retries() {
    let house = House::new().await;
    let engines: Vec<Fake> =
        (0..3).map(|at| Fake::unix(house.dir.path(), &format!("{at}.sock"), |_, _| fake::whole("503 Service Unavailable", BUSY))).collect();
    let members: Vec<(&Endpoint, u32)> = engines.iter().map(|engine| (&engine.endpoint, 64)).collect();
    house.publish([limited(entry("m", STREAMS, &members), |spec| spec.max_ejected = 0)]);
    for _ in 0..20 {
        let calls = join_all((0..50).map(|_| house.chat(CHAT))).await;
        assert!(calls.iter().all(|answer| answer.status == 503));
    }
    let tried: usize = engines.iter().map(|engine| engine.seen().len()).sum();
    assert!((1001..=1100).contains(&tried), "1,000 calls became {tried} tries");
}

#[tokio::test]
async fn engines_that_are_replaced_all_the_time_bring_no_fresh_retries() {
    let house = House::new().await;
    let mut tried = 0;
    for round in 0..20 {
        let engine = |at| Fake::unix(house.dir.path(), &format!("{round}-{at}.sock"), |_, _| fake::whole("503 Service Unavailable", BUSY));
        let engines = [engine(0), engine(1)];
        let members = engines.each_ref().map(|engine| (&engine.endpoint, 64));
        house.publish([limited(entry("m", STREAMS, &members), |spec| spec.max_ejected = 0)]);
        let calls = join_all((0..50).map(|_| house.chat(CHAT))).await;
        assert!(calls.iter().all(|answer| answer.status == 503));
        tried += engines.iter().map(|engine| engine.seen().len()).sum::<usize>();
    }
    assert!((1001..=1100).contains(&tried), "1,000 calls became {tried} tries");
}

#[tokio::test]
async fn what_cannot_be_connected_to_costs_no_more_retries_either() {
    let house = House::new().await;
    let gone = [Endpoint::Unix(PathBuf::from("/nonexistent/a")), Endpoint::Unix(PathBuf::from("/nonexistent/b"))];
    let members: Vec<(&Endpoint, u32)> = gone.iter().map(|endpoint| (endpoint, 64)).collect();
    house.publish([limited(entry("m", STREAMS, &members), |spec| spec.max_ejected = 0)]);
    let calls = join_all((0..200).map(|_| house.chat(CHAT))).await;
    assert!(calls.iter().all(|answer| answer.status == 502));
    let retried = retries(&house).await;
    assert!((10..=20).contains(&retried), "{retried} of 200");
}

#[tokio::test]
async fn an_instance_that_has_too_much_to_do_sends_the_call_to_another_at_once() {
    let house = House::new().await;
    let full = Fake::unix(house.dir.path(), "full.sock", |_, _| busy("Retry-After: 60\r\n"));
    let free = Fake::unix(house.dir.path(), "free.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&full.endpoint, 4), (&free.endpoint, 4)])]);
    let began = Instant::now();
    for _ in 0..6 {
        assert_eq!(house.chat(CHAT).await.status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(50), "nobody waited the minute");
    assert_eq!(free.seen().len(), 6);
}

#[tokio::test]
async fn a_server_that_says_529_is_as_busy_as_one_that_says_503() {
    const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    const MESSAGE: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let house = House::new().await;
    let full = Fake::unix(house.dir.path(), "full.sock", |_, _| fake::whole("529 Overloaded", OVERLOADED));
    let free = Fake::unix(house.dir.path(), "free.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&full.endpoint, 4), (&free.endpoint, 4)])]);
    for _ in 0..6 {
        assert_eq!(house.chat(CHAT).await.status, 200);
    }
    assert_eq!(free.seen().len(), 6);
    house.publish([limited(entry("m", STREAMS, &[(&full.endpoint, 4)]), |spec| spec.retries = Retries { attempts: 1 })]);
    let told = [house.chat(CHAT).await, house.ask(house.request("/v1/messages", MESSAGE)).await];
    assert_eq!(told.each_ref().map(|answer| (answer.status.as_u16(), answer.header("retry-after"))), [(503, "1"), (529, "1")]);
    assert!(told.iter().all(|answer| answer.body.contains("Overloaded")));
}

/// What comes of it while no time passes.
async fn at_once<T>(work: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let done = tokio::select! {
        done = work => done,
        // As long as there is something to do, a clock that stands still stands still.
        () = until(|| false) => unreachable!("the deadline lies in a time that does not come"),
    };
    tokio::time::resume();
    done
}

#[tokio::test]
async fn a_call_that_a_server_may_have_taken_is_not_sent_to_it_again() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::tcp(move |number, _| match number {
        1 => fake::answer(),
        _ => vec![Step::Wait(Arc::clone(&wait)), Step::Hang],
    })
    .await;
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    assert_eq!(house.chat(CHAT).await.status, 200);
    engine.rest().await;
    let (answer, ()) = tokio::join!(house.chat(CHAT), async {
        until(|| engine.seen().len() == 2).await;
        tokio::time::sleep(MS * 50).await; // it works on it, for longer than two who miss each other need
        gate.add_permits(1);
    });
    assert_eq!((answer.status.as_u16(), engine.seen().len(), engine.connections()), (502, 2, 1));
}

#[tokio::test]
async fn a_server_that_hung_up_just_then_is_asked_once_more_if_the_call_may_be() {
    for (attempts, status, tries, retried) in [(2, 200, 3, 1), (1, 502, 2, 0)] {
        let house = House::new().await;
        let engine = Fake::tcp(|number, _| if number == 2 { vec![Step::Hang] } else { fake::answer() }).await;
        house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.retries = Retries { attempts })]);
        assert_eq!(house.chat(CHAT).await.status, 200);
        engine.rest().await;
        assert_eq!((at_once(house.chat(CHAT)).await.status.as_u16(), engine.seen().len()), (status, tries), "with {attempts} tries");
        assert_eq!(retries(&house).await, retried);
    }
}

#[tokio::test]
async fn an_engine_of_ours_that_ended_while_a_call_came_is_asked_once_more_and_what_it_worked_on_is_given_to_nobody_else() {
    for (works, status, tries) in [(Duration::ZERO, 200, 3), (MS * 300, 502, 2)] {
        let house = House::new().await;
        let gate = Arc::new(Semaphore::new(0));
        let wait = Arc::clone(&gate);
        let engine = Fake::unix(house.dir.path(), "e.sock", move |number, _| match number {
            2 => vec![Step::Wait(Arc::clone(&wait)), Step::Hang],
            _ => fake::answer(),
        });
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        assert_eq!(house.chat(CHAT).await.status, 200);
        engine.rest().await;
        let (answer, ()) = tokio::join!(house.chat(CHAT), async {
            until(|| engine.seen().len() == 2).await;
            tokio::time::sleep(works).await;
            gate.add_permits(1);
        });
        assert_eq!((answer.status.as_u16(), engine.seen().len()), (status, tries), "after {works:?}");
    }
}

#[tokio::test]
async fn the_only_instance_is_asked_again_when_it_said() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |number, _| match number {
        1 => busy("retry-after-ms: 120\r\n"),
        _ => fake::answer(),
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let began = Instant::now();
    assert_eq!(house.chat(CHAT).await.status, 200);
    assert!(began.elapsed() >= MS * 120, "no sooner than it said");
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn a_wait_beyond_the_callers_patience_and_a_word_against_it_are_passed_on() {
    let house = House::new().await;
    let spent = BUSY.replace("null}}", r#""insufficient_quota"}}"#);
    let told = [
        (busy("Retry-After: 31\r\n"), "too much to do", ("31", "")),
        (busy("Retry-After: 0\r\nx-should-retry: false\r\n"), "too much to do", ("", "false")),
        (fake::whole("429 Too Many Requests", &spent), "insufficient_quota", ("", "false")),
    ];
    for (at, (steps, words, headers)) in told.into_iter().enumerate() {
        let engine = Fake::unix(house.dir.path(), &format!("{at}.sock"), move |_, _| steps.clone());
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        let answer = house.chat(CHAT).await;
        assert_eq!((answer.status.as_u16(), engine.seen().len()), (429, 1), "case {at}");
        assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), headers, "case {at}");
        assert!(answer.body.contains(words), "case {at}: {}", answer.body);
    }
    let engine = Fake::unix(house.dir.path(), "once.sock", |_, _| busy("Retry-After: 0\r\n"));
    house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.retries = Retries { attempts: 1 })]);
    assert_eq!((house.chat(CHAT).await.status.as_u16(), engine.seen().len()), (429, 1), "a deployment without retries");
}

#[tokio::test]
async fn http2_carries_many_calls_on_few_connections() {
    let house = House::new().await;
    let (upstream, gate) = (Upstream::open().await.unwrap(), Gate::new());
    let held = gate.clone();
    upstream.plays_with("m", move |_| Script::stream().then(Pause::Wait(held.clone())).event(fake::HI).event(fake::STOP).event(fake::DONE));
    let endpoint = Endpoint::Url(upstream.url());
    house.publish([limited(entry("m", ALL, &[(&endpoint, 1000)]), |spec| spec.http_version = Some(HttpVersion::Http2))]);
    let calls = join_all((0..250).map(|_| house.chat(STREAM)));
    let open = async {
        until(|| upstream.asks_of("m").len() == 250).await;
        (0..250).for_each(|_| gate.open());
    };
    let (answers, ()) = tokio::join!(calls, open);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body.ends_with("[DONE]\n\n")));
    assert!(upstream.asks_of("m").iter().all(|ask| ask.http == 2));
    assert_eq!(upstream.connections(), 3, "100 calls on each at most");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_of_http2_ends_it_upstream_and_no_other() {
    let house = House::new().await;
    let (upstream, gate) = (Upstream::open().await.unwrap(), Gate::new());
    let held = gate.clone();
    upstream.plays_with("m", move |_| Script::stream().event(fake::HI).then(Pause::Wait(held.clone())).event(fake::STOP).event(fake::DONE));
    let endpoint = Endpoint::Url(upstream.url());
    house.publish([limited(entry("m", ALL, &[(&endpoint, 2)]), |spec| spec.http_version = Some(HttpVersion::Http2))]);
    let mut leaves = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut leaves).await.unwrap();
    let mut stays = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    piece(&mut stays).await.unwrap();
    drop(leaves);
    assert_eq!(house.board.in_flight(), 1, "the slot is back");
    until(|| upstream.asks_of("m").iter().any(|ask| ask.left.is_some())).await;
    gate.open();
    let mut rest = Vec::new();
    while let Some(bytes) = piece(&mut stays).await {
        rest.extend_from_slice(&bytes);
    }
    assert!(rest.ends_with(b"[DONE]\n\n"));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn one_of_eight_instances_that_answers_nothing_holds_up_few_calls() {
    const CALLS: usize = 240;
    const AT_ONCE: usize = 32;
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let slow = Fake::unix(house.dir.path(), "slow.sock", move |_, _| [vec![Step::Wait(Arc::clone(&wait))], fake::answer()].concat());
    let quick: Vec<Fake> = (0..7).map(|at| Fake::unix(house.dir.path(), &format!("{at}.sock"), |_, _| fake::answer())).collect();
    let members: Vec<(&Endpoint, u32)> = quick.iter().chain([&slow]).map(|engine| (&engine.endpoint, 64)).collect();
    house.publish([limited(entry("m", STREAMS, &members), |spec| spec.affinity = Affinity::None)]);
    let (left, done) = (AtomicUsize::new(CALLS), AtomicUsize::new(0));
    let client = || async {
        while left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            assert_eq!(house.chat(CHAT).await.status, 200);
            done.fetch_add(1, SeqCst);
        }
    };
    let clients = join_all((0..AT_ONCE).map(|_| client()));
    let served = async {
        // All are through but those that lie with the slow one: it has not got every client in the end.
        until(|| done.load(SeqCst) == CALLS - slow.seen().len()).await;
        let held = slow.seen().len();
        gate.add_permits(CALLS);
        held
    };
    let (_, held) = tokio::join!(clients, served);
    assert!((1..AT_ONCE / 2).contains(&held), "{held} of {CALLS} calls waited for it, with {AT_ONCE} at once on eight");
    assert_eq!((done.load(SeqCst), house.board.in_flight()), (CALLS, 0));
}
