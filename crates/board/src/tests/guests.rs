//! Callers of a route who wait: whatever becomes of the target that they wait for, another that can serves them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use spec::{Deployment, Name, Reason, ReasonCode, Route, WhenFull};
use tokio::time::Instant;

use super::futures_poll;
use super::routes::{deployment, route, table};
use crate::{Board, Entry, Error, Hint, Lease, State};

const NOTHING: Hint<'static> = Hint { session: None, prompt: None };
/// As long as a deployment lets its callers wait unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

type Waiting = Pin<Box<dyn Future<Output = Result<Lease, Error>>>>;

fn ready(of: &str) -> Entry {
    deployment(of, State::Ready, 1, |_| {})
}

fn both() -> Route {
    route("chat", &[("a", 9), ("b", 1)], &[])
}

fn board(entries: impl IntoIterator<Item = Entry>) -> Arc<Board> {
    let board = Board::new();
    board.publish(table(entries, [both()]));
    board
}

fn call(board: &Arc<Board>, of: &str) -> Waiting {
    let board = Arc::clone(board);
    let mut search = board.find(of).unwrap();
    search.aim(|_| true, &NOTHING);
    Box::pin(async move { search.lease(&board, &NOTHING).await })
}

/// A slot of this deployment.
async fn hold(board: &Arc<Board>, of: &str) -> Lease {
    call(board, of).await.unwrap()
}

async fn in_line(board: &Arc<Board>) -> Waiting {
    let mut waiting = call(board, "chat");
    assert!(futures_poll(&mut waiting).await.is_none());
    waiting
}

/// By whom they are served, one after the other; who is not stays in line.
async fn served(waiting: &mut Vec<Waiting>) -> Vec<String> {
    let (mut by, mut at) = (Vec::new(), 0);
    while let Some(one) = waiting.get_mut(at) {
        match futures_poll(one).await {
            Some(lease) => {
                by.push(lease.unwrap().entry.name.to_string());
                drop(waiting.remove(at));
                at = 0; // its slot is another's now
            }
            None => at += 1,
        }
    }
    by
}

fn is_of(lease: Option<Result<Lease, Error>>, name: &str) -> Lease {
    let lease = lease.expect("at once").unwrap();
    assert_eq!(lease.entry.name.as_str(), name);
    lease
}

fn down() -> State {
    State::Down(Reason::new(ReasonCode::EngineExited, "the engine ended", "look at its log"))
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_target_takes_the_slot_of_another_that_comes_free_first() {
    let board = board([ready("a"), ready("b")]);
    let (a, b) = (hold(&board, "a").await, hold(&board, "b").await);
    let (mut first, mut second) = (in_line(&board).await, in_line(&board).await);
    let mut of_b = call(&board, "b");
    assert!(futures_poll(&mut of_b).await.is_none());
    drop(b);
    let lease = is_of(futures_poll(&mut first).await, "b");
    assert!(futures_poll(&mut second).await.is_none() && futures_poll(&mut of_b).await.is_none());
    drop(lease);
    drop(is_of(futures_poll(&mut second).await, "b"));
    drop(is_of(futures_poll(&mut of_b).await, "b"));
    drop(a);
    assert_eq!(board.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_counts_only_where_its_place_is_and_in_none_of_the_lines_once_it_has_left() {
    let short = |of| deployment(of, State::Ready, 1, |spec: &mut Deployment| spec.max_queue = 1);
    let board = board([short("a"), short("b")]);
    let _held = (hold(&board, "a").await, hold(&board, "b").await);
    let waiting = (in_line(&board).await, in_line(&board).await);
    let count = |of: &str| board.counts().into_iter().find(|count| count.name.as_str() == of).unwrap();
    assert_eq!((count("a").waiting, count("b").waiting, count("chat").waiting, count("chat").in_flight), (1, 1, 2, 0));
    assert!(board.demand().iter().all(|demand| demand.waiting == 1));
    assert!(matches!(call(&board, "chat").await.unwrap_err(), Error::QueueFull { waiting: 1, .. }));
    drop(waiting);
    assert_eq!(count("chat").waiting, 0);
    let _first = in_line(&board).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_no_line_serves_who_waits_for_another() {
    let refuses = deployment("b", State::Ready, 1, |spec| spec.when_full = WhenFull::Reject);
    let board = board([ready("a"), refuses]);
    let (_a, b) = (hold(&board, "a").await, hold(&board, "b").await);
    let mut waiting = in_line(&board).await;
    assert!(matches!(call(&board, "b").await.unwrap_err(), Error::QueueFull { .. }));
    drop(b);
    is_of(futures_poll(&mut waiting).await, "b");
}

#[tokio::test(start_paused = true)]
async fn callers_in_the_line_of_a_target_that_is_deleted_go_to_the_others_and_the_last_is_told_of_the_route() {
    let board = board([ready("a"), ready("b")]);
    let (_a, b) = (hold(&board, "a").await, hold(&board, "b").await);
    let mut waiting = vec![in_line(&board).await, in_line(&board).await, in_line(&board).await];
    let only_b = || [route("chat", &[("b", 1)], &[])];
    board.publish(table([ready("a"), ready("b")], only_b()));
    board.publish(table([ready("b")], only_b()));
    assert!(served(&mut waiting).await.is_empty() && waiting.len() == 3, "b is full");
    drop(b);
    assert_eq!(served(&mut waiting).await, ["b", "b", "b"]);
    let _b = hold(&board, "b").await;
    let last = in_line(&board).await;
    board.publish(table([], only_b()));
    assert_eq!(last.await.unwrap_err(), Error::NotFound(Name::parse("chat").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_its_targets_gone_looks_at_the_route_again() {
    let board = board([ready("a")]);
    let late = call(&board, "chat");
    board.publish(table([ready("b")], [both()]));
    is_of(Some(late.await), "b");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_cold_target_that_cannot_start_is_served_by_another() {
    let cold = || deployment("a", State::Cold, 1, |_| {});
    let board = board([cold(), ready("b")]);
    let mut waits = call(&board, "chat");
    while let Some(lease) = futures_poll(&mut waits).await {
        drop(lease); // it was drawn for b
        waits = call(&board, "chat");
    }
    drop(is_of(futures_poll(&mut call(&board, "b")).await, "b"));
    assert!(futures_poll(&mut waits).await.is_none(), "b is free, and yet it waits: its share of a begins with the start");
    board.publish(table([deployment("a", down(), 1, |_| {}), ready("b")], [both()]));
    is_of(futures_poll(&mut waits).await, "b");
    board.publish(table([cold()], [both()]));
    let mut alone = in_line(&board).await;
    board.publish(table([deployment("a", down(), 1, |_| {})], [both()]));
    let error = futures_poll(&mut alone).await.expect("at once").unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_several_targets_than_for_one() {
    let board = board([ready("a"), ready("b")]);
    let _held = (hold(&board, "a").await, hold(&board, "b").await);
    let began = Instant::now();
    let error = call(&board, "chat").await.unwrap_err();
    assert!(matches!(error, Error::QueueTimeout { .. }), "{error}");
    assert_eq!(began.elapsed(), PATIENCE);
}

proptest! {
    #[test]
    fn nobody_waits_while_a_target_has_a_slot_free_and_all_slots_come_back(
        steps in proptest::collection::vec((0_u8..5, 0_usize..8), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let board = board([ready("a"), deployment("b", State::Ready, 2, |_| {})]);
            let (mut held, mut line): (Vec<Lease>, Vec<(&str, Waiting)>) = (Vec::new(), Vec::new());
            for (step, at) in steps {
                match step {
                    0 | 1 => {
                        let of = ["chat", "chat", "a", "b"][at % 4];
                        line.push((of, call(&board, of)));
                    }
                    2 | 3 if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                    4 if !line.is_empty() => drop(line.swap_remove(at % line.len())),
                    _ => {}
                }
                let mut before = usize::MAX;
                while before != line.len() {
                    before = line.len();
                    tokio::task::yield_now().await;
                    let mut still = Vec::new();
                    for (of, mut caller) in line.drain(..) {
                        match futures_poll(&mut caller).await {
                            Some(lease) => held.push(lease.unwrap()),
                            None => still.push((of, caller)),
                        }
                    }
                    line = still;
                }
                let runs = |of: &str| held.iter().filter(|lease| of == "chat" || lease.entry.name.as_str() == of).count();
                for (of, _) in &line {
                    let slots = [("a", 1), ("b", 2), ("chat", 3)].into_iter().find(|(name, _)| name == of).unwrap().1;
                    assert_eq!(runs(of), slots, "a caller of {of} waits although a slot is free");
                }
                let waiting: u32 = board.counts().iter().filter(|count| !count.route).map(|count| count.waiting).sum();
                assert_eq!((board.in_flight(), waiting as usize), (held.len(), line.len()));
            }
            drop(line);
            drop(held);
            assert_eq!(board.in_flight(), 0);
        });
    }
}
