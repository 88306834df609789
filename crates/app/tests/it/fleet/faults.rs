//! Each way in which an engine can misbehave, as its callers and operators see it.

use std::time::{Duration, Instant};

use base::{ByteSize, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::depot::{Depot, ONE, ask, hear, model, order, reason, until_reason};
use super::processes;
use crate::stage::{until, within};

/// Long enough for a machine that is busy, and shorter than any limit that is not meant.
const SOON: Duration = Duration::from_secs(10);

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_hangs_is_given_up_and_one_that_only_takes_long_is_not() {
    let depot = Depot::with_room_for(2);
    let limit = "timeouts: { start: 1s }";
    let hangs = model("hangs").with(limit).does("LOAD", "100ms").does("HANG_LOADING", 0.5);
    let slow = model("slow").with(limit).does("LOAD", "3s").does("LOAD_LINES", 30);
    let (house, client) = depot.house(&[hangs, slow]).await;
    order(&client, "slow", "load").await;
    let begun = Instant::now();
    let reply = ask(&client, "hangs").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert!(begun.elapsed() < SOON);
    let why = until_reason(&client, "hangs", "start_timeout").await;
    assert!(text(&why["message"]).contains("no sign of progress for 1s"), "{why}");
    // Three times the limit, with a line in the log every tenth of a second.
    until("it is ready", async || (reason(&client, "slow").await == Value::Null).then_some(())).await;
    assert!(begun.elapsed() > Duration::from_secs(2), "it really took long: {:?}", begun.elapsed());
    assert_eq!(depot.begun("slow"), 1);
    until("its memory is back", async || (depot.book().holds.len() == 3).then_some(())).await;
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_crashes_while_it_loads_says_why_and_is_not_started_in_a_busy_loop() {
    let depot = Depot::with_room_for(1);
    let crashes = model("m").does("CRASH_LOADING", 0.3).does("CRASH", 134);
    let (house, client) = depot.house(&[crashes]).await;
    let reply = ask(&client, "m").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    let said = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("status 134") && said.contains("told to end"), "{said}");
    assert_eq!(reason(&client, "m").await["code"], "engine_rejected");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let reply = ask(&client, "m").await;
        assert!(matches!(reply.status, 503), "{}", reply.text);
    }
    assert!(depot.begun("m") <= 4, "{} starts in two seconds", depot.begun("m"));
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_crashed_once_serves_the_next_caller() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").does("CRASH_LOADING", 0.3).does("FAULTY_LIVES", 1)]).await;
    assert_eq!(ask(&client, "m").await.status, 503);
    let reply = until("it is tried again", async || Some(ask(&client, "m").await).filter(|reply| reply.status == 200)).await;
    assert_eq!(reply.said(), "m 1 2 3 4 5 6 7");
    assert_eq!(depot.begun("m"), 2);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_engine_crashes_ends_with_an_error_and_the_next_one_is_whole() {
    let depot = Depot::with_room_for(1);
    let crashes = model("m").does("TOKENS_PER_SECOND", 50).does("CRASH_AT_TOKEN", 4).does("FAULTY_LIVES", 1);
    let (house, client) = depot.house(&[crashes]).await;
    let heard = hear(&client, "m").await;
    let error = heard.error.as_ref().expect("an error event");
    assert!(heard.text.starts_with("m 1") && !heard.finished && !heard.done, "{heard:?}");
    assert!(error["message"].is_string(), "{error}");
    // Until its end is seen, a call may still go to the one that dies.
    let why = until("its end is known", async || {
        let events = client.get("/api/v1/events").await.json();
        events["items"].as_array()?.iter().find(|event| event["reason"]["code"] == "engine_exited").cloned()
    })
    .await;
    assert!(text(&why["reason"]["message"]).contains("GGML_ASSERT"), "{why}");
    let next = hear(&client, "m").await;
    assert!(next.is_whole("m", 8), "{next:?}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_memory_is_told_from_one_that_crashed() {
    let depot = Depot::with_room_for(2);
    let (house, client) = depot.house(&[model("at-once").does("OUT_OF_MEMORY", 1), model("taken")]).await;
    assert_eq!(ask(&client, "at-once").await.status, 503);
    let why = reason(&client, "at-once").await;
    assert_eq!(why["code"], "out_of_memory", "{why}");
    assert!(text(&why["message"]).contains("unable to allocate CPU buffer"), "{why}");
    // Somebody whom nobody asked has taken all but a little.
    depot.ledger.set_foreign("ram", depot.room.saturating_sub(ByteSize::mib(64))).expect("foreign use");
    assert_eq!(ask(&client, "taken").await.status, 503);
    let why = reason(&client, "taken").await;
    assert_eq!(why["code"], "out_of_memory", "{why}");
    assert!(text(&why["message"]).contains("kv cache"), "{why}");
    assert_eq!(depot.book().refused.len(), 1, "the ledger has seen it");
    assert_eq!((depot.begun("at-once"), depot.begun("taken")), (1, 1), "it is no accident that passes at once");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_takes_more_than_it_says_harms_itself_and_not_its_neighbour() {
    let depot = Depot::with_room_for(2);
    let greedy = model("greedy").does("MEMORY_EXTRA", 2 * ONE.0);
    let (house, client) = depot.house(&[model("good").with("replicas: { min: 1 }"), greedy]).await;
    until("it is ready", async || (reason(&client, "good").await == Value::Null).then_some(())).await;
    assert_eq!(ask(&client, "greedy").await.status, 503);
    let why = reason(&client, "greedy").await;
    assert_eq!(why["code"], "out_of_memory", "{why}");
    assert!(text(&why["message"]).contains("compute pp buffers"), "{why}");
    assert_eq!(ask(&client, "good").await.status, 200);
    assert_eq!(depot.begun("good"), 1);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_listen_to_term_is_killed() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").does("IGNORE_TERM", 1)]).await;
    assert_eq!(ask(&client, "m").await.status, 200);
    order(&client, "m", "unload").await;
    depot.is_empty("it was unloaded").await;
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_leaves_behind_goes_with_it_in_its_group_and_in_a_session_of_its_own() {
    let depot = Depot::with_room_for(4);
    let models = [
        model("group").does("LEAVE", "group"),
        model("session").does("LEAVE", "session"),
        model("crashes").does("LEAVE", "session").does("CRASH_AT_TOKEN", 1),
        model("gone").does("LEAVE", "session").does("LEAVE_AND_EXIT", 1),
    ];
    let (house, client) = depot.house(&models).await;
    for name in ["group", "session"] {
        assert_eq!(ask(&client, name).await.status, 200);
    }
    let stays = || processes::marked(&depot.stage.folder().display().to_string()).len();
    assert_eq!(stays(), 6, "two keepers, two engines, two that stay behind");
    assert!(ask(&client, "crashes").await.status >= 500);
    let reply = ask(&client, "gone").await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reason(&client, "gone").await["code"], "engine_rejected");
    for name in ["group", "session", "crashes", "gone"] {
        order(&client, name, "unload").await;
    }
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_engine_that_generates_nothing_costs_a_caller_no_more_than_its_limit() {
    let depot = Depot::with_room_for(1);
    let dead = model("m").with("timeouts: { first_token: 500ms }").does("DEAD_AFTER", 1);
    let (house, client) = depot.house(&[dead]).await;
    assert_eq!(ask(&client, "m").await.status, 200);
    let begun = Instant::now();
    let reply = ask(&client, "m").await;
    assert_eq!(reply.status, 504, "{}", reply.text);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_engine_whose_loop_is_dead_is_found_and_replaced_within_half_a_minute() {
    const FOUND_WITHIN: Duration = Duration::from_secs(30);
    let depot = Depot::with_room_for(2);
    let (house, client) = depot.house(&[model("m").does("DEAD_AFTER", 1).does("FAULTY_LIVES", 1)]).await;
    ask(&client, "m").await.said();
    let begun = Instant::now();
    let heard = hear(&client, "m").await;
    let found = begun.elapsed();
    println!("a dead loop was found within {found:?}");
    assert!(found < FOUND_WITHIN && heard.error.is_some() && !heard.done, "{found:?} {heard:?}");
    let served = until("it is replaced", async || Some(ask(&client, "m").await).filter(|reply| reply.status == 200)).await;
    assert_eq!((served.said().as_str(), depot.begun("m")), ("m 1 2 3 4 5 6 7", 2));
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stands_still_altogether_is_replaced_for_those_who_wait_long_before_it_would_be_for_nobody() {
    const FOR_NOBODY: Duration = Duration::from_secs(45);
    let depot = Depot::with_room_for(2);
    let (house, client) = depot.house(&[model("m")]).await;
    ask(&client, "m").await.said();
    let engine = depot.holders("m")[0];
    testkit::halt(engine).expect("it halts");
    let begun = Instant::now();
    let call = async || (ask(&client, "m").await.status, begun.elapsed());
    let (one, other) = tokio::join!(call(), call());
    let served = [one, other].into_iter().filter(|(status, _)| *status == 200).map(|(_, time)| time).min();
    println!("an engine that was stopped served nobody for {served:?}");
    assert!(served.is_some_and(|time| time + Duration::from_secs(5) < FOR_NOBODY), "{one:?} {other:?}");
    assert_eq!(depot.begun("m"), 2);
    let events = client.get("/api/v1/events?limit=200").await.json();
    let why = events["items"].as_array().and_then(|all| all.iter().rfind(|event| event["phase"][1] == "failed")).expect("a failure");
    assert!(text(&why["reason"]["message"]).contains("it uses no CPU; "), "{why}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_an_engine_that_is_to_leave_is_cut_only_where_a_limit_says_so() {
    let depot = Depot::with_room_for(2);
    let slow = |name: &str, tokens: u64| model(name).does("TOKENS_PER_SECOND", 5).does("TOKENS", tokens);
    let (house, client) = depot.house(&[slow("whole", 15), slow("cut", 100).with("timeouts: { drain: 200ms }")]).await;
    let streams = ["whole", "cut"].map(|name| {
        let client = client.clone();
        async move { hear(&client, name).await }
    });
    let leave = async {
        for name in ["whole", "cut"] {
            until("its stream runs", async || {
                let status = client.get(&format!("/api/v1/deployments/{name}")).await.json()["status"].clone();
                (status["in_flight"] == 1 && status["state"] == "ready").then_some(())
            })
            .await;
            order(&client, name, "unload").await;
        }
    };
    let [whole, cut] = streams;
    let (whole, cut, ()) = tokio::join!(whole, cut, leave);
    assert!(whole.is_whole("whole", 15), "{whole:?}");
    assert!(!cut.done && cut.error.is_some(), "{cut:?}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_nobody_calls_and_whose_loop_dies_is_found_and_replaced_before_its_next_caller_comes() {
    const FOUND_WITHIN: Duration = Duration::from_secs(30);
    let depot = Depot::with_room_for(2);
    let idle = model("m").with("replicas: { min: 1 }").does("DEAD_IDLE", "2s").does("FAULTY_LIVES", 1);
    let (house, client) = depot.house(&[idle]).await;
    until("it is ready", async || (reason(&client, "m").await == Value::Null).then_some(())).await;
    let begun = Instant::now();
    let why = within(FOUND_WITHIN + SOON, "its loop is found dead", async || {
        let events = client.get("/api/v1/events?limit=200").await.json();
        events["items"].as_array()?.iter().find(|event| event["reason"]["code"] == "unresponsive").cloned()
    })
    .await;
    println!("a dead loop that nobody called was found within {:?}", begun.elapsed().saturating_sub(Duration::from_secs(2)));
    assert!(begun.elapsed() < FOUND_WITHIN + Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(text(&why["reason"]["message"]).contains("its loop has made no step"), "{why}");
    until("another one is there", async || (depot.begun("m") == 2).then_some(())).await;
    assert_eq!(ask(&client, "m").await.said(), "m 1 2 3 4 5 6 7");
    let calls = until("the call is in the books", async || {
        let usage = client.get("/api/v1/usage?group_by=model").await.json();
        usage["items"][0]["calls"].as_u64().filter(|calls| *calls > 0)
    })
    .await;
    assert_eq!(calls, 1, "to look at it is no use of it");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_between_an_engines_end_and_its_discovery_is_served_by_the_one_that_comes_in_its_place() {
    let depot = Depot::with_room_for(2);
    let (house, client) = depot.house(&[model("m")]).await;
    for life in 1..=3 {
        assert_eq!(ask(&client, "m").await.said(), "m 1 2 3 4 5 6 7");
        let holders = depot.holders("m");
        let pid = Pid::from_raw(i32::try_from(*holders.first().expect("an engine")).expect("a pid"));
        kill(pid, Signal::SIGKILL).expect("it lives");
        let replies = futures_util::future::join_all((0..4).map(|_| ask(&client, "m"))).await;
        assert!(replies.iter().all(|reply| reply.status == 200), "life {life}: {replies:?}");
    }
    assert_eq!(depot.begun("m"), 4);
    // The fourth within a minute is no accident that passes at once.
    let pid = Pid::from_raw(i32::try_from(*depot.holders("m").first().expect("an engine")).expect("a pid"));
    kill(pid, Signal::SIGKILL).expect("it lives");
    until("it is served", async || (ask(&client, "m").await.status == 200).then_some(())).await;
    let events = until("all of it is told", async || {
        let events = client.get("/api/v1/events?deployment=m&limit=1000").await.json()["items"].clone();
        (events.as_array()?.iter().filter(|event| event["phase"][1] == "ready").count() == 5).then_some(events)
    })
    .await;
    let when = |phase: &str| {
        let of_it = events.as_array().into_iter().flatten().filter(|event| event["phase"][1] == phase);
        let times: Vec<Timestamp> = of_it.filter_map(|event| event["at"].as_str()?.parse().ok()).collect();
        times.into_iter().max().expect("a time")
    };
    assert!(when("starting").since(when("failed")) >= Duration::from_secs(1), "{events}");
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_model_that_its_schedule_does_not_allow_now_are_told_at_once_when_it_does() {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    const DAY_MS: i64 = 86_400_000;
    const FIRST_WAS_THURSDAY: i64 = 3;
    let today = usize::try_from((Timestamp::now().as_millis() / DAY_MS + FIRST_WAS_THURSDAY) % 7).expect("a day");
    let closed: Vec<&str> = DAYS.iter().enumerate().filter(|(day, _)| *day != (today + 2) % 7).map(|(_, day)| *day).collect();
    let window = format!("{{ days: [{}], from: \"00:00\", to: \"00:00\", max: 0 }}", closed.join(", "));
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("m").with(&format!("replicas: {{ schedule: [{window}] }}"))]).await;
    let begun = Instant::now();
    let reply = until("its schedule is known", async || Some(ask(&client, "m").await).filter(|reply| reply.status == 503)).await;
    assert!(begun.elapsed() < SOON && reply.text.contains("its schedule allows no instance until"), "{}", reply.text);
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((86_400 - 60..=2 * 86_400).contains(&wait), "{wait}");
    let made = client.post("/api/v1/deployments/m/load", &serde_json::json!({})).await.json();
    let path = format!("/api/v1/operations/{}", made["id"].as_str().expect("an operation"));
    let ended = until("the load has ended", async || {
        let operation = client.get(&path).await.json();
        (operation["state"] == "failed").then_some(operation)
    })
    .await;
    assert_eq!(ended["reason"]["code"], "scheduled", "{ended}");
    assert_eq!(depot.begun("m"), 0);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_bind_and_the_rest_waits() {
    let depot = Depot::with_room_for(3);
    let two = model("m").with("parallel: 2").does("TOKENS_PER_SECOND", 40);
    let (house, client) = depot.house(&[two]).await;
    ask(&client, "m").await.said();
    let begun = Instant::now();
    let replies = futures_util::future::join_all((0..6).map(|_| ask(&client, "m"))).await;
    assert!(replies.into_iter().all(|reply| reply.said() == "m 1 2 3 4 5 6 7"));
    // Eight tokens of 25 ms, less the first, three times over.
    assert!(begun.elapsed() >= Duration::from_millis(3 * 7 * 25), "{:?}", begun.elapsed());
    depot.close(house).await;
}
