//! The whole owner, with its tasks, turns, board and callers, under a made clock: whatever goes wrong at whichever await, and wherever
//! Penstock dies, nothing is given away twice or started twice, everything has a reason, engines are found again, and whoever asks is
//! served once nothing goes wrong any more.
//!
//! `PENSTOCK_TEST_OWNER_STEPS` says how many steps in all, `PENSTOCK_TEST_SEED` plays one seed alone and prints all that happens. The plan itself, with more
//! steps and a model of everything else, is simulated by [`super::soak`].

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

mod engines;
mod life;
mod play;
mod store;

pub(crate) use engines::{answer, sleep};
pub(crate) use store::Store;

use life::{Life, Told};

/// The plan alone makes the other 920,000 of a million.
const STEPS: u64 = 80_000;
/// Long enough for several crashes and for changes upon changes.
const A_LIFE: u64 = 200;
const LIVES_AT_ONCE: u64 = 2;

fn play(seed: u64) -> Told {
    played(seed, false)
}

fn played(seed: u64, aloud: bool) -> Told {
    let played = catch_unwind(AssertUnwindSafe(|| Life::of(seed, aloud).live(A_LIFE)));
    let played = played.unwrap_or_else(|panic| {
        eprintln!("seed {seed} cannot be played; PENSTOCK_TEST_SEED={seed} plays it again");
        resume_unwind(panic)
    });
    played.unwrap_or_else(|broken| panic!("seed {seed} breaks a promise: {broken}\nPENSTOCK_TEST_SEED={seed} plays it again"))
}

#[expect(clippy::disallowed_methods, reason = "a person sets it for one run of the tests; no setting of the program")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn whatever_goes_wrong_at_whichever_await_the_owner_keeps_its_promises() {
    if let Some(seed) = number("PENSTOCK_TEST_SEED") {
        return println!("{:?}", played(seed, true));
    }
    let seeds = number("PENSTOCK_TEST_OWNER_STEPS").unwrap_or(STEPS).div_ceil(A_LIFE);
    let begun = std::time::Instant::now();
    let played: Vec<Told> = thread::scope(|scope| {
        let lives = |first: u64| (first..seeds).step_by(usize::try_from(LIVES_AT_ONCE).unwrap()).map(play).collect::<Vec<_>>();
        let threads: Vec<_> = (0..LIVES_AT_ONCE).map(|first| scope.spawn(move || lives(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|broken| std::panic::resume_unwind(broken))).collect()
    });
    let sum = |of: fn(&Told) -> u64| played.iter().map(of).sum::<u64>();
    println!(
        "{} steps over {seeds} seeds in {:?}: {} awaits, {} turns, {} crashes, {} engines started, {} naps, {} calls served",
        seeds * A_LIFE,
        begun.elapsed(),
        sum(|told| told.awaits),
        sum(|told| told.looks),
        sum(|told| told.deaths),
        sum(|told| told.launches),
        sum(|told| told.naps),
        sum(|told| told.served)
    );
    let happened = [sum(|told| told.deaths), sum(|told| told.served), sum(|told| told.naps)];
    assert!(happened.iter().all(|count| *count >= seeds), "too little happened: {happened:?}");
}

#[test]
fn a_seed_is_played_again_to_the_last_line() {
    for seed in [1, 2, 3] {
        assert_eq!(play(seed), play(seed));
    }
    assert_ne!(play(1).trace, play(2).trace);
}
