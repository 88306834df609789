//! Budgets begin anew with the calendar, and no call is booked twice or in the wrong period.

use std::time::Duration;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn tokens(tokens: u64) -> Amounts {
    Amounts { tokens, usd: tokens * 10 }
}

fn hourly(limit: u64) -> Budget {
    Budget { tokens_per_hour: Some(limit), ..Budget::default() }
}

#[test]
fn a_budget_is_full_again_when_the_next_hour_begins() {
    let mut window = Window::new(Period::Hour);
    let now = at("2026-11-21T05:59:59Z");
    window.roll(now);
    let turn = window.reserve(tokens(100));
    window.settle(turn, tokens(100), tokens(90));
    let quota = window.refusal(&hourly(100), tokens(11)).expect("no room");
    assert_eq!((quota.limit, quota.spent, quota.reserved, quota.asked), (100, 90, 0, 11));
    assert_eq!(quota.resets, at("2026-11-21T06:00:00Z"));
    assert!(!quota.is_only_reserved());
    assert!(window.refusal(&hourly(100), tokens(10)).is_none());
    window.roll(at("2026-11-21T06:00:00Z"));
    assert!(window.refusal(&hourly(100), tokens(100)).is_none());
    assert_eq!(window.sums(), Sums::default());
}

#[test]
fn a_call_that_ends_in_a_later_hour_is_booked_in_its_own() {
    let mut window = Window::new(Period::Hour);
    let now = at("2026-11-21T05:59:59Z");
    window.roll(now);
    let early = window.reserve(tokens(100));
    window.roll(now.plus(HOUR));
    let late = window.reserve(tokens(5));
    window.settle(early, tokens(100), tokens(100));
    assert_eq!((window.sums().amounts, window.reserved()), (tokens(0), tokens(5)));
    window.settle(late, tokens(5), tokens(7));
    assert_eq!((window.sums().amounts, window.reserved()), (tokens(7), tokens(0)));
}

#[test]
fn a_clock_that_is_set_back_opens_no_new_hour() {
    let mut window = Window::new(Period::Hour);
    let now = at("2026-11-21T05:00:00Z");
    window.roll(now);
    let turn = window.reserve(tokens(100));
    window.settle(turn, tokens(100), tokens(100));
    window.roll(at("2026-11-21T03:30:00Z"));
    assert!(window.refusal(&hourly(100), tokens(1)).is_some());
}

#[test]
fn what_was_used_before_the_start_counts_however_often_it_is_told() {
    let mut window = Window::new(Period::Hour);
    let now = at("2026-11-21T05:20:00Z");
    let past = Sums { requests: 3, amounts: tokens(60) };
    window.set_past(now, past);
    let turn = window.reserve(tokens(30));
    window.set_past(now, past);
    assert_eq!(window.taken(), tokens(90));
    let quota = window.refusal(&hourly(100), tokens(11)).expect("no room");
    assert_eq!((quota.spent, quota.reserved, quota.is_only_reserved()), (60, 30, true));
    window.settle(turn, tokens(30), tokens(0));
    assert_eq!(window.sums().requests, 4);
    // Told too late: the hour that it is about is over.
    window.roll(now.plus(HOUR));
    window.set_past(now, past);
    assert_eq!(window.sums(), Sums::default());
}

#[test]
fn money_and_tokens_are_both_counted() {
    let mut window = Window::new(Period::Month);
    window.roll(at("2026-11-21T05:20:00Z"));
    let budget = Budget { tokens_per_month: Some(1_000), usd_per_month: Some(Usd(500)), ..Budget::default() };
    window.reserve(tokens(40));
    assert_eq!(window.left(&budget), (Some(960), Some(100)));
    assert!(window.refusal(&budget, tokens(10)).is_none());
    let quota = window.refusal(&budget, tokens(11)).expect("no room");
    assert_eq!((quota.coin, quota.limit, quota.reserved, quota.asked), (Coin::Usd, 500, 400, 110));
    assert!(window.refusal(&hourly(1), tokens(9)).is_none(), "an hour's budget is another window's matter");
    let quotas: Vec<Quota> = window.quotas(&budget).collect();
    assert_eq!(quotas.iter().map(|quota| (quota.coin, quota.reserved)).collect::<Vec<_>>(), [(Coin::Tokens, 40), (Coin::Usd, 400)]);
}
