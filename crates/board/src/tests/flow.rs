//! Callers that come, wait, leave and are served, in any order: nothing is exceeded, lost or unfair.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use spec::WhenFull;

use super::{PATIENT, entry, futures_poll, name, publish, wait};
use crate::{Board, Failure, Lease, State};

/// A board whose deployment has these slots, and its own ideas of how many calls it takes.
fn board(slots: &[u32], max_concurrent: Option<u32>) -> Arc<Board> {
    let mut one = (*entry(State::Ready, slots, 64)).clone();
    let mut spec = (*one.spec).clone();
    (spec.max_concurrent, spec.when_full) = (max_concurrent, WhenFull::Queue);
    one.spec = Arc::new(spec);
    let board = Board::new();
    publish(&board, Arc::new(one));
    board
}

fn fares(lease: &Lease, how: u8) {
    match how {
        0 => lease.began(),
        1 => lease.failed(Failure::Error),
        2 => lease.answered(),
        _ => {} // it leaves without a word
    }
}

proptest! {
    #[test]
    fn the_line_is_served_in_the_order_of_asking(
        slots in proptest::collection::vec(1_u32..3, 1..4),
        most in proptest::option::of(1_u32..5),
        steps in proptest::collection::vec((0_u8..4, 0_usize..8, 0_u8..4), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (board, key) = (board(&slots, most), name());
            let (mut held, mut line) = (Vec::new(), VecDeque::new());
            for (step, at, how) in steps {
                match step {
                    0 | 1 => {
                        let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
                        match futures_poll(&mut caller).await {
                            Some(lease) => {
                                assert!(line.is_empty(), "it passed those who wait");
                                held.push(lease.unwrap());
                            }
                            None => line.push_back(caller),
                        }
                    }
                    2 if !held.is_empty() => {
                        let lease = held.swap_remove(at % held.len());
                        fares(&lease, how);
                    }
                    3 if !line.is_empty() => drop(line.remove(at % line.len())),
                    _ => {}
                }
                // Who came first is ready first: nobody behind one that waits is served.
                let mut waits = VecDeque::new();
                for mut caller in line.drain(..) {
                    match futures_poll(&mut caller).await {
                        Some(lease) => {
                            assert!(waits.is_empty(), "one that came later was served before");
                            held.push(lease.unwrap());
                        }
                        None => waits.push_back(caller),
                    }
                }
                line = waits;
                let count = board.counts().remove(0);
                assert_eq!(count.in_flight as usize, held.len());
                assert_eq!(count.waiting as usize, line.len());
                assert!(most.is_none_or(|most| count.in_flight <= most), "{count:?}");
                for (i, slots) in slots.iter().enumerate() {
                    let id = spec::InstanceId::new(format!("i{i}"));
                    assert!(board.member_use(&key, &id).in_flight <= *slots);
                }
            }
            drop((line, held));
            let count = board.counts().remove(0);
            assert_eq!((count.in_flight, count.waiting, board.in_flight()), (0, 0, 0));
        });
    }
}
