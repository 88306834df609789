//! The ledger: each call has one row, through kills, a database that stalls and a disk quota.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::Connection as _;
use store::{CallQuery, Store, UsageQuery};
use testkit::upstream::Upstream;

use crate::client::Client;
use crate::process::Process;
use crate::stage::{PATIENCE, Stage, environment, stop, until};

pub(crate) mod load;

use load::{Answered, Load};

const CALLERS: usize = 4;
const PRICES: &str = "    prices: { input_per_million: 0.15, output_per_million: 0.6, per_request: 0.001 }\n";

fn remote(upstream: &Upstream) -> String {
    format!("deployments:\n  - name: m\n    url: {}\n{PRICES}", upstream.url())
}

fn address(client: &Client) -> SocketAddr {
    client.address()
}

/// A number that a person may raise for a longer run.
fn number(variable: &str, usual: u64) -> u64 {
    environment().get(variable).and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How often each request id has a row, in the database of a house that has stopped.
async fn rows(stage: &Stage) -> BTreeMap<String, u64> {
    let store = Store::open(stage.data_dir().join("penstock.db")).await.expect("the database");
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let (mut rows, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.list_calls(&CallQuery { from, to, request_id: None, after, limit: 10_000 }).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = Some(last.place);
        for booked in page {
            *rows.entry(booked.call.request_id).or_default() += 1;
        }
    }
    let sums = store.usage_sums(&UsageQuery { from, to, by: Vec::new(), most: 1 }).await.expect("a sum");
    assert_eq!(sums.iter().map(|sum| sum.calls).sum::<u64>(), rows.values().sum::<u64>(), "the sums are those of the rows");
    store.close().await;
    rows
}

/// What each of several lives of a house answered, and when that life ended.
struct Life {
    answered: Vec<Answered>,
    killed: Instant,
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_at_most_the_last_second_of_rows_and_double_none() {
    const MOST_LOST: Duration = Duration::from_secs(1);
    let kills = number("PENSTOCK_TEST_KILLS", 50);
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an upstream"));
    let config = remote(&upstream);
    let mut lives = Vec::new();
    for kill in 0..kills {
        let mut process = Process::start(&stage, &config).await;
        let token = stage.token().expect("a token");
        let load = Load::start(address(&process.client), &token, "m", &format!("life-{kill}"), CALLERS);
        // Most lives are short and end at any point; some are longer than what may be lost.
        let length = if kill % 10 == 9 { 1_300 } else { 40 + kill * 37 % 160 };
        tokio::time::sleep(Duration::from_millis(length)).await;
        let killed = Instant::now();
        process.signal(Signal::SIGKILL);
        process.ended().await;
        lives.push(Life { answered: load.end().await, killed });
        upstream.forget();
    }
    let mut last = Process::start(&stage, &config).await;
    last.signal(Signal::SIGTERM);
    assert_eq!(last.ended().await.code(), Some(0), "{}", last.log());

    let rows = rows(&stage).await;
    let twice: Vec<_> = rows.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let (mut whole, mut missing, mut safe) = (0, 0, 0);
    for life in &lives {
        for answered in life.answered.iter().filter(|answered| answered.status == 200) {
            whole += 1;
            let before = life.killed.saturating_duration_since(answered.at);
            safe += u64::from(before > MOST_LOST);
            if !rows.contains_key(&answered.id) {
                missing += 1;
                assert!(before <= MOST_LOST, "{} was answered {before:?} before the kill and has no row", answered.id);
            }
        }
    }
    println!("{kills} kills, {whole} calls answered, {missing} without a row, {safe} older than a second");
    assert!(safe > 0 && missing * 2 < whole, "{missing} of {whole} are missing: rows are not written as they come");
}

/// Keeps everybody else from writing to the database until it is dropped.
async fn stall(stage: &Stage) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(stage.data_dir().join("penstock.db")).busy_timeout(PATIENCE);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.expect("a connection");
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock");
    connection
}

async fn metric(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics").await.text;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().and_then(|number| number.trim_end_matches(".0").parse().ok()).expect("a whole number")
}

/// Some of those that did not go well.
fn failed(answers: &[Answered]) -> Vec<&Answered> {
    const SOME: usize = 5;
    answers.iter().filter(|answered| answered.status != 200).take(SOME).collect()
}

/// So many of a hundred took at most this.
fn percentile(answers: &[Answered], of: usize) -> Duration {
    let mut times: Vec<Duration> = answers.iter().map(|answered| answered.took).collect();
    times.sort_unstable();
    times.get(times.len() * of / 100).copied().expect("answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stalls_is_not_noticed_by_callers_and_has_every_row_in_the_end() {
    let rounds = u32::try_from(number("PENSTOCK_TEST_STALLS", 8)).expect("a few");
    let stalled_for = Duration::from_secs(number("PENSTOCK_TEST_STALL_SECONDS", 2));
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an upstream"));
    let house = stage.house(&remote(&upstream)).await;
    let client = stage.client(&house);
    client.capital("m").await.said();
    let load = Load::start(house.address, &stage.token().expect("a token"), "m", "call", CALLERS);
    let (mut all, mut calm, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does strikes both alike.
    for _ in 0..rounds {
        tokio::time::sleep(stalled_for / rounds).await;
        calm.extend(load.take());
        let lock = stall(&stage).await;
        all.extend(load.take());
        tokio::time::sleep(stalled_for / rounds).await;
        stalled.extend(load.take());
        let waits = async || (metric(&client, "penstock_usage_rows_behind").await > 0).then_some(());
        until("the journal holds what the database does not take", waits).await;
        drop(lock);
    }
    let broken = load.broken();
    all.extend(load.end().await);
    all.extend(calm.iter().chain(&stalled).cloned());
    assert!(broken == 0 && failed(&all).is_empty(), "{broken} broke off, {:?}", failed(&all));
    let (usual, then) = (percentile(&calm, 50), percentile(&stalled, 50));
    let (late, later) = (percentile(&calm, 99), percentile(&stalled, 99));
    println!(
        "{} calls; p50 {usual:?} and p99 {late:?} as usual, {then:?} and {later:?} with the database stalled {rounds} times for {:?}",
        all.len(),
        stalled_for / rounds
    );
    // Callers who waited for the database would wait for half a round in the middle.
    assert!(then < usual * 3 || then < stalled_for / rounds / 5, "{usual:?} became {then:?}");
    assert_eq!(metric(&client, "penstock_usage_rows_dropped_total").await, 0);
    stop(house).await;
    let rows = rows(&stage).await;
    assert_eq!(rows.len(), all.len() + 1, "and the first");
    assert!(all.iter().all(|answered| rows.get(&answered.id) == Some(&1)), "one row for each call");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_is_an_alarm_and_no_trouble_for_callers() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an upstream"));
    let house = stage.house(&format!("{}usage: {{ journal_quota: 64KiB }}\n", remote(&upstream))).await;
    let client = stage.client(&house);
    client.capital("m").await.said();
    let lock = stall(&stage).await;
    let load = Load::start(house.address, &stage.token().expect("a token"), "m", "call", CALLERS);
    until("rows are lost", async || (metric(&client, "penstock_usage_rows_dropped_total").await > 0).then_some(())).await;
    assert_eq!(metric(&client, "penstock_usage_journal_alarm").await, 1);
    assert!(metric(&client, "penstock_usage_journal_bytes").await <= 64 << 10);
    let all = load.end().await;
    assert!(failed(&all).is_empty(), "{:?}", failed(&all));
    drop(lock);
    until("it recovers", async || {
        let calm = metric(&client, "penstock_usage_journal_alarm").await == 0;
        (calm && metric(&client, "penstock_usage_rows_behind").await == 0).then_some(())
    })
    .await;
    // The quota may be reached more than once: each time tells its own losses.
    let lost = metric(&client, "penstock_usage_rows_dropped_total").await;
    until("all that was lost is told", async || {
        let events = client.get("/api/v1/events").await.json();
        let of_journal = events["items"].as_array()?.iter().filter(|event| event["kind"] == "usage_journal");
        let told = of_journal.filter_map(|event| told_lost(event["message"].as_str()?)).sum::<u64>();
        (told == lost).then_some(())
    })
    .await;
    stop(house).await;
    let missing = (1 + all.len() - rows(&stage).await.len()) as u64;
    assert_eq!(missing, lost, "every call has a row or is counted as lost");
}

/// The number in "…; 12 rows were lost".
fn told_lost(message: &str) -> Option<u64> {
    message.split_once(" rows were lost")?.0.rsplit(' ').next()?.parse().ok()
}

fn sum<'a>(usage: &'a Value, group: &str, key: &str) -> &'a Value {
    usage["items"].as_array().expect("items").iter().find(|item| item[group] == key).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_in_the_usage_however_it_ended_and_costs_what_the_prices_say() {
    let (stage, upstream) = (Stage::new(), Upstream::open().await.expect("an upstream"));
    let house = stage.house(&remote(&upstream)).await;
    let client = stage.client(&house);
    let same = [("x-request-id", "the-same")];
    for _ in 0..2 {
        let reply = client.ask_with(hyper::Method::POST, "/v1/chat/completions", &same, crate::client::capital("m").to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    assert_eq!(client.capital("nobody").await.status, 404);
    upstream.next("m", [testkit::upstream::Script::json(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#)]);
    assert_eq!(client.capital("m").await.status, 400);
    let usage = until("the rows are in", async || {
        let usage = client.get("/api/v1/usage?group_by=ending,model").await.json();
        let calls: u64 = usage["items"].as_array()?.iter().filter_map(|item| item["calls"].as_u64()).sum();
        (calls == 4).then_some(usage)
    })
    .await;
    let done = sum(&usage, "ending", "completed");
    assert_eq!(
        (&done["model"], &done["calls"], &done["prompt_tokens"], &done["completion_tokens"]),
        (&"m".into(), &2.into(), &14.into(), &6.into())
    );
    // Twice 7 in, 3 out and the call itself: 1.05 + 1.8 + 1000 millionths of a dollar.
    assert_eq!(done["cost_usd"], 0.002_005_7);
    assert_eq!((&sum(&usage, "ending", "failed")["calls"], &sum(&usage, "ending", "failed")["cost_usd"]), (&1.into(), &0.0.into()));
    let refused = sum(&usage, "ending", "rejected");
    assert_eq!((&refused["calls"], &refused["model"]), (&1.into(), &Value::Null), "{refused}");

    let csv = client.ask_with(hyper::Method::GET, "/api/v1/usage?group_by=token,ending", &[("accept", "text/csv")], "").await;
    assert!(csv.header("content-type").starts_with("text/csv"), "{csv:?}");
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert!(lines[0].starts_with("token,token_name,ending,calls,completed"), "{lines:?}");
    assert!(lines[1].contains(",completed,2,2,0,0,0,14,0,6,0,0,0.0020057,"), "{lines:?}");

    let calls = client.get("/api/v1/usage/calls?request_id=the-same&limit=1").await.json();
    let first = &calls["items"][0];
    assert_eq!((&first["request_id"], &first["deployment"], &first["cost_usd"]), (&"the-same".into(), &"m".into(), &0.001_002_85.into()));
    let next = calls["next"].as_str().expect("there is another");
    let second = client.get(&format!("/api/v1/usage/calls?request_id=the-same&limit=1&after={next}")).await.json();
    assert_eq!(second["items"][0]["request_id"], "the-same");
    assert!(second["next"].is_null(), "{second}");
    stop(house).await;
}
