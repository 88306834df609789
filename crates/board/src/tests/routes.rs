//! Routes, fallbacks, and what keeps calls together.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use proptest::prelude::*;
use spec::deployment::Origin;
use spec::{Affinity, Deployment, Endpoint, InstanceId, Name, Phase, Reason, ReasonCode, Route, RouteRecord, Target, WhenFull};

use super::{entry, futures_poll};
use crate::{Board, Entry, Error, Failure, Hint, Lease, Member, Search, State, Table};

const NOTHING: Hint<'static> = Hint { session: None, prompt: None };

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A deployment with one member, `NAME-0`, if it is ready.
pub(super) fn deployment(of: &str, state: State, slots: u32, change: impl FnOnce(&mut Deployment)) -> Entry {
    let mut spec = Deployment::named(name(of));
    change(&mut spec);
    let endpoint = Endpoint::Url("http://127.0.0.1:1/v1".into());
    let member = Member { id: InstanceId::new(format!("{of}-0")), endpoint, key: None, slots, revision: 1, own: None };
    let instances = if state == State::Ready { vec![Arc::new(member)] } else { Vec::new() };
    let upstream_model = spec.upstream_model.clone().unwrap_or_else(|| of.to_owned());
    Entry { name: name(of), spec: Arc::new(spec), upstream_model, instances, state, ..(*entry(State::Cold, &[], 8)).clone() }
}

fn ready(of: &str, slots: u32) -> Entry {
    deployment(of, State::Ready, slots, |_| {})
}

pub(super) fn route(of: &str, targets: &[(&str, u32)], fallback: &[&str]) -> Route {
    let targets = targets.iter().map(|(to, weight)| Target { deployment: name(to), weight: *weight }).collect();
    Route { name: name(of), targets, fallback: fallback.iter().map(|n| name(n)).collect(), affinity: Affinity::None }
}

pub(super) fn table(entries: impl IntoIterator<Item = Entry>, routes: impl IntoIterator<Item = Route>) -> Table {
    let now = Timestamp::from_millis(0);
    let record = |spec: Route| RouteRecord { spec, generation: 1, origin: Origin::Api, created_at: now, updated_at: now };
    Table {
        deployments: entries.into_iter().map(|entry| (entry.name.clone(), Arc::new(entry))).collect(),
        routes: routes.into_iter().map(|route| (route.name.clone(), Arc::new(record(route)))).collect(),
    }
}

fn board(entries: impl IntoIterator<Item = Entry>, routes: impl IntoIterator<Item = Route>) -> Arc<Board> {
    let board = Board::new();
    board.publish(table(entries, routes));
    board
}

fn search(board: &Board, of: &str) -> Search {
    let mut search = board.find(of).unwrap();
    search.aim(|_| true, &NOTHING);
    search
}

async fn lease(board: &Board, of: &str) -> Result<Lease, Error> {
    search(board, of).lease(board, &NOTHING).await
}

async fn now(board: &Board, of: &str, hint: &Hint<'_>) -> Lease {
    let mut search = board.find(of).unwrap();
    search.aim(|_| true, hint);
    futures_poll(&mut Box::pin(search.lease(board, hint))).await.expect("a slot at once").unwrap()
}

fn down() -> State {
    State::Down(Reason::new(ReasonCode::ModelMissing, "the file is not there", "bring it"))
}

#[tokio::test(start_paused = true)]
async fn calls_are_shared_by_weight_and_a_weight_of_nothing_gets_nothing() {
    let board = board([ready("a", 64), ready("b", 64), ready("c", 64)], [route("chat", &[("a", 9), ("b", 1), ("c", 0)], &[])]);
    let mut counts = [0; 3];
    for _ in 0..8000 {
        let lease = lease(&board, "chat").await.unwrap();
        counts[["a", "b", "c"].iter().position(|n| lease.entry.name == name(n)).unwrap()] += 1;
    }
    assert!((680..920).contains(&counts[1]) && counts[2] == 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_full_or_on_its_way_up_is_passed_over() {
    let rising = State::Rising { phase: Phase::Loading, since: Timestamp::from_millis(0), progress: None, eta: None };
    let entries = || [ready("a", 1), deployment("b", down(), 1, |_| {}), deployment("c", rising.clone(), 1, |_| {}), ready("d", 1)];
    let board = board(entries(), [route("chat", &[("a", 1), ("b", 100), ("c", 100), ("d", 1)], &[])]);
    let (one, two) = (lease(&board, "chat").await.unwrap(), lease(&board, "chat").await.unwrap());
    assert_ne!(one.entry.name, two.entry.name);
    let mut third = search(&board, "chat");
    let mut third = Box::pin(third.lease(&board, &NOTHING));
    assert!(futures_poll(&mut third).await.is_none(), "it waits where there is a line");
    let waits_for = board.counts().into_iter().find(|count| !count.route && count.waiting == 1).unwrap().name;
    drop(if one.entry.name == waits_for { one } else { two });
    assert_eq!(third.await.unwrap().entry.name, waits_for);
}

#[tokio::test(start_paused = true)]
async fn a_cold_target_is_woken_by_one_caller_and_the_next_go_where_it_is_warm() {
    let board = board([deployment("cold", State::Cold, 1, |_| {}), ready("warm", 8)], [route("chat", &[("cold", 1000), ("warm", 1)], &[])]);
    let mut first = search(&board, "chat");
    let mut first = Box::pin(first.lease(&board, &NOTHING));
    assert!(futures_poll(&mut first).await.is_none(), "the share of the cold one begins with its start");
    for _ in 0..4 {
        assert_eq!(lease(&board, "chat").await.unwrap().entry.name, name("warm"));
    }
    board.publish(table([ready("cold", 1), ready("warm", 8)], [route("chat", &[("cold", 1000), ("warm", 1)], &[])]));
    assert_eq!(first.await.unwrap().entry.name, name("cold"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_goes_to_another_member_then_target_then_fallback() {
    let routes = [route("chat", &[("a", 1), ("b", 1)], &["spare"]), route("spare", &[("c", 1)], &[])];
    let board = board([ready("a", 4), ready("b", 4), ready("c", 4)], routes);
    let mut search = search(&board, "chat");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let lease = search.lease(&board, &NOTHING).await.unwrap();
        lease.failed(Failure::Broken);
        search.failed(&lease);
        seen.push(lease.entry.name.clone());
    }
    assert_ne!(seen[0], seen[1]);
    assert_eq!(seen[2..], [name("c"), name("c")], "when nobody else is left the last one is asked again: {seen:?}");
    assert_eq!(board.fallbacks(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_deployment_queues_refuses_or_goes_elsewhere_as_it_was_told() {
    let full = |when_full| {
        move |spec: &mut Deployment| {
            spec.when_full = when_full;
            spec.fallback = vec![name("spare")];
        }
    };
    let told = |when_full| board([deployment("a", State::Ready, 1, full(when_full)), ready("spare", 1)], []);
    for when_full in [WhenFull::Fallback, WhenFull::Reject] {
        let board = told(when_full);
        let _held = lease(&board, "a").await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(lease(&board, "a").await.unwrap().entry.name, name("spare"));
        assert_eq!(began.elapsed(), Duration::ZERO, "at once");
    }
    let board = told(WhenFull::Queue);
    let _held = lease(&board, "a").await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(lease(&board, "a").await.unwrap().entry.name, name("spare"));
    assert_eq!(began.elapsed(), Duration::from_secs(30), "it waited its time in line first");
    let alone = self::board([deployment("a", State::Ready, 1, |spec| spec.when_full = WhenFull::Reject)], []);
    let _held = lease(&alone, "a").await.unwrap();
    assert_eq!(lease(&alone, "a").await.unwrap_err(), Error::QueueFull { deployment: name("a"), waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_run_at_once_than_the_deployment_allows_whatever_its_slots() {
    let board = board([deployment("a", State::Ready, 8, |spec| spec.max_concurrent = Some(2))], []);
    let held = (lease(&board, "a").await.unwrap(), lease(&board, "a").await.unwrap());
    let mut third = search(&board, "a");
    let mut third = Box::pin(third.lease(&board, &NOTHING));
    assert!(futures_poll(&mut third).await.is_none());
    assert_eq!((board.counts()[0].slots, board.counts()[0].waiting), (2, 1));
    drop(held);
    third.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn when_nobody_can_serve_the_first_one_says_why() {
    let board =
        board([deployment("a", down(), 1, |_| {}), deployment("b", down(), 1, |_| {})], [route("chat", &[("a", 1)], &["b", "gone"])]);
    let error = lease(&board, "chat").await.unwrap_err();
    assert!(matches!(&error, Error::Down { deployment, .. } if *deployment == name("a") || *deployment == name("chat")), "{error}");
    board.publish(Table::default());
    assert!(board.find("chat").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_on_its_member_and_moves_when_that_is_passed_over() {
    let board = board([], []);
    let mut many = (*entry(State::Ready, &[64, 64, 64, 64], 8)).clone();
    many.name = name("a");
    board.publish(table([many], []));
    let hint = Hint { session: Some(b"one"), prompt: None };
    let home = now(&board, "a", &hint).await.member.id.clone();
    for _ in 0..50 {
        assert_eq!(now(&board, "a", &hint).await.member.id, home);
    }
    assert_eq!(board.counts()[0].affinity_hits, 51);
    for _ in 0..3 {
        now(&board, "a", &hint).await.failed(Failure::Error);
    }
    let next = now(&board, "a", &hint).await.member.id.clone();
    assert!(next != home && board.member_use(&name("a"), &home).ejected, "it fails, so its sessions live elsewhere");
    assert_eq!(now(&board, "a", &hint).await.member.id, next, "all on the same one");
    tokio::time::advance(Duration::from_secs(6)).await;
    let trial = now(&board, "a", &hint).await;
    assert_eq!(trial.member.id, home, "the first call after its time tries it");
    assert_eq!(now(&board, "a", &hint).await.member.id, next, "and only one");
    trial.began();
    assert_eq!(now(&board, "a", &hint).await.member.id, home);
}

#[tokio::test(start_paused = true)]
async fn a_talk_goes_where_its_beginning_was_read() {
    let mut many = (*entry(State::Ready, &[8, 8, 8], 8)).clone();
    many.name = name("a");
    let board = board([many], []);
    let talk = vec![b'x'; 4096];
    let first = now(&board, "a", &Hint { session: None, prompt: Some(&talk[..2048]) }).await.member.id.clone();
    for length in [2304, 3000, 4096] {
        let next = now(&board, "a", &Hint { session: None, prompt: Some(&talk[..length]) }).await;
        assert_eq!(next.member.id, first);
    }
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(now(&board, "a", &Hint { session: None, prompt: Some(&talk) }).await);
    }
    let there = held.iter().filter(|lease| lease.member.id == first).count();
    assert!(there <= 8, "others read it too before one is overrun: {there} of 12");
}

#[tokio::test(start_paused = true)]
async fn with_one_member_nothing_is_learnt_and_nobody_is_passed_over() {
    let board = board([ready("a", 4)], []);
    assert_eq!(board.find("a").unwrap().affinity(), Affinity::None);
    for _ in 0..50 {
        now(&board, "a", &Hint { session: Some(b"s"), prompt: Some(&[0; 4096]) }).await.failed(Failure::Error);
    }
    assert_eq!((board.counts()[0].ejections, board.counts()[0].affinity_hits), (0, 0));
}

proptest! {
    #[test]
    fn fallbacks_end_however_they_point_and_give_everything_back(
        links in proptest::collection::vec((0_u8..3, proptest::collection::vec(0_usize..8, 0..4)), 8),
        failures in 0_usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let at = |i: usize| format!("n{i}");
            let (mut entries, mut routes) = (Vec::new(), Vec::new());
            for (i, (kind, next)) in links.iter().enumerate() {
                let names: Vec<String> = next.iter().map(|n| at(*n)).collect();
                let state = if *kind == 0 { State::Ready } else { down() };
                if *kind == 2 {
                    let targets: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
                    routes.push(route(&at(i), &targets, &names.iter().map(String::as_str).collect::<Vec<_>>()));
                } else {
                    entries.push(deployment(&at(i), state, 1, |spec| spec.fallback = names.iter().map(|n| name(n)).collect()));
                }
            }
            let board = board(entries, routes);
            for i in 0..links.len() {
                let mut search = search(&board, &at(i));
                let before = board.fallbacks();
                for _ in 0..failures {
                    let Ok(lease) = search.lease(&board, &NOTHING).await else { break };
                    lease.failed(Failure::Broken);
                    search.failed(&lease);
                }
                assert!(board.fallbacks() - before < links.len() as u64, "a name was asked twice");
            }
            assert_eq!(board.in_flight(), 0);
            assert!(board.counts().iter().all(|count| count.in_flight == 0 && count.waiting == 0));
        });
    }
}
