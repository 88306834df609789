//! Rollouts in a room with a real store and board: nobody is turned away, and a crash in the middle loses nothing.

use std::time::Duration;

use base::ByteSize;
use spec::deployment::RevisionStatus;
use spec::{EventKind, InstanceId, Phase, ReasonCode, RolloutPhase, Strategy};
use tempfile::TempDir;
use testkit::Script;

use super::room::{Room, machine, name, phase};
use crate::{Error, Snapshot, Verb};

fn rollout(seen: &Snapshot) -> RolloutPhase {
    seen.deployments[&name()].rollout.phase
}

fn serves(seen: &Snapshot, number: u64) -> bool {
    let is_it = |revision: u64, phase: Phase| revision == number && phase == Phase::Ready;
    rollout(seen) != RolloutPhase::Progressing && seen.instances.len() == 1 && is_it(seen.instances[0].revision, seen.instances[0].phase)
}

async fn kinds(room: &Room) -> Vec<EventKind> {
    room.events().await.into_iter().map(|event| event.kind).filter(|kind| format!("{kind:?}").starts_with("Rollout")).collect()
}

/// How the revisions stand, once the turn that was seen last is written down.
async fn standing(room: &Room) -> Vec<(u64, RevisionStatus)> {
    room.events().await;
    room.store.list_revisions(&name()).await.unwrap().into_iter().map(|kept| (kept.revision.number, kept.status)).collect()
}

#[tokio::test]
async fn limits_and_replicas_change_without_a_new_engine_and_their_revision_serves_at_once() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let before = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    let held = room.lease().await.unwrap();
    room.deploy(|d| {
        (d.replicas.min, d.max_queue, d.limits.concurrency) = (1, 7, Some(9));
    })
    .await;
    let seen = room.until(|seen| serves(seen, 2)).await;
    assert_eq!((&seen.instances[0].id, room.runtime.launches().len()), (&before, 1));
    room.until_true(|room| room.board.table().deployments[&name()].spec.max_queue == 7).await;
    assert_eq!(standing(&room).await, [(2, RevisionStatus::Serving), (1, RevisionStatus::Superseded)]);
    assert_eq!(kinds(&room).await, [EventKind::RolloutStarted, EventKind::RolloutComplete]);
    drop(held);
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| serves(seen, 2)).await;
    assert_eq!((&seen.instances[0].id, room.runtime.launches().len()), (&before, 1), "nothing was started anew");
}

#[tokio::test]
async fn a_revision_that_cannot_come_up_is_given_up_while_the_old_one_answers_everybody() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let old = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    room.runtime.script(Script { refuse: Some((1, "error: unknown argument".into())), ..Script::default() });
    room.deploy(|d| (d.replicas.min, d.args) = (1, vec!["--wrong".into()])).await;
    let mut calls = 0;
    while rollout(&room.fleet.snapshot()) != RolloutPhase::RolledBack {
        drop(room.lease().await.unwrap());
        calls += 1;
        tokio::task::yield_now().await;
    }
    let seen = room.until(|seen| serves(seen, 1) || seen.instances.iter().any(|i| i.id == old && i.phase == Phase::Ready)).await;
    assert!(calls > 0);
    let status = &seen.deployments[&name()].rollout;
    let reason = status.reason.as_ref().unwrap();
    assert_eq!((status.from, status.to, status.failures, reason.code), (Some(1), 2, 3, ReasonCode::RevisionFailed));
    assert!(reason.message.contains("unknown argument"), "{}", reason.message);
    let failed = seen.instances.iter().find(|one| one.phase == Phase::Failed).expect("the last one can be looked at");
    assert!(reason.remedy.contains(&format!("`penstock logs {}`", failed.id)), "{}", reason.remedy);
    assert_eq!(standing(&room).await, [(2, RevisionStatus::Failed), (1, RevisionStatus::Serving)]);
    assert_eq!(kinds(&room).await, [EventKind::RolloutStarted, EventKind::RolloutRolledBack]);
    assert_eq!(drop(room.lease().await.unwrap()), ());
    room.runtime.script(Script::default());
    room.fleet.rollout(&name(), Verb::Resume, spec::Cause::Hand).await.unwrap();
    room.until(|seen| serves(seen, 2) || (rollout(seen) == RolloutPhase::Complete)).await;
}

#[tokio::test]
async fn what_was_killed_along_with_its_keeper_counts_against_no_revision() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| serves(seen, 1)).await;
    room.runtime.script(Script { load: Duration::from_hours(1), ..Script::default() });
    room.deploy(|d| (d.replicas.min, d.context) = (1, Some(128))).await;
    let loads =
        |seen: &Snapshot| seen.instances.iter().find(|one| one.revision == 2 && one.phase == Phase::Loading).map(|one| one.id.clone());
    let lost = loads(&*room.until(|seen| loads(seen).is_some()).await).unwrap();
    let (runtime, dir) = room.crash().await;
    runtime.lose(&lost);
    runtime.script(Script::default());
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| serves(seen, 2)).await;
    assert_eq!((seen.deployments[&name()].rollout.failures, seen.counters.failures), (0, 1));
}

#[tokio::test]
async fn a_canary_goes_on_where_it_was_when_a_change_needs_no_other_engine() {
    let room = Room::open().await;
    let wish = |d: &mut spec::Deployment, hold: Duration, words: u32| {
        (d.replicas.min, d.max_queue, d.rollout.strategy) = (1, words, Strategy::Canary);
        (d.rollout.canary.weights, d.rollout.canary.hold) = (vec![10, 20, 30, 40, 50], hold);
    };
    let (short, long) = (Duration::from_millis(100), Duration::from_hours(1));
    room.deploy(|d| wish(d, short, 1)).await;
    room.until(|seen| serves(seen, 1)).await;
    let changed = |d: &mut spec::Deployment, hold, words| {
        wish(d, hold, words);
        d.context = Some(128);
    };
    room.deploy(|d| changed(d, short, 1)).await;
    let seen = room.until(|seen| seen.deployments[&name()].rollout.step > 0).await;
    let canary = seen.instances.iter().find(|one| one.revision == 2).unwrap().id.clone();
    let goes_on = |seen: &Snapshot, number: u64| {
        let (rollout, one) = (&seen.deployments[&name()].rollout, seen.instances.iter().find(|one| one.id == canary).unwrap());
        assert_eq!((rollout.from, rollout.to, rollout.phase), (Some(1), number, RolloutPhase::Progressing));
        assert!(rollout.step > 0 && one.revision == number && one.phase == Phase::Ready, "{rollout:?} {one:?}");
    };
    let frozen = |number: u64| move |seen: &Snapshot| seen.instances.iter().any(|one| one.revision == number);
    for number in [3, 4] {
        room.deploy(|d| changed(d, long, u32::try_from(number).unwrap())).await;
        goes_on(&*room.until(frozen(number)).await, number);
    }
    room.until_true(|room| room.board.table().deployments[&name()].split.is_some_and(|split| split.revision == 4)).await;
    room.events().await; // so that what was seen last is written down
    let (runtime, dir) = room.crash().await;
    let store = store::Store::open(dir.path().join("penstock.db")).await.unwrap();
    let mut spec = store.get_deployment(&name()).await.unwrap().unwrap().spec;
    spec.max_queue = 9;
    store.put_deployment(&spec, spec::deployment::Origin::Api, None).await.unwrap();
    store.close().await;
    let room = Room::with(runtime, dir).await;
    room.until(frozen(5)).await;
    goes_on(&*room.until(|seen| seen.instances.iter().all(|one| one.phase == Phase::Ready)).await, 5);
    assert_eq!(room.runtime.launches().len(), 2, "nothing was started anew");
    room.deploy(|d| {
        changed(d, long, 9);
        d.context = Some(256);
    })
    .await;
    let seen = room.until(|seen| seen.instances.iter().any(|one| one.revision == 6)).await;
    assert_eq!(seen.deployments[&name()].rollout.step, 0, "another engine has all of it before it");
}

#[tokio::test]
async fn what_was_not_good_is_not_tried_again_by_a_change_that_needs_no_other_engine() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let old = room.until(|seen| serves(seen, 1)).await.instances[0].id.clone();
    room.runtime.script(Script { refuse: Some((1, "error: unknown argument".into())), ..Script::default() });
    let wrong = |d: &mut spec::Deployment| {
        (d.replicas.min, d.args, d.rollout.strategy) = (1, vec!["--wrong".into()], Strategy::Recreate);
    };
    room.deploy(wrong).await;
    room.until(|seen| rollout(seen) == RolloutPhase::RolledBack).await;
    room.runtime.script(Script::default());
    let serves_old = |seen: &Snapshot| seen.instances.iter().any(|one| one.revision == 1 && one.phase == Phase::Ready);
    let again = room.until(serves_old).await.instances.iter().find(|one| one.phase == Phase::Ready).unwrap().id.clone();
    assert_ne!(again, old, "a recreate had ended it");
    let launches = room.runtime.launches().len();
    let relabel = |d: &mut spec::Deployment, words: u32| {
        wrong(d);
        d.max_queue = words;
    };
    room.deploy(|d| relabel(d, 7)).await;
    let is_back = |seen: &Snapshot, to| rollout(seen) == RolloutPhase::RolledBack && seen.deployments[&name()].rollout.to == to;
    let seen = room.until(|seen| is_back(seen, 3)).await;
    let status = &seen.deployments[&name()].rollout;
    assert_eq!((status.from, status.reason.as_ref().map(|reason| reason.code)), (Some(1), Some(ReasonCode::RevisionFailed)));
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    room.deploy(|d| relabel(d, 8)).await;
    let seen = room.until(|seen| is_back(seen, 4) && serves_old(seen)).await;
    assert!(seen.instances.iter().any(|one| one.id == again), "nothing was interrupted");
    assert_eq!(room.runtime.launches().len(), launches);
    room.fleet.rollout(&name(), Verb::Resume, spec::Cause::Hand).await.unwrap();
    room.until(|seen| serves(seen, 4)).await;
}

#[tokio::test]
async fn a_bad_revision_of_a_model_at_zero_goes_back_and_its_first_caller_is_served_by_the_old_one() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    drop(room.lease().await.unwrap());
    room.fleet.unload(&name()).await.unwrap();
    room.until(|seen| seen.instances.is_empty()).await;
    room.runtime.script(Script { refuse: Some((1, "error: unknown argument".into())), ..Script::default() });
    room.deploy(|d| d.args = vec!["--wrong".into()]).await;
    let mut turns = room.fleet.watch();
    let call = room.lease();
    let mended = async {
        while turns.borrow_and_update().deployments[&name()].rollout.phase != RolloutPhase::RolledBack {
            turns.changed().await.unwrap();
        }
        room.runtime.script(Script::default());
    };
    let (lease, ()) = tokio::join!(call, mended);
    assert_eq!(lease.unwrap().member.revision, 1);
}

#[tokio::test]
async fn by_recreate_in_room_for_one_streams_finish_callers_wait_and_nobody_is_turned_away() {
    // One instance of the echo takes 8 MiB.
    let room = Room::within(Some(ByteSize::mib(12)), machine(), TempDir::new().unwrap()).await.unwrap();
    room.runtime.script(Script { load: Duration::from_millis(50), end: Duration::from_millis(50), ..Script::default() });
    room.deploy(|d| d.replicas.min = 1).await;
    let stream = room.lease().await.unwrap();
    assert_eq!(stream.member.revision, 1);
    room.deploy(|d| (d.replicas.min, d.context) = (1, Some(128))).await; // rolling, which finds no room
    let seen = room.until(|seen| seen.deployments[&name()].rollout.strategy == Strategy::Recreate).await;
    let reason = seen.deployments[&name()].rollout.reason.clone().unwrap();
    assert!(reason.code == ReasonCode::NoRoom && reason.message.contains("no room for revision 2"), "{reason:?}");
    room.until(|seen| seen.instances.iter().any(|one| one.phase == Phase::Draining)).await;
    let key = name();
    let mut waits = Box::pin(room.lease_of(&key));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut waits).await.is_err(), "the stream goes on");
    assert_eq!(room.runtime.alive(), 1);
    drop(stream);
    assert_eq!(waits.await.unwrap().member.revision, 2);
    room.until(|seen| serves(seen, 2)).await;
    assert_eq!(room.runtime.launches().len(), 2);
}

#[tokio::test]
async fn a_paused_rollout_survives_a_crash_and_goes_on_when_it_is_resumed() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let old = room.until(|seen| serves(seen, 1)).await.instances[0].id.clone();
    room.fleet.rollout(&name(), Verb::Pause, spec::Cause::Hand).await.unwrap();
    room.deploy(|d| (d.replicas.min, d.context) = (1, Some(128))).await;
    room.until_true(|room| room.fleet.snapshot().deployments[&name()].rollout.to == 2).await;
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let status = &seen.deployments[&name()].rollout;
    assert_eq!((status.from, status.to, status.paused, &seen.instances[0].id), (Some(1), 2, true, &old));
    assert_eq!(room.runtime.launches().len(), 1);
    room.fleet.rollout(&name(), Verb::Resume, spec::Cause::Hand).await.unwrap();
    room.until(|seen| serves(seen, 2)).await;
    let error = room.fleet.rollout(&name(), Verb::Resume, spec::Cause::Hand).await.unwrap_err();
    assert!(matches!(error, Error::NotRolling { verb: Verb::Resume, .. }), "{error}");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_rollout_leaves_what_one_turn_goes_on_with() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let old = room.until(|seen| serves(seen, 1)).await.instances[0].id.clone();
    room.runtime.script(Script { load: Duration::from_millis(300), ..Script::default() });
    room.deploy(|d| (d.replicas.min, d.context) = (1, Some(128))).await;
    let seen = room.until(|seen| seen.instances.iter().any(|i| i.revision == 2 && i.phase == Phase::Loading)).await;
    let new: Vec<InstanceId> = seen.instances.iter().map(|one| one.id.clone()).filter(|id| *id != old).collect();
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| serves(seen, 2)).await;
    assert_eq!([seen.instances[0].id.clone()], new[..], "it is gone on with, not begun anew");
    assert_eq!((room.runtime.launches().len(), room.runtime.alive()), (2, 1));
}

#[tokio::test]
async fn a_canary_gets_its_share_and_is_promoted_by_hand() {
    let room = Room::open().await;
    room.deploy(|d| (d.replicas.min, d.parallel) = (1, Some(64))).await;
    room.until(|seen| serves(seen, 1)).await;
    room.deploy(|d| {
        (d.replicas.min, d.parallel, d.context, d.rollout.strategy) = (1, Some(64), Some(128), Strategy::Canary);
        d.rollout.canary.weights = vec![20];
    })
    .await;
    room.until(|seen| seen.deployments[&name()].rollout.held_since.is_some()).await;
    room.until_true(|room| room.board.table().deployments[&name()].instances.len() == 2).await;
    let mut new = 0;
    for _ in 0..100 {
        let lease = room.lease().await.unwrap();
        lease.succeeded(Duration::from_millis(3));
        new += u32::from(lease.member.revision == 2);
    }
    assert_eq!(new, 20);
    room.fleet.rollout(&name(), Verb::Promote, spec::Cause::Hand).await.unwrap();
    room.until(|seen| serves(seen, 2)).await;
}

#[tokio::test]
async fn a_canary_whose_calls_fail_goes_back_by_itself() {
    let room = Room::open().await;
    room.deploy(|d| (d.replicas.min, d.parallel) = (1, Some(64))).await;
    room.until(|seen| serves(seen, 1)).await;
    room.deploy(|d| {
        (d.replicas.min, d.parallel, d.context, d.rollout.strategy) = (1, Some(64), Some(128), Strategy::Canary);
        d.rollout.canary.weights = vec![50];
    })
    .await;
    room.until(|seen| seen.deployments[&name()].rollout.held_since.is_some()).await;
    room.until_true(|room| room.board.table().deployments[&name()].instances.len() == 2).await;
    for _ in 0..20 {
        let lease = room.lease().await.unwrap();
        match lease.member.revision {
            2 => lease.failed(board::Failure::Error),
            _ => lease.succeeded(Duration::from_millis(3)),
        }
    }
    let seen = room.until(|seen| serves(seen, 1)).await;
    let status = &seen.deployments[&name()].rollout;
    assert_eq!((status.phase, status.reason.as_ref().unwrap().code), (RolloutPhase::RolledBack, ReasonCode::CanaryErrors));
}
