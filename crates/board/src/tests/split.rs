//! Two revisions beside each other: each call's side, and what a full side means.

use super::*;
use crate::Split;

/// An old member with so many slots, and a new one.
fn both(old: u32, new: u32, percent: u32) -> Arc<Entry> {
    let mut entry = (*entry(State::Ready, &[old, new], 8)).clone();
    let mut own = entry.clone();
    (own.revision, own.instances) = (2, Vec::new());
    let mut member = (*entry.instances[1]).clone();
    (member.revision, member.own) = (2, Some(Arc::new(own)));
    entry.instances[1] = Arc::new(member);
    entry.split = Some(Split { revision: 2, percent });
    Arc::new(entry)
}

fn opened(entry: Arc<Entry>) -> Arc<Board> {
    let board = Board::new();
    publish(&board, entry);
    board
}

#[tokio::test(start_paused = true)]
async fn each_revision_gets_its_share_and_its_calls_see_its_own_entry() {
    let board = opened(both(4, 4, 25));
    let mut new = 0;
    for _ in 0..200 {
        let lease = board.lease(&name(), wait(PATIENT)).await.unwrap();
        assert_eq!(lease.entry.revision, lease.member.revision);
        lease.succeeded(Duration::from_millis(1));
        new += u32::from(lease.member.revision == 2);
    }
    assert_eq!(new, 50);
    let used = |id: &str| board.member_use(&name(), &InstanceId::new(id));
    assert_eq!((used("i0").calls, used("i1").calls, used("i1").failures), (150, 50, 0));
    assert_eq!(used("i1").first_token, Some(Duration::from_millis(1)));
}

#[tokio::test(start_paused = true)]
async fn a_canary_takes_no_more_than_its_share_because_the_old_revision_is_full() {
    let board = opened(both(1, 8, 10));
    let held = board.lease(&name(), wait(PATIENT)).await.unwrap();
    assert_eq!(held.member.revision, 1);
    let error = board.lease(&name(), wait(Duration::from_secs(1))).await.unwrap_err();
    assert!(matches!(error, Error::QueueTimeout { .. }), "{error}");
    drop(held);
    assert_eq!(board.lease(&name(), wait(PATIENT)).await.unwrap().member.revision, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_whom_one_revision_failed_goes_to_the_other() {
    let board = opened(both(4, 4, 10));
    let avoid = Wait { avoid: vec![InstanceId::new("i0")], ..wait(PATIENT) };
    assert_eq!(board.lease(&name(), avoid).await.unwrap().member.revision, 2, "though it is not its turn");
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_are_counted_once_each() {
    let board = opened(both(4, 4, 50));
    for _ in 0..8 {
        let lease = board.lease(&name(), wait(PATIENT)).await.unwrap();
        if lease.member.revision == 2 {
            lease.succeeded(Duration::from_millis(1));
            lease.failed(Failure::Error); // after it had begun
        } else {
            lease.answered();
        }
    }
    let used = |id: &str| board.member_use(&name(), &InstanceId::new(id));
    assert_eq!((used("i0").calls, used("i0").failures), (4, 0));
    assert_eq!((used("i1").calls, used("i1").failures), (4, 4));
}
