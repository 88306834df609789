//! Slots never exceeded, lines served in order, nothing leaked: the board by itself.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use proptest::prelude::*;
use spec::{Deployment, Dialect, Endpoint, InstanceId, Name, Reason, ReasonCode};

use crate::{Board, Entry, Error, Failure, KeepAlive, Member, State, Table, Wait};

mod flow;
mod guests;
mod routes;
mod slow;
mod split;
mod swap;

const PATIENT: Duration = Duration::from_hours(1);

fn name() -> Name {
    Name::parse("tiny").unwrap()
}

fn wait(patience: Duration) -> Wait {
    Wait { patience_ready: patience, patience_cold: patience, keep_alive: None, avoid: Vec::new() }
}

fn entry(state: State, slots: &[u32], max_queue: u32) -> Arc<Entry> {
    let mut spec = Deployment::named(name());
    spec.max_queue = max_queue;
    let member = |(i, slots): (usize, &u32)| {
        Arc::new(Member {
            id: InstanceId::new(format!("i{i}")),
            endpoint: Endpoint::Url("http://127.0.0.1:1/v1".into()),
            key: None,
            slots: *slots,
            revision: 1,
            own: None,
        })
    };
    Arc::new(Entry {
        name: name(),
        revision: 1,
        generation: 1,
        created: Timestamp::from_millis(0),
        spec: Arc::new(spec),
        dialect: Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true },
        version: None,
        upstream_model: "tiny".into(),
        state,
        instances: slots.iter().enumerate().map(member).collect(),
        split: None,
        notice: None,
    })
}

fn board(state: State, slots: &[u32], max_queue: u32) -> Arc<Board> {
    let board = Board::new();
    publish(&board, entry(state, slots, max_queue));
    board
}

fn publish(board: &Board, entry: Arc<Entry>) {
    board.publish(Table { deployments: [(name(), entry)].into(), ..Table::default() });
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_to_the_least_busy_member_and_never_beyond_its_slots() {
    let board = board(State::Ready, &[1, 2], 8);
    let a = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let b = board.lease(&name(), wait(PATIENT)).await.unwrap();
    assert_ne!(a.member.id, b.member.id);
    let c = board.lease(&name(), wait(PATIENT)).await.unwrap();
    assert_eq!(c.member.id.as_str(), "i1");
    let error = board.lease(&name(), wait(Duration::from_secs(2))).await.unwrap_err();
    assert!(matches!(error, Error::QueueTimeout { waited, .. } if waited >= Duration::from_secs(2)), "{error}");
    assert_eq!(board.in_flight(), 3);
    drop((a, b, c));
    assert_eq!(board.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_line_refuses_at_once() {
    let board = board(State::Ready, &[1], 1);
    let _held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let mut waiting = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut waiting).await.is_none());
    let error = board.lease(&name(), wait(PATIENT)).await.unwrap_err();
    assert_eq!(error, Error::QueueFull { deployment: name(), waiting: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_the_line_is_passed_over_and_leaks_nothing() {
    let board = board(State::Ready, &[1], 8);
    let held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let mut leaver = Box::pin(board.lease(&key, wait(PATIENT)));
    let mut stayer = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut leaver).await.is_none());
    assert!(futures_poll(&mut stayer).await.is_none());
    drop(leaver);
    drop(held);
    let lease = stayer.await.unwrap();
    drop(lease);
    assert_eq!(board.in_flight(), 0);
    assert_eq!(board.demand()[0].waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_with_a_slot_already_sent_gives_it_back() {
    let board = board(State::Ready, &[1], 8);
    let held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let mut leaver = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut leaver).await.is_none());
    drop(held); // the slot now lies in the leaver's channel
    assert_eq!(board.in_flight(), 1);
    drop(leaver);
    assert_eq!(board.in_flight(), 0);
    board.lease(&name(), wait(Duration::ZERO)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_cold_model_are_served_when_it_is_published_ready() {
    let board = board(State::Cold, &[], 8);
    let mut wanted = board.wanted();
    wanted.mark_unchanged();
    let key = name();
    let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut caller).await.is_none());
    assert!(wanted.has_changed().unwrap(), "the fleet is told");
    assert_eq!(board.demand()[0].waiting, 1);
    publish(&board, entry(State::Ready, &[1], 8));
    assert_eq!(caller.await.unwrap().member.id.as_str(), "i0");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_goes_down_answers_its_line_with_the_reason() {
    let board = board(State::Cold, &[], 8);
    let key = name();
    let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut caller).await.is_none());
    let reason = Reason::new(ReasonCode::ModelCorrupt, "bytes 4 to 8 are wrong", "fetch it again");
    publish(&board, entry(State::Down(reason.clone()), &[], 8));
    assert_eq!(caller.await.unwrap_err(), Error::Down { deployment: name(), reason });
    board.publish(Table::default());
    assert_eq!(board.lease(&name(), wait(PATIENT)).await.unwrap_err(), Error::NotFound(name()));
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_deployment_that_is_gone_are_seen_until_they_end() {
    let board = board(State::Ready, &[1], 8);
    let held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    board.publish(Table::default());
    board.publish(Table::default());
    assert_eq!(board.member_use(&name(), &held.member.id).in_flight, 1);
    let mut wanted = board.wanted();
    wanted.mark_unchanged();
    drop(held);
    assert!(wanted.has_changed().unwrap(), "the fleet is told that it may be stopped");
    board.publish(Table::default());
    assert!(board.demand().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_failed_a_caller_is_avoided_and_reported_once() {
    let board = board(State::Ready, &[4, 4], 8);
    let first = board.lease(&name(), wait(PATIENT)).await.unwrap();
    first.failed(Failure::Unreachable);
    first.failed(Failure::Unreachable);
    let avoid = vec![first.member.id.clone()];
    drop(first);
    let again = board.lease(&name(), Wait { avoid: avoid.clone(), ..wait(PATIENT) }).await.unwrap();
    assert_ne!(again.member.id, avoid[0]);
    assert_eq!(board.take_suspects(), avoid);
    assert!(board.take_suspects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_sends_the_line_away_and_draining_waits_for_the_rest() {
    let board = board(State::Ready, &[1], 8);
    let held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut caller).await.is_none());
    board.close_admission();
    assert_eq!(caller.await.unwrap_err(), Error::Closed);
    assert_eq!(board.lease(&name(), wait(PATIENT)).await.unwrap_err(), Error::Closed);
    let mut drained = Box::pin(board.drained());
    assert!(futures_poll(&mut drained).await.is_none());
    drop(held);
    drained.await;
}

#[tokio::test(start_paused = true)]
async fn callers_who_find_a_slot_taken_do_not_wake_the_fleet_again_and_again() {
    let board = board(State::Ready, &[1], 64);
    let _held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let mut wanted = board.wanted();
    wanted.mark_unchanged();
    let key = name();
    let mut first = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut first).await.is_none());
    assert!(!wanted.has_changed().unwrap(), "the fleet could do nothing about it: replicas.max is 1");
    publish(&board, entry(State::Cold, &[], 64));
    let mut second = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut second).await.is_none());
    assert!(!wanted.has_changed().unwrap(), "it sees the one who waits already in its own turn");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_avoids_a_member_does_not_keep_others_from_it() {
    let board = board(State::Ready, &[1, 1], 8);
    let a = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let b = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let picky = Wait { avoid: vec![a.member.id.clone()], ..wait(PATIENT) };
    let mut avoids = Box::pin(board.lease(&key, picky));
    let mut takes_any = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut avoids).await.is_none());
    assert!(futures_poll(&mut takes_any).await.is_none());
    let avoided = a.member.id.clone();
    drop(a);
    let lease = futures_poll(&mut takes_any).await.expect("its slot is free and this caller does not mind").unwrap();
    assert_eq!(lease.member.id, avoided);
    drop(lease);
    let newcomer = board.lease(&name(), wait(Duration::ZERO)).await.unwrap();
    assert_eq!(newcomer.member.id, avoided, "nor does a caller who comes later");
    drop(b);
    assert_ne!(avoids.await.unwrap().member.id, avoided);
}

#[tokio::test(start_paused = true)]
async fn patience_follows_the_state_of_the_deployment_and_not_the_state_at_entry() {
    const READY: Duration = Duration::from_secs(30);
    const COLD: Duration = Duration::from_mins(5);
    let both = || Wait { patience_ready: READY, patience_cold: COLD, keep_alive: None, avoid: Vec::new() };
    let board = board(State::Ready, &[1], 8);
    let _held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    let key = name();
    let began = tokio::time::Instant::now();
    let mut caller = Box::pin(board.lease(&key, both()));
    assert!(futures_poll(&mut caller).await.is_none());
    publish(&board, entry(State::Cold, &[], 8));
    assert!(tokio::time::timeout(READY * 2, &mut caller).await.is_err(), "it waits for the start now");
    let mut busy = (*entry(State::Ready, &[1], 8)).clone();
    busy.instances.clear(); // ready, and no slot for this caller
    publish(&board, Arc::new(busy));
    let error = caller.await.unwrap_err();
    assert!(matches!(error, Error::QueueTimeout { .. }), "{error}");
    assert_eq!(began.elapsed(), READY * 3, "a ready model that has no slot gets the patience of a ready model");
}

#[tokio::test(start_paused = true)]
async fn a_flapping_deployment_does_not_hold_its_callers_for_ever() {
    let board = board(State::Cold, &[], 8);
    let key = name();
    let began = tokio::time::Instant::now();
    let mut caller = Box::pin(board.lease(&key, wait(Duration::from_secs(10))));
    let mut cold = false;
    while tokio::time::timeout(Duration::from_secs(6), &mut caller).await.is_err() {
        let mut next = (*entry(if cold { State::Cold } else { State::Ready }, &[], 8)).clone();
        next.instances.clear();
        publish(&board, Arc::new(next));
        cold = !cold;
        assert!(began.elapsed() < PATIENT);
    }
    assert!(began.elapsed() <= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_line_of_no_length_still_lets_a_cold_model_be_asked_for() {
    let board = board(State::Cold, &[], 0);
    let key = name();
    let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
    assert!(futures_poll(&mut caller).await.is_none(), "it would have a slot at once if the model were ready");
    assert!(matches!(board.lease(&key, wait(PATIENT)).await.unwrap_err(), Error::QueueFull { .. }));
    publish(&board, entry(State::Ready, &[1], 0));
    drop(caller.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_a_caller_ends_with_the_instance_that_it_was_for() {
    let board = board(State::Cold, &[], 8);
    let key = name();
    let brief = Wait { keep_alive: Some(KeepAlive::For(Duration::ZERO)), ..wait(PATIENT) };
    let mut caller = Box::pin(board.lease(&key, brief));
    assert!(futures_poll(&mut caller).await.is_none());
    publish(&board, entry(State::Ready, &[1], 8));
    drop(caller.await.unwrap());
    assert_eq!(board.demand()[0].keep_alive, Some(KeepAlive::For(Duration::ZERO)));
    publish(&board, entry(State::Cold, &[], 8));
    assert_eq!(board.demand()[0].keep_alive, None, "the next caller did not ask for it");
}

#[tokio::test(start_paused = true)]
async fn the_fleet_hears_of_an_idle_member_only_while_something_waits_for_room() {
    let board = board(State::Ready, &[2], 8);
    let mut wanted = board.wanted();
    wanted.mark_unchanged();
    drop(board.lease(&name(), wait(PATIENT)).await.unwrap());
    assert!(!wanted.has_changed().unwrap());
    board.watch_for_idle(true);
    let (one, two) = (board.lease(&name(), wait(PATIENT)).await.unwrap(), board.lease(&name(), wait(PATIENT)).await.unwrap());
    drop(one);
    assert!(!wanted.has_changed().unwrap(), "it still works");
    drop(two);
    assert!(wanted.has_changed().unwrap());
}

/// Polls once: `None` while it is pending.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

proptest! {
    #[test]
    fn whatever_callers_do_slots_are_never_exceeded_and_all_come_back(
        slots in proptest::collection::vec(1_u32..4, 1..4),
        steps in proptest::collection::vec((0_u8..4, 0_usize..8), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let board = board(State::Ready, &slots, 64);
            let key = name();
            let most: u32 = slots.iter().sum();
            let (mut held, mut line) = (Vec::new(), Vec::new());
            for (step, at) in steps {
                match step {
                    0 | 1 => {
                        let mut caller = Box::pin(board.lease(&key, wait(PATIENT)));
                        match futures_poll(&mut caller).await {
                            Some(lease) => held.push(lease.unwrap()),
                            None => line.push(caller),
                        }
                    }
                    2 if !held.is_empty() => { held.swap_remove(at % held.len()); }
                    3 if !line.is_empty() => { drop(line.swap_remove(at % line.len())); }
                    _ => {}
                }
                let mut still = Vec::new();
                for mut caller in line.drain(..) {
                    match futures_poll(&mut caller).await {
                        Some(lease) => held.push(lease.unwrap()),
                        None => still.push(caller),
                    }
                }
                line = still;
                assert!(board.in_flight() <= most as usize);
                assert_eq!(board.in_flight(), held.len());
                assert!(line.is_empty() || held.len() == most as usize, "someone waits although a slot is free");
            }
            drop(line);
            drop(held);
            assert_eq!(board.in_flight(), 0);
        });
    }
}
