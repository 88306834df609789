//! A swap touches what has changed and nothing else.

use std::sync::Arc;
use std::time::Duration;

use spec::Name;

use super::routes::{route, table};
use super::{PATIENT, entry, wait};
use crate::search::Way;
use crate::{Board, Entry, Error, State, Table};

fn named(of: &str) -> Name {
    Name::parse(of).unwrap()
}

fn one(of: &str, state: State) -> Entry {
    Entry { name: named(of), ..(*entry(state, &[1], 8)).clone() }
}

/// The lanes, ways and entries of `many`, by address: what is not there in both has been made anew.
fn addresses(board: &Board) -> Vec<(usize, usize)> {
    let view = board.view.load();
    let at = |way: &Way| match way {
        Way::Deployment(lane, entry) => (Arc::as_ptr(lane).addr(), Arc::as_ptr(entry).addr()),
        Way::Route(desk) => (Arc::as_ptr(desk).addr(), 0),
    };
    view.ways.values().map(at).collect()
}

#[test]
fn of_ten_thousand_deployments_only_the_one_that_changed_is_made_anew() {
    let all = (0..10_000).map(|number| one(&format!("m{number:05}"), State::Cold));
    let board = Board::new();
    board.publish(table(all, [route("over", &[("m00007", 1)], &[]), route("beside", &[("m00008", 1)], &[])]));
    let before = addresses(&board);
    let mut next = (*board.table()).clone();
    next.deployments.insert(named("m00007"), Arc::new(one("m00007", State::Ready)));
    board.publish(next);
    let after = addresses(&board);
    let moved: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    // By name: `beside`, then the deployments, then `over`.
    assert_eq!(moved, [8, 10_001], "the deployment, and the route that leads to it");
    assert_eq!(before[8].0, after[8].0, "its line is the same one");
    assert!(matches!(board.view.load().ways["m00007"], Way::Deployment(_, ref entry) if entry.state == State::Ready));
}

#[tokio::test(start_paused = true)]
async fn the_line_of_one_that_leaves_is_there_until_its_last_call_ends_and_is_taken_up_when_it_comes_back() {
    let board = Board::new();
    board.publish(table([one("a", State::Ready), one("b", State::Ready)], []));
    let call = board.lease(&named("a"), wait(PATIENT)).await.unwrap();
    let without: Table = table([one("b", State::Ready)], []);
    board.publish(without.clone());
    assert!(board.find("a").is_none());
    assert_eq!(board.demand().iter().map(|demand| demand.in_flight).sum::<u32>(), 1, "the fleet still sees its call");
    board.publish(table([one("a", State::Ready), one("b", State::Ready)], []));
    let refused = board.lease(&named("a"), wait(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(refused, Error::QueueTimeout { .. }), "the call still has the only slot: {refused}");
    board.publish(without.clone());
    drop(call);
    board.publish(Table { routes: [].into(), ..without });
    assert_eq!(board.demand().len(), 1, "nothing of it is left");
    assert_eq!(board.in_flight(), 0);
}

#[test]
fn a_route_takes_the_name_of_a_deployment_that_leaves_and_gives_it_back() {
    let board = Board::new();
    let is_route = |board: &Board| matches!(board.way(&named("a")), Some(Way::Route(_)));
    board.publish(table([one("b", State::Cold)], [route("a", &[("b", 1)], &[])]));
    assert!(is_route(&board));
    board.publish(table([one("a", State::Cold), one("b", State::Cold)], [route("a", &[("b", 1)], &[])]));
    assert!(!is_route(&board), "a deployment comes first");
    board.publish(table([one("b", State::Cold)], [route("a", &[("b", 1)], &[])]));
    assert!(is_route(&board));
    board.publish(table([one("b", State::Cold)], []));
    assert!(board.find("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_something_to_be_published_goes_on_at_that_very_moment() {
    const EACH: Duration = Duration::from_millis(500);
    let board = Board::new();
    let publishes = async {
        for of in ["other", "m"] {
            tokio::time::sleep(EACH).await;
            let mut next = (*board.table()).clone();
            next.deployments.insert(named(of), Arc::new(one(of, State::Cold)));
            board.publish(next);
        }
    };
    let begun = tokio::time::Instant::now();
    let waits = async {
        board.wait_for(|table| table.deployments.contains_key(&named("m"))).await;
        begun.elapsed()
    };
    let ((), waited) = tokio::join!(publishes, waits);
    assert_eq!(waited, 2 * EACH, "nor at the first, which is of another");
    board.wait_for(|table| table.deployments.contains_key(&named("m"))).await;
    assert_eq!(begun.elapsed(), 2 * EACH, "what is published already is not waited for");
}
