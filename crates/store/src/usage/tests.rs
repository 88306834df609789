//! Sums and listings are those of the calls, whatever the span, the groups, the pages and what has been pruned.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Timestamp;
use proptest::prelude::*;
use spec::{Ending, Usage, Usd};

use super::page::Pages;
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

const MINUTE: i64 = 60_000;

/// Calls of a few minutes in the order in which they ended, from one of two journals each.
fn booked() -> impl Strategy<Value = Vec<(i64, Usage)>> {
    let ids = prop::sample::select(vec!["a", "b\"c", "d\u{e9}", "a\u{0}"]);
    let call = (1..=2_i64, 0..4 * MINUTE, ids).prop_map(|(journal, at, id)| {
        (journal, sample::usage(id, START - 2 * MINUTE + at, "a\\b", Ending::ALL[usize::try_from(at % 4).unwrap_or(0)]))
    });
    prop::collection::vec(call, 0..80)
}

/// Books them in batches; gives them with their places, oldest first.
async fn book(store: &Store, calls: &[(i64, Usage)], batch: usize) -> Vec<BookedCall> {
    let (mut places, mut all) = ([0; 3], Vec::new());
    for calls in calls.chunks(batch) {
        for journal in 1..=2_i64 {
            let those: Vec<Usage> = calls.iter().filter(|call| call.0 == journal).map(|call| call.1.clone()).collect();
            let next = &mut places[usize::try_from(journal).unwrap_or(0)];
            store.book_calls(journal, *next, &those).await.unwrap();
            for call in those {
                all.push(BookedCall { place: CallsAfter { at: call.at, journal, place: *next }, call });
                *next += 1;
            }
        }
    }
    all.sort_unstable_by_key(|booked| booked.place);
    all
}

async fn listed(store: &Store, query: CallQuery) -> Vec<BookedCall> {
    let (mut all, mut after) = (Vec::new(), query.after);
    loop {
        let page = store.list_calls(&CallQuery { after, ..query.clone() }).await.unwrap();
        assert!(page.len() <= query.limit as usize);
        let Some(last) = page.last() else { return all };
        after = Some(last.place);
        all.extend(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_listing_goes_through_overlapping_pages_in_order_without_loss_or_repetition(
        calls in booked(), batch in 1..30_usize, from in 0..4 * MINUTE, length in 0..5 * MINUTE, limit in 1..20_u32,
        id in prop::option::of(prop::sample::select(vec!["a", "b\"c", "d\u{e9}", "a\u{0}", "nobody"])), behind in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let span = (START - 2 * MINUTE + from)..(START - 2 * MINUTE + from + length);
        let (found, right) = runtime().block_on(async {
            let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
            let all = book(&store, &calls, batch).await;
            let after = (!all.is_empty()).then(|| all[behind.index(all.len())].place).filter(|after| after.place % 2 == 0);
            let (from, to) = (Timestamp::from_millis(span.start), Timestamp::from_millis(span.end));
            let wanted = |booked: &BookedCall| {
                span.contains(&booked.place.at.as_millis())
                    && after.is_none_or(|after| booked.place > after)
                    && id.is_none_or(|id| booked.call.request_id == id)
            };
            let query = CallQuery { from, to, request_id: id.map(str::to_owned), after, limit };
            (listed(&store, query).await, all.into_iter().filter(wanted).collect::<Vec<_>>())
        });
        prop_assert_eq!(found, right);
    }

    #[test]
    fn pages_hold_each_call_once_at_its_place_and_stay_within_a_minute_and_their_size(
        calls in prop::collection::vec((0..3 * MINUTE, 1..3_000_usize), 0..300), first in any::<u32>(),
    ) {
        const LARGEST: usize = 70 << 10;
        let mut pages = Pages::default();
        let mut texts = BTreeMap::new();
        for ((at, len), place) in calls.iter().zip(u64::from(first)..) {
            let call = sample::usage(&"x".repeat(*len), *at, "a", Ending::Completed);
            let mut text = Vec::new();
            text::encode(&call, &mut text).unwrap();
            pages.add(place, call.at, std::str::from_utf8(&text).unwrap());
            texts.insert(place, call);
        }
        for page in pages.close() {
            prop_assert_eq!(page.first_at / MINUTE, page.last_at / MINUTE);
            prop_assert!(page.body.len() < LARGEST, "{} bytes", page.body.len());
            let mut times = Vec::new();
            for (place, call) in (page.place..).zip(text::decode_page(&page.body).unwrap()) {
                let Some(call) = call else { continue };
                times.push(call.at.as_millis());
                prop_assert_eq!(Some(text::owned(call)), texts.remove(&place));
            }
            prop_assert_eq!(page.calls, i64::try_from(times.len()).unwrap());
            prop_assert_eq!((Some(&page.first_at), Some(&page.last_at)), (times.iter().min(), times.iter().max()));
        }
        prop_assert!(texts.is_empty(), "{} calls are in no page", texts.len());
    }
}

#[tokio::test]
async fn calls_of_two_hours_that_end_in_turn_are_kept_apart_and_the_earlier_go_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
    // Long calls of the hour before end among short ones of this hour.
    let at = |number: i64| START + if number % 3 == 0 { number - 300 } else { number };
    let calls: Vec<(i64, Usage)> = (0..300).map(|number| (1, sample::usage("r", at(number), "a", Ending::Completed))).collect();
    let all = book(&store, &calls, 300).await;
    let pages: i64 = sqlx::query_scalar("SELECT count(*) FROM call_pages").fetch_one(store.reader()).await.unwrap();
    assert!(pages <= 4, "{pages} pages for 300 calls");
    let query =
        CallQuery { from: Timestamp::from_millis(0), to: Timestamp::from_millis(i64::MAX), request_id: None, after: None, limit: 10_000 };
    assert_eq!(store.list_calls(&query).await.unwrap(), all);
    let sums = by_query(&store, START - HOUR, START + 2 * HOUR).await;
    assert_eq!(sums.values().map(|sum| sum.0).collect::<Vec<_>>(), [100, 200]);
    let keep = KeepUsage { calls: Duration::from_hours(1), hours: Duration::from_hours(1_000) };
    assert_eq!(store.prune_usage(keep, Timestamp::from_millis(START + HOUR)).await.unwrap(), 100);
    assert_eq!(store.list_calls(&query).await.unwrap(), all[100..]);
}

/// What a person may look at.
type Row = (i64, i64, i64, String, Option<String>, String, String, bool, i64, Option<i64>, i64);

#[tokio::test]
async fn a_person_finds_the_calls_one_by_one_in_a_view() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
    let mut odd = sample::usage("say \"a\"\n", START + 5, "m\u{e9}", Ending::Failed);
    (odd.token, odd.first_byte_ms, odd.estimated) = (None, None, true);
    let calls = [sample::usage("r1", START + 9, "a", Ending::Completed), odd, sample::usage("r3", START + MINUTE, "a", Ending::Rejected)];
    store.book_calls(7, 40, &calls).await.unwrap();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT at, journal, place, request_id, token, model, ending, estimated, cost, first_byte_ms, retries FROM calls
         WHERE first_at >= ? AND at < ? ORDER BY at",
    )
    .bind(START)
    .bind(START + 2 * MINUTE)
    .fetch_all(store.reader())
    .await
    .unwrap();
    let own = str::to_owned;
    let right: [Row; 3] = [
        (START + 5, 7, 41, own("say \"a\"\n"), None, own("m\u{e9}"), own("failed"), true, 1_234, None, 1),
        (START + 9, 7, 40, own("r1"), Some(own("t1")), own("a"), own("completed"), false, 1_234, Some(30), 1),
        (START + MINUTE, 7, 42, own("r3"), Some(own("t1")), own("a"), own("rejected"), false, 1_234, Some(30), 1),
    ];
    assert_eq!(rows, right);
}

#[test]
fn an_absurd_count_does_not_stop_the_books() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("db")).await.unwrap();
        let mut call = sample::usage("r", START, "m", Ending::Completed);
        (call.prompt_tokens, call.completion_tokens, call.cost) = (i64::MAX as u64, u64::MAX, Usd(u64::MAX));
        for place in 0..3 {
            store.book_calls(1, place, std::slice::from_ref(&call)).await.unwrap();
        }
        let query = UsageQuery { from: Timestamp::from_millis(START), to: Timestamp::from_millis(START + LENGTH), by: Vec::new(), most: 1 };
        let sums = store.usage_sums(&query).await.unwrap();
        assert_eq!(sums[0].calls, 3);
        assert!(sums[0].prompt_tokens > 0 && sums[0].cost.0 > 0);
    });
}
