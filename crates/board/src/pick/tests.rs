//! Chances and guards of choosing.

use proptest::prelude::*;

use super::{By, Candidate, Leaning, draw, lean};
use crate::dice::{Dice, mix};

fn candidates(all: &[(u32, u32, u32)]) -> Vec<Candidate> {
    let one = |(at, (busy, room, weight)): (usize, &(u32, u32, u32))| Candidate {
        at,
        tag: u16::try_from(at).unwrap(),
        hash: mix(u64::try_from(at).unwrap() + 77),
        busy: *busy,
        room: *room,
        weight: *weight,
    };
    all.iter().enumerate().map(one).collect()
}

fn counts(all: &[(u32, u32, u32)], by: By, times: u32) -> Vec<u32> {
    let (all, mut dice, mut counts) = (candidates(all), Dice::new(), vec![0; all.len()]);
    for _ in 0..times {
        counts[draw(&all.iter().copied(), by, &mut dice).unwrap().at] += 1;
    }
    counts
}

#[test]
fn of_two_members_the_less_busy_for_its_slots_takes_the_call_and_equals_share() {
    assert_eq!(counts(&[(3, 4, 1), (4, 8, 1)], By::Load, 100), [0, 100]);
    let even = counts(&[(2, 4, 1), (2, 4, 1)], By::Load, 2000);
    assert!(even.iter().all(|count| (850..1150).contains(count)), "{even:?}");
    let many = counts(&[(9, 10, 1), (0, 10, 1), (0, 10, 1), (0, 10, 1)], By::Load, 3000);
    assert_eq!(many[0], 0, "the busiest loses to whomever it is drawn with");
    assert_eq!(counts(&[(0, 1, 1)], By::Load, 3), [3]);
    assert!(draw(&std::iter::empty(), By::Load, &mut Dice::new()).is_none());
}

#[test]
fn targets_take_their_shares_unless_one_is_overrun() {
    let shares = counts(&[(0, 256, 9), (0, 256, 1)], By::Share, 20_000);
    assert!((1700..2300).contains(&shares[1]), "{shares:?}");
    let busy = counts(&[(27, 256, 9), (3, 256, 1)], By::Share, 20_000);
    assert!((1700..2300).contains(&busy[1]), "calls that run in their shares change nothing: {busy:?}");
    let stuck = counts(&[(100, 256, 1), (3, 256, 1)], By::Share, 4000);
    assert!(stuck[0] < 1200, "one that does not come to an end gets a quarter: {stuck:?}");
}

#[test]
fn a_session_stays_where_it_is_when_others_come_and_go() {
    let all = candidates(&[(0, 64, 1); 8]);
    let mut moved = 0;
    for session in 0..1000 {
        let leaning = Leaning::Session(mix(session));
        let home = lean(all.iter().copied(), &leaning).unwrap().at;
        let without_seven = lean(all.iter().copied().filter(|one| one.at != 7), &leaning).unwrap().at;
        assert!(home == 7 || home == without_seven, "only those of the one that left move");
        moved += u32::from(home == 7);
    }
    assert!((70..190).contains(&moved), "{moved} of 1000 lived on one of eight");
}

proptest! {
    #[test]
    fn affinity_never_makes_one_much_busier_than_its_share(
        all in proptest::collection::vec((1_u32..64, 1_u32..5), 1..9),
        calls in proptest::collection::vec(0_u64..3, 1..300),
    ) {
        let mut now: Vec<(u32, u32, u32)> = all.iter().map(|(room, weight)| (0, *room, *weight)).collect();
        for session in calls {
            let free: Vec<Candidate> = candidates(&now).into_iter().filter(|one| one.busy < one.room).collect();
            let Some(one) = lean(free.iter().copied(), &Leaning::Session(session)) else { continue };
            let room: u64 = free.iter().map(|one| u64::from(one.room * one.weight)).sum();
            now[one.at].0 += 1;
            let total = free.iter().map(|one| u64::from(one.busy)).sum::<u64>() + 1;
            let fair = (3 * total * u64::from(one.room * one.weight)).div_ceil(2 * room);
            prop_assert!(now[one.at].0 <= one.room);
            prop_assert!(u64::from(now[one.at].0) <= fair + u64::from(one.room / 16).max(1), "{:?} of {total}", now[one.at]);
        }
    }

    #[test]
    fn whoever_is_drawn_could_take_the_call(
        all in proptest::collection::vec((0_u32..9, 1_u32..9, 1_u32..9), 1..12),
        rolls in 1_usize..50,
    ) {
        let all = candidates(&all);
        let mut dice = Dice::new();
        for by in [By::Load, By::Share] {
            for _ in 0..rolls {
                prop_assert!(draw(&all.iter().copied(), by, &mut dice).is_some());
            }
        }
    }
}
