//! Sums are those of the calls, whatever the span, the groups and what has been pruned.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Timestamp;
use proptest::prelude::*;
use spec::{Ending, Usage, Usd};

use super::span::{HOUR, hour_of};
use super::*;
use crate::contract::sample;
use crate::open::Store;

/// Five hours in which something happened.
const LENGTH: i64 = 5 * HOUR;
const START: i64 = 472_000 * HOUR;

fn call() -> impl Strategy<Value = Usage> {
    (0..LENGTH, 0..3_u8, any::<bool>(), 0..100_u64).prop_map(|(at, model, known, tokens)| {
        let mut call = sample::usage("r", START + at, ["a", "b", "c"][usize::from(model)], Ending::ALL[usize::from(model)]);
        call.deployment = known.then(|| call.model.clone());
        call.token = (tokens > 20).then(|| format!("t{}", tokens % 3));
        call.prompt_tokens = tokens;
        call.cost = Usd(tokens * 7);
        call
    })
}

/// By brute force: calls, tokens and cost by hour, model and token.
fn by_hand(calls: &[Usage], from: i64, to: i64) -> BTreeMap<Vec<Option<String>>, (u64, u64, u64)> {
    let mut sums = BTreeMap::new();
    for call in calls.iter().filter(|call| (from..to).contains(&call.at.as_millis())) {
        let hour = Timestamp::from_millis(hour_of(call.at)).to_string();
        let key = vec![Some(hour), call.deployment.as_ref().map(|_| call.model.clone()), call.token.clone()];
        let sum: &mut (u64, u64, u64) = sums.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1 + call.prompt_tokens, sum.2 + call.cost.0);
    }
    sums
}

async fn by_query(store: &Store, from: i64, to: i64) -> BTreeMap<Vec<Option<String>>, (u64, u64, u64)> {
    let by = vec![GroupBy::Hour, GroupBy::Model, GroupBy::Token];
    let query = UsageQuery { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to), by, most: 1_000 };
    let sums = store.usage_sums(&query).await.unwrap();
    sums.into_iter().map(|sum| (sum.keys, (sum.calls, sum.prompt_tokens, sum.cost.0))).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_are_those_of_the_calls_whatever_the_span(
        calls in prop::collection::vec(call(), 0..60), from in -HOUR..LENGTH, length in 0..LENGTH + HOUR, batch in 1..40_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (START + from, START + from + length);
        let (found, after) = runtime().block_on(async {
            let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
            let mut place = 0;
            for batch in calls.chunks(batch) {
                store.book_calls(1, place, batch).await.unwrap();
                place += batch.len() as u64;
            }
            let found = by_query(&store, from, to).await;
            // An hour after the third hour, when two hours are to be kept: the first hour's calls go.
            let keep = KeepUsage { calls: Duration::from_hours(2), hours: Duration::from_hours(1_000) };
            store.prune_usage(keep, Timestamp::from_millis(START + 3 * HOUR)).await.unwrap();
            (found, by_query(&store, hour_of(Timestamp::from_millis(from)), to.max(START + HOUR)).await)
        });
        prop_assert_eq!(found, by_hand(&calls, from, to));
        prop_assert_eq!(after, by_hand(&calls, hour_of(Timestamp::from_millis(from)), to.max(START + HOUR)), "full hours of the past stay");
    }
}

#[tokio::test]
async fn what_was_spent_is_told_apart_by_hour_day_and_month_and_rejected_calls_spend_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
    let day = START / (24 * HOUR) * (24 * HOUR);
    let at = [day - HOUR, day + 1, day + 5 * HOUR + 7, day + 5 * HOUR + 9];
    let mut calls: Vec<Usage> = at.iter().map(|at| sample::usage("r", *at, "a", Ending::Completed)).collect();
    calls.push(sample::usage("r", day + 5 * HOUR, "a", Ending::Rejected));
    store.book_calls(1, 0, &calls).await.unwrap();
    let starts = [day + 5 * HOUR, day, day - 48 * HOUR].map(Timestamp::from_millis);
    let spent = store.spent(starts, Timestamp::from_millis(day + 5 * HOUR + 9)).await.unwrap();
    let mut seen: Vec<_> = spent.iter().map(|sum| (sum.in_hour, sum.in_day, sum.calls, sum.tokens, sum.cost)).collect();
    seen.sort_unstable();
    let one = (1, 15, Usd(1_234));
    assert_eq!(seen, [(false, false, one.0, one.1, one.2), (false, true, one.0, one.1, one.2), (true, true, one.0, one.1, one.2)]);
    assert!(spent.iter().all(|sum| sum.token.as_deref() == Some("t1") && sum.deployment.as_deref() == Some("a") && sum.project.is_none()));
}

#[tokio::test]
async fn days_are_days_and_more_sums_than_wanted_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
    let calls: Vec<Usage> = (0..6).map(|day| sample::usage("r", START + day * 24 * HOUR, "a", Ending::Completed)).collect();
    store.book_calls(1, 0, &calls).await.unwrap();
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let sums = store.usage_sums(&UsageQuery { from, to, by: vec![GroupBy::Day], most: 3 }).await.unwrap();
    let days: Vec<_> = sums.iter().map(|sum| sum.keys[0].clone().unwrap()).collect();
    assert_eq!(days, ["2023-11-05", "2023-11-06", "2023-11-07", "2023-11-08"], "one more than three says that there are more");
    let all = store.usage_sums(&UsageQuery { from, to, by: Vec::new(), most: 3 }).await.unwrap();
    assert_eq!(all.iter().map(|sum| (sum.calls, sum.cost)).collect::<Vec<_>>(), [(6, Usd(6 * 1_234))]);
}

#[tokio::test]
async fn pruning_is_by_full_hours_and_in_small_steps() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
    let calls: Vec<Usage> = (0..5_000).map(|at| sample::usage("r", START + at, "a", Ending::Completed)).collect();
    store.book_calls(1, 0, &calls).await.unwrap();
    let keep = |hours| KeepUsage { calls: Duration::ZERO, hours: Duration::from_hours(hours) };
    assert_eq!(store.prune_usage(keep(10), Timestamp::from_millis(START + HOUR - 1)).await.unwrap(), 0, "the hour is not over");
    assert_eq!(store.prune_usage(keep(10), Timestamp::from_millis(START + HOUR)).await.unwrap(), 5_000);
    assert_eq!(store.prune_usage(keep(1), Timestamp::from_millis(START + 2 * HOUR)).await.unwrap(), 1, "one sum is left, and now goes");
}
