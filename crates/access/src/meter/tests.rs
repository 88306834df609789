//! The rules of counting: nothing beyond the limit, everything back, a debt of one error at most.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { requests_per_minute: None, tokens_per_minute: Some(1_000), concurrency: Some(8) };
const LIMIT: f64 = 1_000.0;
static NO_BUDGET: std::sync::LazyLock<Budget> = std::sync::LazyLock::new(Budget::default);

fn used(meter: &Meter) -> f64 {
    meter.lock().bucket().used()
}

/// What was counted for one ask.
#[derive(Debug, Clone, Copy)]
struct Taken {
    tokens: u64,
    since: Instant,
    mark: Mark,
}

fn amounts(tokens: u64) -> Amounts {
    Amounts { tokens, usd: 0 }
}

fn terms(limits: &Limits) -> Terms<'_> {
    Terms { limits, budget: &NO_BUDGET }
}

fn take(meter: &Meter, limits: &Limits, tokens: u64, now: Instant) -> Result<Taken, Refusal> {
    let counts = &mut *meter.lock();
    match counts.refusal(terms(limits), amounts(tokens), now) {
        Some(refusal) => Err(refusal),
        None => Ok(Taken { tokens, since: now, mark: counts.take(terms(limits), amounts(tokens)) }),
    }
}

fn give_back(meter: &Meter, taken: Taken, used: u64, now: Instant) {
    meter.lock().give_back(taken.mark, (amounts(taken.tokens), amounts(used)), (taken.since, now));
}

#[derive(Debug, Clone)]
enum Act {
    Take(u64),
    /// Gives the n-th open one back; so many per mille of what it took were used.
    Give(usize, u64),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1_u64..1_200).prop_map(Act::Take),
        2 => (any::<usize>(), 0_u64..3_000).prop_map(|(n, mille)| Act::Give(n, mille)),
        1 => (0_u64..20_000).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 0..60)
}

proptest! {
    #[test]
    fn whatever_happens_no_more_than_the_limit_is_set_aside_and_all_of_it_comes_back(acts in acts()) {
        let meter = Meter::new();
        let mut now = Instant::now();
        let mut open: Vec<Taken> = Vec::new();
        let mut largest_error = 0.0_f64;
        for act in acts {
            match act {
                Act::Take(tokens) => match take(&meter, &LIMITS, tokens, now) {
                    Ok(taken) => {
                        prop_assert!(tokens <= 1_000);
                        prop_assert!(used(&meter) <= LIMIT + 0.001, "admitted beyond the limit: {}", used(&meter));
                        open.push(taken);
                    }
                    Err(Refusal::Never { .. }) => prop_assert!(tokens > 1_000),
                    Err(Refusal::Limited { what: Resource::Concurrency, .. }) => prop_assert_eq!(open.len(), 8),
                    Err(Refusal::Limited { wait: retry_after, .. }) => {
                        prop_assert!(retry_after > Duration::ZERO);
                        // The promised time is enough, and not much too long.
                        let mut copy = meter.lock().bucket();
                        prop_assert_eq!(copy.wait(tokens, 1_000, now + retry_after), None);
                        let mut copy = meter.lock().bucket();
                        prop_assert!(copy.wait(tokens, 1_000, now + retry_after.saturating_sub(Duration::from_millis(2))).is_some());
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                },
                Act::Give(..) if open.is_empty() => {}
                Act::Give(n, mille) => {
                    let taken = open.swap_remove(n % open.len());
                    let real_use = taken.tokens * mille / 1_000;
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let error = real_use.saturating_sub(taken.tokens) as f64;
                    largest_error = largest_error.max(error);
                    give_back(&meter, taken, real_use, now);
                }
                Act::Wait(millis) => now += Duration::from_millis(millis),
            }
            prop_assert!(used(&meter) <= LIMIT + largest_error + 0.001, "more debt than one error: {}", used(&meter));
            prop_assert_eq!(meter.running() as usize, open.len());
        }
        for taken in open {
            give_back(&meter, taken, 0, now);
        }
        prop_assert_eq!(meter.running(), 0);
        let rate = meter.rates(terms(&LIMITS), now).tokens.expect("a limit");
        now += rate.reset;
        let rate = meter.rates(terms(&LIMITS), now).tokens.expect("a limit");
        prop_assert_eq!((rate.remaining, rate.reset), (1_000, Duration::ZERO), "full after the time that was told");
    }

    #[test]
    fn what_was_not_used_is_back_at_once(asks in proptest::collection::vec(1_u64..400, 1..8), order in any::<u64>()) {
        let meter = Meter::new();
        let now = Instant::now();
        let mut open: Vec<Taken> = asks.iter().filter_map(|ask| take(&meter, &LIMITS, *ask, now).ok()).collect();
        let mut order = order;
        while !open.is_empty() {
            let next = usize::try_from(order % open.len() as u64).expect("small");
            order /= 3;
            give_back(&meter, open.swap_remove(next), 0, now);
        }
        prop_assert_eq!(meter.rates(terms(&LIMITS), now).tokens.map(|rate| rate.remaining), Some(1_000));
    }
}

#[test]
fn nothing_comes_back_twice() {
    let meter = Meter::new();
    let start = Instant::now();
    let slow = take(&meter, &LIMITS, 500, start).expect("room");
    let later = start + Duration::from_secs(30);
    // The slow one's 500 have drained by now: they were used up by time, not by tokens.
    let _other = take(&meter, &LIMITS, 1_000, later).expect("all of it is free again");
    give_back(&meter, slow, 0, later);
    assert!(matches!(take(&meter, &LIMITS, 1, later), Err(Refusal::Limited { what: Resource::Tokens, .. })));
}

#[test]
fn errors_at_the_same_time_make_the_debt_of_one() {
    let meter = Meter::new();
    let now = Instant::now();
    let taken: Vec<Taken> = (0..5).map(|_| take(&meter, &LIMITS, 200, now).expect("room")).collect();
    for one in taken {
        give_back(&meter, one, 300, now);
    }
    let rate = meter.rates(terms(&LIMITS), now).tokens.expect("a limit");
    assert_eq!(rate.remaining, 0);
    assert_eq!(rate.reset, Duration::from_secs(66), "1,000 and one error of 100, at 1,000 a minute");
}

#[test]
fn a_refused_ask_takes_nothing() {
    let limits = Limits { requests_per_minute: Some(10), tokens_per_minute: Some(100), concurrency: Some(1) };
    let meter = Meter::new();
    let now = Instant::now();
    let refused = take(&meter, &limits, 101, now);
    assert!(matches!(&refused, Err(Refusal::Never { what: Resource::Tokens, asked: 101, limit: 100 })), "{refused:?}");
    let _running = take(&meter, &limits, 40, now).expect("room");
    let refused = take(&meter, &limits, 10, now);
    assert!(matches!(&refused, Err(Refusal::Limited { what: Resource::Concurrency, limit: 1, .. })), "{refused:?}");
    let rates = meter.rates(terms(&limits), now);
    assert_eq!(rates.requests.map(|r| (r.limit, r.remaining, r.reset)), Some((10, 9, Duration::from_secs(6))));
    assert_eq!(rates.tokens.map(|r| (r.limit, r.remaining, r.reset)), Some((100, 60, Duration::from_secs(24))));
}

#[test]
fn requests_run_out_and_come_back_evenly() {
    let limits = Limits { requests_per_minute: Some(2), ..Limits::default() };
    let meter = Meter::new();
    let now = Instant::now();
    for _ in 0..2 {
        let taken = take(&meter, &limits, 1_000_000, now).expect("tokens are not limited");
        give_back(&meter, taken, 0, now);
    }
    let refused = take(&meter, &limits, 1, now);
    let Err(Refusal::Limited { what: Resource::Requests, limit: 2, wait, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(wait, Duration::from_secs(30));
    assert!(take(&meter, &limits, 1, now + wait).is_ok());
}
