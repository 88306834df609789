//! The engine room with a real store and board, and engines that are tasks of the test.

use std::time::Duration;

use runtime::Runtime as _;
use spec::{Deployment, EngineKind, EventKind, OperationState, Phase, ReasonCode};
use testkit::Script;

use super::room::{Room, SOON, name, named, phase};
use crate::{Snapshot, StopHow};

#[tokio::test]
async fn the_first_call_starts_it_once_for_all_callers() {
    let room = Room::open().await;
    room.runtime.script(Script { load: Duration::from_millis(50), ..Script::default() });
    room.deploy(|d| d.parallel = Some(64)).await;
    assert!(room.runtime.launches().is_empty());
    let leases = futures_util::future::join_all((0..50).map(|_| room.lease())).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!(room.runtime.launches().len(), 1);
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let events = room.events().await;
    let walked: Vec<Phase> = events.iter().filter_map(|event| event.phase.map(|(_, to)| to)).collect();
    assert_eq!(walked, [Phase::Starting, Phase::Loading, Phase::Warming, Phase::Ready]);
}

#[tokio::test]
async fn an_idle_instance_leaves_after_its_keep_alive_and_comes_back_on_demand() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.keep_alive = Some(Duration::from_millis(100))).await;
    drop(room.lease().await.unwrap());
    room.until(|seen| seen.instances.is_empty()).await;
    assert_eq!(room.runtime.alive(), 0);
    assert!(room.store.list_instances().await.unwrap().is_empty());
    drop(room.lease().await.unwrap());
    assert_eq!(room.runtime.launches().len(), 2);
}

#[tokio::test]
async fn a_minimum_is_started_unasked_and_replaced_when_it_dies() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let first = seen.instances[0].id.clone();
    room.runtime.crash(&first);
    room.until(|seen| seen.instances.iter().any(|i| i.id != first && i.phase == Phase::Ready)).await;
    assert_eq!(room.runtime.alive(), 1);
}

#[tokio::test]
async fn an_engine_that_refuses_answers_its_callers_with_its_words() {
    let room = Room::open().await;
    room.runtime.script(Script { refuse: Some((1, "error: failed to load model".into())), ..Script::default() });
    room.deploy(|_| {}).await;
    let error = room.lease().await.unwrap_err();
    let board::Error::Down { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason.code, ReasonCode::EngineRejected);
    assert!(reason.message.contains("failed to load model"), "{}", reason.message);
}

#[tokio::test]
async fn a_deletion_drains_stops_and_forgets() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let lease = room.lease().await.unwrap();
    room.store.mark_deployment_deleting(&name()).await.unwrap();
    room.fleet.poke();
    room.until(|seen| phase(seen) == Some(Phase::Draining)).await;
    assert!(matches!(room.lease().await.unwrap_err(), board::Error::NotFound(_)));
    assert_eq!(room.runtime.alive(), 1, "the call goes on");
    drop(lease);
    room.until(|seen| seen.deployments.is_empty() && seen.instances.is_empty()).await;
    assert_eq!(room.runtime.alive(), 0);
    assert!(room.store.list_deployments().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_changed_wish_moves_to_a_new_instance_and_leaves_nothing_behind() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    room.deploy(|d| {
        d.replicas.min = 1;
        d.parallel = Some(3);
    })
    .await;
    let seen =
        room.until(|seen| seen.instances.len() == 1 && seen.instances[0].revision == 2 && seen.instances[0].phase == Phase::Ready).await;
    assert_eq!(seen.instances[0].slots, 3);
    assert_eq!(room.runtime.alive(), 1);
}

#[tokio::test]
async fn what_ran_before_is_taken_over_and_what_nobody_wants_is_ended() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let before = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    let (runtime, dir) = room.crash().await;
    let mut stray = runtime.launches()[0].clone();
    stray.instance = spec::InstanceId::new("stray");
    stray.endpoint = spec::Endpoint::Unix(dir.path().join("stray.sock"));
    runtime.launch(&stray).await.unwrap();
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    assert_eq!(seen.instances[0].id, before);
    assert_eq!(room.runtime.launches().len(), 2, "nothing was started twice");
    room.until_true(|room| room.runtime.known() == 1).await;
    let events = room.events().await;
    assert!(events.iter().any(|event| event.kind == EventKind::InstanceAdopted));
    assert!(events.iter().any(|event| event.kind == EventKind::InstanceOrphaned));
}

#[tokio::test]
async fn load_and_unload_by_hand_are_operations_that_end() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let unload = room.fleet.unload(&name()).await.unwrap();
    room.until(|seen| seen.instances.is_empty()).await;
    for id in [load, unload] {
        assert_eq!(room.ended(&id).await.0, OperationState::Succeeded);
    }
    assert!(room.fleet.load(&named("nobody")).await.is_err());
}

#[tokio::test]
async fn a_remote_engine_that_does_not_answer_or_lacks_its_key_says_so() {
    let room = Room::open().await;
    let remote = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        move |d: &mut Deployment| {
            d.engine = Some(EngineKind::Openai);
            d.url = Some("http://127.0.0.1:9/v1".into());
            d.api_key_env = key;
        }
    };
    room.deploy(remote(Some("UNSET"))).await;
    let down = |seen: &Snapshot| seen.deployments[&name()].reason.as_ref().map(|reason| reason.code);
    room.until(|seen| down(seen) == Some(ReasonCode::KeyMissing)).await;
    room.deploy(remote(Some("SET"))).await;
    let error = room.lease().await.unwrap_err();
    assert!(matches!(&error, board::Error::Down { reason, .. } if reason.code == ReasonCode::RemoteUnreachable), "{error}");
}

#[tokio::test]
async fn stopping_ends_every_engine_unless_they_are_to_be_adopted() {
    for adopt in [false, true] {
        let room = Room::open().await;
        room.deploy(|d| d.replicas.min = 1).await;
        room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
        room.fleet.stop(StopHow { adopt, grace: SOON }).await;
        assert_eq!(room.runtime.alive(), usize::from(adopt));
    }
}
