//! Guesses are counted by address, and nobody else waits for them.

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

#[tokio::test(start_paused = true)]
async fn who_tries_many_tokens_has_to_wait_and_nobody_else_has() {
    let guesses = Guesses::default();
    for token in 1..=u64::from(AT_ONCE) {
        assert_eq!(guesses.wrong(HERE, token), Verdict::Wrong, "{token}");
    }
    assert!(matches!(guesses.wrong(HERE, 90), Verdict::Begins(wait) if wait == ONE_MORE));
    assert!(matches!(guesses.wrong(HERE, 91), Verdict::Wait(_)), "a burst is told once");
    assert_eq!(guesses.wait(HERE), Some(ONE_MORE));
    assert_eq!(guesses.wait(THERE), None);
    assert_eq!(guesses.wrong(THERE, 92), Verdict::Wrong);
    tokio::time::advance(ONE_MORE).await;
    assert_eq!(guesses.wait(HERE), None);
    assert_eq!(guesses.wrong(HERE, 93), Verdict::Wrong, "one more");
    assert!(matches!(guesses.wrong(HERE, 94), Verdict::Wait(_)), "and not two");
    tokio::time::advance(ONE_MORE * (AT_ONCE + 1)).await;
    for token in 100..100 + u64::from(AT_ONCE) {
        assert_eq!(guesses.wrong(HERE, token), Verdict::Wrong);
    }
    assert!(matches!(guesses.wrong(HERE, 200), Verdict::Begins(_)), "another burst");
}

#[tokio::test(start_paused = true)]
async fn the_same_wrong_token_is_no_guess_however_often_it_comes() {
    let guesses = Guesses::default();
    for _ in 0..1_000 {
        assert_eq!(guesses.wrong(HERE, 7), Verdict::Wrong);
    }
    assert_eq!(guesses.wait(HERE), None);
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_is_over_costs_nobody_anything_though_its_address_never_comes_again() {
    let guesses = Guesses::default();
    let slowed = || guesses.slowed_until.load(Ordering::SeqCst);
    for token in 0..=u64::from(AT_ONCE) {
        assert_eq!((slowed(), guesses.wait(THERE)), (0, None), "nobody is slowed yet");
        guesses.wrong(HERE, token + 1);
    }
    assert!(slowed() > 0 && guesses.wait(HERE).is_some());
    tokio::time::advance(ONE_MORE + Duration::from_millis(1)).await;
    assert_eq!((guesses.wait(THERE), slowed()), (None, 0));
    let _held = guesses.all.lock().expect("no panic");
    assert_eq!(guesses.wait(HERE), None, "not even the lock is asked for");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_bounded_and_a_network_counts_as_one() {
    let guesses = Guesses::default();
    for n in 0..3 * u32::try_from(MOST).expect("a small number") {
        guesses.wrong(IpAddr::V4(n.into()), 1);
    }
    let known = {
        let all = guesses.all.lock().expect("no panic");
        (all.by_address.len(), all.by_time.len(), all.by_address.contains_key(&IpAddr::V4(0_u32.into())))
    };
    assert_eq!(known, (MOST, MOST, false), "the one that has been quiet for longest was forgotten");
    let of_one = |n: u16| IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
    for n in 0..=u16::try_from(AT_ONCE).expect("a small number") {
        guesses.wrong(of_one(n), 1_000 + u64::from(n));
    }
    assert!(guesses.wait(of_one(9_999)).is_some());
}
