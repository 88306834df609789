//! One of eight is ten times slower, or fails: what callers notice of it. In virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use spec::Name;
use tokio::time::Instant;

use super::routes::{deployment, route, table};
use super::{entry, futures_poll, name};
use crate::dice::Dice;
use crate::{Board, Failure, Hint, Lease, State, Table};

const MEMBERS: u32 = 8;
const CALLS: usize = 4000;

/// What happens next, at which millisecond, to which call.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Comes,
    Begins(usize),
    Ends(usize),
}

struct World {
    board: Arc<Board>,
    asked: Name,
    dice: Dice,
    calls: Vec<Option<Lease>>,
    /// Milliseconds to the first token of each call.
    first: Vec<u64>,
    /// Leases given.
    leases: usize,
    errors: usize,
    sick: Option<(String, bool)>,
}

impl World {
    fn new(board: Arc<Board>, asked: Name, sick: Option<(&str, bool)>) -> Self {
        let (calls, first) = (Vec::new(), Vec::new());
        let sick = sick.map(|(id, fails)| (id.to_owned(), fails));
        Self { board, asked, dice: Dice::new(), calls, first, leases: 0, errors: 0, sick }
    }

    /// 80 to 140 ms, now and then up to twice that.
    fn healthy(&mut self) -> u64 {
        let usual = 80 + self.dice.below(60) as u64;
        if self.dice.below(20) == 0 { usual + self.dice.below(140) as u64 } else { usual }
    }

    /// Takes `CALLS` calls that come `every` so many milliseconds on average.
    async fn run(&mut self, every: usize) {
        let mut events = BinaryHeap::from([Reverse((0, Next::Comes))]);
        let (mut now, mut come) = (0, 0);
        while let Some(Reverse((at, next))) = events.pop() {
            tokio::time::advance(Duration::from_millis(at - now)).await;
            now = at;
            match next {
                Next::Comes => {
                    come += 1;
                    if come < CALLS {
                        events.push(Reverse((at + self.dice.below(2 * every + 1) as u64, Next::Comes)));
                    }
                    if let Some(first) = self.ask().await {
                        events.push(Reverse((at + first, Next::Begins(self.calls.len() - 1))));
                    }
                }
                Next::Begins(call) => {
                    let lease = self.calls[call].as_ref().unwrap();
                    lease.began();
                    events.push(Reverse((at + self.dice.below(400) as u64, Next::Ends(call))));
                }
                Next::Ends(call) => self.calls[call] = None,
            }
        }
    }

    /// The milliseconds to its first token; none when it failed, and then again on another.
    async fn ask(&mut self) -> Option<u64> {
        let mut search = self.board.find(self.asked.as_str()).unwrap();
        search.aim(|_| true, &Hint::default()).unwrap();
        for _ in 0..2 {
            let lease = futures_poll(&mut Box::pin(search.lease(&self.board, &Hint::default()))).await.expect("a slot at once").unwrap();
            self.leases += 1;
            let time = self.healthy();
            match &self.sick {
                Some((id, true)) if lease.member.id.as_str() == id => {
                    lease.failed(Failure::Error);
                    search.failed(&lease);
                    continue;
                }
                Some((id, false)) if lease.member.id.as_str() == id => self.first.push(time * 10),
                _ => self.first.push(time),
            }
            self.calls.push(Some(lease));
            return self.first.last().copied();
        }
        self.errors += 1;
        None
    }

    fn p99(&mut self) -> u64 {
        self.first.sort_unstable();
        self.first[self.first.len() * 99 / 100]
    }
}

fn members() -> (Arc<Board>, Name) {
    let board = Board::new();
    board.publish(Table { deployments: [(name(), entry(State::Ready, &[256; MEMBERS as usize], 8))].into(), ..Table::default() });
    (board, name())
}

fn targets() -> (Arc<Board>, Name) {
    let all: Vec<_> =
        (0..MEMBERS).map(|i| deployment(&format!("d{i}"), State::Ready, 256, |spec| spec.upstream_model = Some("m".into()))).collect();
    let names: Vec<(String, u32)> = (0..MEMBERS).map(|i| (format!("d{i}"), 1)).collect();
    let names: Vec<(&str, u32)> = names.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
    let board = Board::new();
    board.publish(table(all, [route("chat", &names, &[])]));
    (board, Name::parse("chat").unwrap())
}

#[tokio::test(start_paused = true)]
async fn one_of_eight_that_is_ten_times_slower_is_hardly_noticed() {
    for (what, (board, asked), sick) in [("members", members(), "i5"), ("targets", targets(), "d5-0")] {
        for every in [2, 50] {
            let mut healthy = World::new(Arc::clone(&board), asked.clone(), None);
            healthy.run(every).await;
            let (board, asked) = if what == "members" { members() } else { targets() };
            let mut world = World::new(board, asked, Some((sick, false)));
            world.run(every).await;
            let (usual, p99) = (healthy.p99(), world.p99());
            let slow = world.first.iter().filter(|first| **first >= 800).count();
            println!(
                "{what}, a call each {every} ms: p99 {p99} ms beside {usual} ms, {slow} slow calls of {CALLS}, {} leases",
                world.leases
            );
            assert!(p99 * 2 <= usual * 3, "{what} {every}: {p99} ms beside {usual} ms, {slow} calls were slow");
            assert!(world.leases * 100 <= CALLS * 105, "{} leases for {CALLS} calls", world.leases);
            assert_eq!(world.board.in_flight(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_eight_that_fails_every_call_costs_few_tries_and_no_caller() {
    for ((board, asked), sick) in [(members(), "i2"), (targets(), "d2-0")] {
        let mut world = World::new(board, asked, Some((sick, true)));
        world.run(20).await;
        let tries = world.leases - CALLS;
        assert_eq!(world.errors, 0, "every caller is served by another");
        assert!((3..=20).contains(&tries), "{tries} calls found out that it fails");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_recovered_takes_its_part_again() {
    for ((board, asked), sick) in [(members(), "i5"), (targets(), "d5-0")] {
        let mut world = World::new(board, asked, Some((sick, false)));
        world.run(10).await;
        let ejected = world.board.counts().iter().map(|count| count.ejected).sum::<u32>();
        assert_eq!(ejected, 1);
        world.sick = None;
        let began = Instant::now();
        world.run(50).await;
        world.run(50).await;
        assert!(began.elapsed() >= Duration::from_mins(5));
        let after: u32 = world.board.counts().iter().map(|count| count.ejected).sum();
        assert_eq!(after, 0, "one good trial brings it back");
    }
}
