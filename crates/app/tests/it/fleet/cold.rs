//! Many callers on a model that is not loaded.

use std::time::{Duration, Instant};

use base::tasks;
use futures_util::future::join_all;

use super::depot::{Depot, Heard, ask, call, hear, model, order};
use crate::client::Client;
use crate::stage::{PATIENCE, number, until};

/// The first byte of a stream, however long the load takes.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Callers are slower by so much where there is more to do for each.
const BUSY: u32 = 4;

/// A stream: when its first byte came, and what it said.
async fn stream(client: &Client, model: &str) -> (Duration, Heard) {
    let begun = Instant::now();
    let mut stream = client.stream("/v1/chat/completions", &call(model, true)).await;
    assert_eq!(stream.status, 200);
    let mut text = stream.piece().await.expect("a first byte");
    let first = begun.elapsed();
    while let Some(piece) = stream.piece().await {
        text.push_str(&piece);
    }
    (first, heard(&text))
}

fn heard(text: &str) -> Heard {
    let mut heard = Heard::default();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).for_each(|event| heard.take(event));
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_of_a_model_at_zero_start_it_once_and_none_is_lost() {
    let callers = usize::try_from(number("PENSTOCK_TEST_COLD_CALLERS", 1_000)).expect("a number");
    let depot = Depot::with_room_for(5);
    let cold = model("m").with("parallel: 4").with("max_queue: 100000").does("LOAD", "2s").does("TOKENS", 3);
    let (house, client) = depot.house(&[cold]).await;
    // What a machine that is busy takes for as many callers who need no model.
    let begun = Instant::now();
    join_all((0..callers).map(|_| client.get("/v1/models"))).await;
    let usual = begun.elapsed();
    let streams = join_all((0..callers / 2).map(|_| stream(&client, "m")));
    let wholes = join_all((0..callers / 2).map(|_| ask(&client, "m")));
    let (streams, wholes) = tokio::join!(streams, wholes);
    assert!(wholes.into_iter().all(|reply| reply.said() == "m 1 2"));
    let lost: Vec<_> = streams.iter().filter(|(_, heard)| !heard.is_whole("m", 3)).take(3).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let mut firsts: Vec<Duration> = streams.iter().map(|(first, _)| *first).collect();
    firsts.sort_unstable();
    let last = firsts[firsts.len() - 1];
    println!("{callers} callers; first byte of a stream: median {:?}, last {last:?}; {usual:?} without a model", firsts[firsts.len() / 2]);
    assert!(last < FIRST_BYTE + BUSY * usual, "{last:?}");
    assert_eq!((depot.begun("m"), house.fleet().counters.loads), (1, 1));
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_of_a_thousand_has_its_first_byte_before_the_engine_is_let_to_become_ready() {
    let callers = usize::try_from(number("PENSTOCK_TEST_COLD_CALLERS", 1_000)).expect("a number");
    let depot = Depot::with_room_for(5);
    let gate = depot.stage.folder().join("gate");
    let held = model("m").with("parallel: 4").with("max_queue: 100000").does("LOAD_GATE", gate.display()).does("TOKENS", 3);
    let (house, client) = depot.house(&[held]).await;
    let began = Instant::now();
    let firsts = join_all((0..callers).map(async |_| {
        let begun = Instant::now();
        let mut stream = client.stream("/v1/chat/completions", &call("m", true)).await;
        assert_eq!(stream.status, 200);
        let text = stream.piece().await.expect("a first byte");
        (begun.elapsed(), stream, text)
    }));
    let firsts = tokio::time::timeout(PATIENCE, firsts).await.expect("all have their first byte while nothing can serve them");
    assert!(firsts.iter().all(|(_, _, text)| text.starts_with(':')), "a comment");
    let mut times: Vec<Duration> = firsts.iter().map(|(first, ..)| *first).collect();
    times.sort_unstable();
    println!(
        "{callers} streams, all with a first byte after {:?}: median {:?}, last {:?}",
        began.elapsed(),
        times[callers / 2],
        times[callers - 1]
    );
    assert_eq!((depot.begun("m"), house.fleet().counters.loads), (1, 0), "one start, which is not done");
    std::fs::write(&gate, "").expect("the gate");
    let whole = join_all(firsts.into_iter().map(async |(_, mut stream, mut text)| {
        while let Some(piece) = stream.piece().await {
            text.push_str(&piece);
        }
        heard(&text).is_whole("m", 3)
    }));
    assert!(whole.await.into_iter().all(|whole| whole), "none is lost");
    assert_eq!((depot.begun("m"), house.fleet().counters.loads), (1, 1));
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_waits_for_a_load_has_its_first_byte_within_half_a_second() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").does("LOAD", "1500ms")]).await;
    let (first, heard) = stream(&client, "m").await;
    assert!(first <= FIRST_BYTE, "{first:?}");
    assert!(heard.is_whole("m", 8), "{heard:?}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_stops_nothing() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").does("LOAD", "1s")]).await;
    let leaving = {
        let client = client.clone();
        tasks::spawn("leaves", async move { drop(hear(&client, "m").await) })
    };
    until("it loads", async || (depot.begun("m") == 1).then_some(())).await;
    drop(leaving); // with its connection
    let stays = ask(&client, "m").await;
    assert_eq!(stays.said(), "m 1 2 3 4 5 6 7");
    assert_eq!(depot.begun("m"), 1, "the load that the first caller began served the second");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_stream_is_told_how_far_the_load_is_when_its_patience_ends() {
    let depot = Depot::with_room_for(1);
    // It shows progress, so the load goes on when the caller's patience has ended.
    let slow = model("m").with("timeouts: { start: 1s }").does("LOAD", "3s").does("LOAD_LINES", 60);
    let (house, client) = depot.house(&[slow]).await;
    let reply = ask(&client, "m").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    let said = reply.json();
    let loading = if said["loading"].is_null() { &said["error"]["loading"] } else { &said["loading"] };
    assert_eq!(loading["state"], "loading", "{said}");
    assert!(!reply.header("retry-after").is_empty());
    let served = until("it is up", async || Some(ask(&client, "m").await).filter(|reply| reply.status == 200)).await;
    assert_eq!(served.said(), "m 1 2 3 4 5 6 7");
    assert_eq!(depot.begun("m"), 1);
    // How long it takes is known by now.
    order(&client, "m", "unload").await;
    depot.is_empty("it was unloaded").await;
    let reply = ask(&client, "m").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    let loading = reply.json()["error"]["loading"].clone();
    assert!(loading["progress"].as_f64().is_some_and(|part| 0.0 < part && part < 1.0), "{loading}");
    assert!(loading["eta_seconds"].is_u64(), "{loading}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_holds_five_hundred_and_twelve_callers_where_nothing_else_is_said() {
    const LINE: usize = 512;
    const MORE: usize = 8;
    let depot = Depot::with_room_for(5);
    let gate = depot.stage.folder().join("gate");
    let (house, client) = depot.house(&[model("m").with("parallel: 4").does("LOAD_GATE", gate.display()).does("TOKENS", 3)]).await;
    let streams = join_all((0..LINE + MORE).map(async |_| client.stream("/v1/chat/completions", &call("m", true)).await)).await;
    let refused: Vec<u16> = streams.iter().map(|stream| stream.status).filter(|status| *status != 200).collect();
    assert_eq!(refused, [429; MORE]);
    std::fs::write(&gate, "").expect("the gate");
    let whole = join_all(streams.into_iter().filter(|stream| stream.status == 200).map(async |mut stream| {
        let mut text = String::new();
        while let Some(piece) = stream.piece().await {
            text.push_str(&piece);
        }
        heard(&text).is_whole("m", 3)
    }));
    assert!(whole.await.into_iter().all(|whole| whole), "none of those who were let in is lost");
    depot.close(house).await;
}
