//! What goes wrong around the fleet, and what it makes of it.

use std::time::Duration;

use base::ByteSize;
use board::{KeepAlive, State};
use runtime::{LogsFrom, Runtime as _};
use spec::{EngineKind, EventKind, OperationState, Phase, ReasonCode};
use tempfile::TempDir;
use testkit::Script;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::room::{Room, SOON, machine, name, named, phase, phase_of};
use crate::{StopHow, Wanted};

#[tokio::test]
async fn a_stop_that_failed_is_asked_for_again() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    drop(room.lease().await.unwrap());
    room.runtime.fail_stops(2);
    room.fleet.unload(&name()).await.unwrap();
    room.until(|seen| seen.instances.is_empty()).await;
    assert_eq!(room.runtime.known(), 0);
}

#[tokio::test]
async fn a_stranger_that_ends_slowly_is_told_once_and_does_not_keep_the_fleet_busy() {
    let room = Room::open().await;
    room.runtime.script(Script { end: Duration::from_millis(400), ..Script::default() });
    room.deploy(|_| {}).await;
    drop(room.lease().await.unwrap());
    let mut stray = room.runtime.launches()[0].clone();
    stray.instance = spec::InstanceId::new("stray");
    stray.endpoint = spec::Endpoint::Unix(room.dir.path().join("stray.sock"));
    room.runtime.launch(&stray).await.unwrap();
    let mut turns = room.fleet.watch();
    let counted = async {
        let mut count = 0;
        while room.runtime.known() > 1 {
            turns.changed().await.unwrap();
            count += 1;
        }
        count
    };
    let count = tokio::time::timeout(SOON, counted).await.unwrap();
    assert!(count < 30, "{count} turns in 400 ms");
    assert!(room.runtime.stops() <= 3, "{} stops", room.runtime.stops());
    let told = room.events().await.into_iter().filter(|event| event.kind == EventKind::InstanceOrphaned).count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn an_engine_that_was_on_its_way_out_when_penstock_died_holds_its_memory_and_nobody_elses_until_it_has_ended() {
    const ASIDE: ByteSize = ByteSize::mib(60);
    let room = Room::open().await;
    room.runtime.script(Script { end: Duration::from_secs(1), ..Script::default() });
    room.deploy(|_| {}).await;
    drop(room.lease().await.unwrap());
    let wanted = Wanted {
        node: "fake".into(),
        device: None,
        bytes: ASIDE,
        holder: "training".into(),
        expires_at: None,
        cause: spec::Cause::Unknown,
    };
    room.fleet.allocate(wanted).await.unwrap();
    room.fleet.unload(&name()).await.unwrap();
    room.until_true(|room| room.runtime.stops() > 0).await;
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let ram = |seen: &crate::Snapshot| seen.nodes[0].devices[0].clone();
    let seen = room.fleet.snapshot();
    let (dying, holds) = (ram(&seen), room.runtime.launches()[0].memory);
    assert!(holds > ByteSize(0));
    assert!(seen.instances.is_empty() && room.runtime.alive() == 1, "{seen:?}");
    assert_eq!((dying.held.get(&name()), dying.foreign, seen.used), (Some(&holds), ByteSize(0), holds), "{dying:?}");
    assert_eq!(dying.available, dying.device.total.saturating_sub(ASIDE + holds), "what was set aside has not been taken by anybody");
    let seen = room.until(|seen| ram(seen).held.is_empty()).await;
    assert_eq!((ram(&seen).available, room.runtime.alive()), (dying.device.total.saturating_sub(ASIDE), 0));
}

#[tokio::test]
async fn what_is_deleted_while_it_is_being_started_leaves_nothing_behind() {
    let room = Room::open().await;
    room.runtime.script(Script { start: Duration::from_millis(200), ..Script::default() });
    room.deploy(|d| d.replicas.min = 1).await;
    room.until_true(|room| !room.runtime.launches().is_empty()).await;
    room.store.mark_deployment_deleting(&name()).await.unwrap();
    room.fleet.poke();
    room.until(|seen| seen.deployments.is_empty()).await;
    assert_eq!(room.runtime.known(), 0, "it was forgotten while its engine was being started");
    room.until_true(|room| room.runtime.starting() == 0).await;
    assert_eq!(room.runtime.known(), 0);
    assert!(room.store.list_instances().await.unwrap().is_empty());
    assert!(!room.events().await.iter().any(|event| event.kind == EventKind::InstanceOrphaned));
}

#[tokio::test]
async fn two_models_share_room_for_one_and_each_comes_when_it_is_asked_for() {
    let (a, b) = (named("a"), named("b"));
    let room = Room::within(Some(ByteSize::mib(12)), machine(), TempDir::new().unwrap()).await.unwrap();
    room.runtime.script(Script { end: Duration::from_millis(100), ..Script::default() });
    room.deploy_as(&a, |_| {}).await;
    room.deploy_as(&b, |_| {}).await;
    let held = room.lease_of(&a).await.unwrap();
    let mut waits = Box::pin(room.lease_of(&b));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut waits).await.is_err(), "a works");
    assert_eq!(phase_of(&room.fleet.snapshot(), "b"), Some(Phase::Placing));
    drop(held);
    drop(waits.await.unwrap());
    assert_eq!(room.runtime.alive(), 1);
    assert_eq!(room.fleet.snapshot().counters.evictions, 1);
    drop(room.lease_of(&a).await.unwrap());
    assert_eq!(room.runtime.alive(), 1, "the other had ended before it was started");
    room.until(|seen| seen.counters.evictions == 2 && phase_of(seen, "a") == Some(Phase::Ready)).await;
    assert_eq!(room.runtime.launches().len(), 3);
}

#[tokio::test]
async fn callers_of_a_model_that_can_never_fit_are_told_so() {
    let room = Room::within(Some(ByteSize::mib(4)), machine(), TempDir::new().unwrap()).await.unwrap();
    room.deploy(|_| {}).await;
    for _ in 0..2 {
        let error = room.lease().await.unwrap_err();
        assert!(matches!(&error, board::Error::Down { reason, .. } if reason.code == ReasonCode::DoesNotFit), "{error}");
    }
    assert!(room.runtime.launches().is_empty());
}

#[tokio::test]
async fn an_engine_that_dies_while_it_serves_is_replaced_for_those_who_wait() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let held = room.lease().await.unwrap();
    let key = name();
    let mut waits = Box::pin(room.lease_of(&key));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut waits).await.is_err());
    room.runtime.crash(&held.member.id);
    let next = waits.await.unwrap();
    assert_ne!(next.member.id, held.member.id);
}

#[tokio::test]
async fn the_log_of_a_failed_instance_can_still_be_read() {
    let room = Room::open().await;
    room.runtime.script(Script { refuse: Some((1, "error: bad model".into())), ..Script::default() });
    room.deploy(|_| {}).await;
    room.lease().await.unwrap_err();
    let seen = room.until(|seen| phase(seen) == Some(Phase::Failed)).await;
    let mut turns = room.fleet.watch();
    for _ in 0..5 {
        turns.changed().await.unwrap(); // whatever would clear it away has had its time
    }
    assert!(room.fleet.logs(&seen.instances[0].id, LogsFrom { tail: None, follow: false }).await.is_ok());
    room.fleet.stop(StopHow { adopt: false, grace: SOON }).await;
    assert_eq!(room.runtime.known(), 0, "but not for ever");
}

#[tokio::test]
async fn a_failure_is_counted_once_though_penstock_dies_after_it() {
    let room = Room::open().await;
    room.runtime.script(Script { refuse: Some((1, "error: bad model".into())), ..Script::default() });
    room.deploy(|_| {}).await;
    room.lease().await.unwrap_err();
    room.until(|seen| phase(seen) == Some(Phase::Failed)).await;
    assert_eq!(room.store.list_instances().await.unwrap(), vec![]);
    let failures = |events: Vec<spec::Event>| events.iter().filter(|event| event.phase.is_some_and(|(_, to)| to == Phase::Failed)).count();
    assert_eq!(failures(room.events().await), 1);
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    room.until_true(|room| room.runtime.known() == 0).await;
    assert_eq!(room.fleet.snapshot().counters.failures, 0);
    assert_eq!(failures(room.events().await), 1);
}

#[tokio::test]
async fn stopping_waits_until_every_engine_is_gone() {
    let room = Room::open().await;
    room.runtime.script(Script { end: Duration::from_millis(200), ..Script::default() });
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    room.fleet.stop(StopHow { adopt: false, grace: SOON }).await;
    assert_eq!(room.runtime.known(), 0);
    assert!(room.store.list_instances().await.unwrap().is_empty());
}

#[tokio::test]
async fn stopping_ends_engines_whose_calls_do_not_end() {
    for grace in [Duration::ZERO, Duration::from_millis(300)] {
        let room = Room::open().await;
        room.deploy(|_| {}).await;
        let _call = room.lease().await.unwrap();
        room.fleet.stop(StopHow { adopt: false, grace }).await;
        assert_eq!(room.runtime.alive(), 0, "after {grace:?}");
    }
}

#[tokio::test]
async fn a_second_stop_does_not_make_the_first_return_early() {
    let room = Room::open().await;
    room.runtime.script(Script { end: Duration::from_millis(200), ..Script::default() });
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let how = StopHow { adopt: false, grace: SOON };
    let first = async {
        room.fleet.stop(how).await;
        room.runtime.known()
    };
    let (known, ()) = tokio::join!(first, room.fleet.stop(how));
    assert_eq!(known, 0);
}

#[tokio::test]
async fn a_runtime_that_cannot_be_read_at_the_start_costs_no_engine() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let (runtime, dir) = room.crash().await;
    runtime.unreadable(true);
    let refused = Room::within(None, std::sync::Arc::clone(&runtime), dir).await;
    assert!(matches!(refused.err(), Some(crate::Error::Runtime(_))));
    runtime.unreadable(false);
    assert_eq!(runtime.alive(), 1);
    assert_eq!(runtime.stops(), 0);
}

#[tokio::test]
async fn an_engine_that_died_while_penstock_was_down_is_a_failure_that_can_be_looked_at() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let first = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    let (runtime, dir) = room.crash().await;
    runtime.crash(&first);
    let room = Room::with(runtime, dir).await;
    room.until(|seen| seen.instances.iter().any(|i| i.id != first && i.phase == Phase::Ready)).await;
    room.until_true(|room| room.runtime.known() == 1).await;
    let failed = room.events().await.into_iter().find(|event| event.phase.is_some_and(|(_, to)| to == Phase::Failed)).unwrap();
    assert_eq!(failed.instance, Some(first));
    let why = failed.reason.unwrap();
    assert_eq!(why.code, ReasonCode::EngineExited);
    assert!(why.message.contains("while penstock was down: error: told to crash"), "{}", why.message);
}

#[tokio::test]
async fn callers_of_what_ended_while_penstock_was_down_wait_and_are_served() {
    let room = Room::open().await;
    room.deploy(|_| {}).await;
    let first = room.lease().await.unwrap().member.id.clone();
    let (runtime, dir) = room.crash().await;
    runtime.lose(&first);
    let room = Room::with(runtime, dir).await;
    assert_ne!(room.lease().await.unwrap().member.id, first);
    let failed = room.events().await.into_iter().find(|event| event.phase.is_some_and(|(_, to)| to == Phase::Failed)).unwrap();
    assert_eq!(failed.reason.unwrap().message, "the engine ended by KILL while penstock was down: told that its keeper was killed");
}

#[tokio::test]
async fn an_engine_whose_order_was_written_and_never_carried_out_is_no_failure_and_another_one_is_started_at_once() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    let first = room.until(|seen| phase(seen) == Some(Phase::Ready)).await.instances[0].id.clone();
    let (runtime, dir) = room.crash().await;
    runtime.never_began(&first);
    let room = Room::with(runtime, dir).await;
    room.until(|seen| seen.instances.iter().any(|i| i.id != first && i.phase == Phase::Ready)).await;
    room.until_true(|room| room.runtime.known() == 1).await;
    assert!(!room.events().await.iter().any(|event| event.phase.is_some_and(|(_, to)| to == Phase::Failed)));
    assert_eq!(room.fleet.snapshot().counters.failures, 0);
    assert_eq!(room.store.list_instances().await.unwrap().len(), 1, "its row went as well");
}

#[tokio::test]
async fn an_adopted_instance_does_not_take_its_age_for_its_load_time() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    assert_eq!(seen.instances[0].load_ms, None);
    assert_eq!(seen.counters.loads, 0, "nothing was loaded");
}

#[tokio::test]
async fn operations_end_whatever_becomes_of_their_deployment() {
    let room = Room::open().await;
    room.runtime.script(Script { load: SOON, ..Script::default() });
    room.deploy(|_| {}).await;
    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Loading)).await;
    let unload = room.fleet.unload(&name()).await.unwrap();
    let (state, reason) = room.ended(&load).await;
    assert_eq!((state, reason.map(|reason| reason.code)), (OperationState::Failed, Some(ReasonCode::Superseded)));
    assert_eq!(room.ended(&unload).await.0, OperationState::Succeeded);

    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Loading)).await;
    room.store.mark_deployment_deleting(&name()).await.unwrap();
    room.fleet.poke();
    assert_eq!(room.ended(&load).await.0, OperationState::Failed);
}

#[tokio::test]
async fn an_unload_that_callers_undo_says_so() {
    let room = Room::open().await;
    room.runtime.script(Script { load: Duration::from_millis(300), ..Script::default() });
    room.deploy(|_| {}).await;
    let key = name();
    let mut waits = Box::pin(room.lease_of(&key));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waits).await.is_err());
    let unload = room.fleet.unload(&name()).await.unwrap();
    let (state, reason) = room.ended(&unload).await;
    assert_eq!((state, reason.map(|reason| reason.code)), (OperationState::Failed, Some(ReasonCode::Superseded)));
    drop(waits.await.unwrap());
}

#[tokio::test]
async fn a_load_goes_on_when_its_deployment_changes() {
    let room = Room::open().await;
    room.runtime.script(Script { load: Duration::from_millis(200), ..Script::default() });
    room.deploy(|_| {}).await;
    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Loading)).await;
    room.deploy(|d| d.parallel = Some(2)).await;
    assert_eq!(room.ended(&load).await.0, OperationState::Succeeded);
}

#[tokio::test]
async fn operations_of_a_penstock_that_ended_are_over() {
    let room = Room::open().await;
    room.runtime.script(Script { load: SOON, ..Script::default() });
    room.deploy(|_| {}).await;
    let load = room.fleet.load(&name()).await.unwrap();
    room.until(|seen| phase(seen) == Some(Phase::Loading)).await;
    let (runtime, dir) = room.crash().await;
    let room = Room::with(runtime, dir).await;
    let (state, reason) = room.ended(&load).await;
    assert_eq!((state, reason.map(|reason| reason.code)), (OperationState::Failed, Some(ReasonCode::ShuttingDown)));
    let load = room.fleet.load(&name()).await.unwrap();
    room.fleet.stop(StopHow { adopt: true, grace: SOON }).await;
    assert_eq!(room.ended(&load).await.0, OperationState::Failed);
}

#[tokio::test]
async fn a_remote_that_comes_up_later_is_served_without_anybody_doing_more() {
    let room = Room::open().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    room.deploy(|d| {
        d.engine = Some(EngineKind::Openai);
        d.url = Some(format!("http://{address}/v1"));
    })
    .await;
    let error = room.lease().await.unwrap_err();
    assert!(matches!(&error, board::Error::Down { reason, .. } if reason.code == ReasonCode::RemoteUnreachable), "{error}");
    room.until_true(|room| room.board.table().deployments[&name()].state == State::Cold).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let server = base::tasks::spawn("remote", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        }
    });
    drop(room.lease().await.unwrap());
    drop(server);
}

#[tokio::test]
async fn a_keep_alive_of_nothing_serves_whoever_waits_and_then_unloads() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.keep_alive = Some(Duration::ZERO)).await;
    for round in 1..=2 {
        let all = futures_util::future::join_all((0..5).map(|_| async { drop(room.lease().await.unwrap()) }));
        all.await;
        room.until(|seen| seen.instances.is_empty()).await;
        assert_eq!(room.runtime.launches().len(), round, "one start for all who waited");
    }
}

#[tokio::test]
async fn a_keep_alive_for_ever_of_a_caller_outlasts_the_one_of_the_deployment() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.keep_alive = Some(Duration::from_millis(50))).await;
    let lease = room.lease().await.unwrap();
    room.board.note_keep_alive(&name(), KeepAlive::Forever);
    drop(lease);
    let mut turns = room.fleet.watch();
    for _ in 0..4 {
        turns.changed().await.unwrap(); // 50 ms each
    }
    assert_eq!(phase(&room.fleet.snapshot()), Some(Phase::Ready));
    room.board.note_keep_alive(&name(), KeepAlive::For(Duration::ZERO));
    room.until(|seen| seen.instances.is_empty()).await;
}

#[tokio::test]
async fn an_instance_whose_wish_vanished_leaves() {
    let room = Room::open().await;
    room.deploy(|d| d.replicas.min = 1).await;
    room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    room.store.mark_deployment_deleting(&name()).await.unwrap();
    assert!(room.store.remove_deployment(&name()).await.unwrap()); // as somebody else might, who shares the database
    room.fleet.poke();
    room.until(|seen| seen.instances.is_empty() && seen.deployments.is_empty()).await;
    assert_eq!(room.runtime.known(), 0);
}
