//! The simulation at length: many seeds, each a long life of the fleet that a failure names and that can be played again.
//!
//! `PENSTOCK_TEST_SIMULATED_STEPS` says how many steps in all, `PENSTOCK_TEST_SEED` plays one seed alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::simulation::{Model, Step, step};

/// With those of the whole owner ([`super::owner`]) they are a million.
const STEPS: u64 = 920_000;
/// Long enough that failures, changes and swaps of the past are still felt.
const A_LIFE: usize = 1_000;
const LIVES_AT_ONCE: u32 = 2;

/// Numbers that stand side by side, as far from each other as any. From: Steele, Lea and Flood (`SplitMix64`), each half of it.
fn mixed(seed: u64) -> u128 {
    let half = |number: u64| {
        let x = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u128::from(x ^ (x >> 31))
    };
    half(2 * seed) << 64 | half(2 * seed + 1)
}

/// The steps of this seed, always the same.
fn drawn(seed: u64) -> Vec<Step> {
    // Of its generators this one is the quickest; the other takes as long as all that is simulated.
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &mixed(seed).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    proptest::collection::vec(step(), A_LIFE).new_tree(&mut runner).unwrap().current()
}

fn live(seed: u64) {
    let steps = drawn(seed);
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut model = Model::new(u32::try_from(seed & 0xffff_ffff).unwrap());
        for step in &steps {
            model.step(step);
        }
        model.everybody_is_served();
        model.everything_ends();
    }));
    assert!(played.is_ok(), "seed {seed} breaks a promise; PENSTOCK_TEST_SEED={seed} plays it again");
}

#[expect(clippy::disallowed_methods, reason = "a person sets it for one run of the tests; no setting of the program")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn a_million_steps_less_those_of_the_owner_break_no_promise() {
    if let Some(seed) = number("PENSTOCK_TEST_SEED") {
        return live(seed);
    }
    let seeds = number("PENSTOCK_TEST_SIMULATED_STEPS").unwrap_or(STEPS).div_ceil(A_LIFE as u64);
    let begun = Instant::now();
    thread::scope(|scope| {
        for first in 0..u64::from(LIVES_AT_ONCE) {
            scope.spawn(move || (first..seeds).step_by(usize::try_from(LIVES_AT_ONCE).unwrap_or(1)).for_each(live));
        }
    });
    println!("{} steps over {seeds} seeds in {:?}", seeds * A_LIFE as u64, begun.elapsed());
}

#[test]
fn a_seed_gives_the_same_life_again() {
    let told = |seed| format!("{:?}", drawn(seed));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}
