//! What a crash leaves: of Penstock, of a keeper, between two steps.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::{Error, LogsFrom, Runtime as _};
use spec::{InstanceId, SeenState};

use futures_util::StreamExt as _;

use crate::stage::{self, GRACE, Stage, eventually, exists, pid_in, runs};

#[tokio::test]
async fn a_new_penstock_finds_the_same_engine() {
    let mut stage = Stage::new();
    let order = stage.launch("echo up; exec sleep 1000").await;
    let before = stage.seen(&order.instance).await.unwrap();
    stage.reopen();
    let after = stage.seen(&order.instance).await.unwrap();
    assert_eq!((before.pid, before.started_at, before.order), (after.pid, after.started_at, after.order));

    // The new one hears of the end, though it did not start it.
    kill(Pid::from_raw(i32::try_from(after.pid.unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.signal, exit.asked), (Some(9), false));
}

#[tokio::test]
async fn an_exit_while_penstock_was_away_is_found() {
    let mut stage = Stage::new();
    let gate = stage.dir().join("gate");
    let order = stage.launch(&format!("while ! test -e {}; do sleep 0.02; done; echo bye; exit 5", gate.display())).await;
    let pid = Pid::from_raw(i32::try_from(stage.seen(&order.instance).await.unwrap().pid.unwrap()).unwrap());
    stage.reopen();
    fs::write(&gate, "").unwrap();
    eventually("the engine has ended", || !exists(pid)).await;
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.last_lines), (Some(5), vec!["bye".to_owned()]));
}

#[tokio::test]
async fn an_engine_that_nobody_claims_ends_and_its_folder_goes() {
    let mut stage = Stage::new();
    let mut order = stage.order("echo up; exec sleep 1000");
    order.orphan_ttl = Duration::from_secs(1);
    stage.runtime.launch(&order).await.unwrap();
    let pid = Pid::from_raw(i32::try_from(stage.seen(&order.instance).await.unwrap().pid.unwrap()).unwrap());
    let keeper = stage.keeper(&order.instance);
    // A runtime that lives is a claim; so it is still there after more than its time.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(stage.seen(&order.instance).await.unwrap().state, SeenState::Running);

    stage.reopen();
    let folder = stage.dir().join(order.instance.as_str());
    eventually("engine, keeper and folder are gone", || !exists(pid) && !exists(keeper) && !folder.exists()).await;
    assert!(stage.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_exit_that_nobody_asks_for_is_forgotten_with_its_keeper() {
    let mut stage = Stage::new();
    let mut order = stage.order("exit 3");
    order.orphan_ttl = Duration::from_secs(1);
    stage.runtime.launch(&order).await.unwrap();
    assert_eq!(stage.exit(&order.instance).await.code, Some(3));
    let keeper = stage.keeper(&order.instance);
    stage.reopen();
    eventually("keeper and folder are gone", || !exists(keeper) && fs::read_dir(stage.dir()).unwrap().count() == 0).await;
}

#[tokio::test]
async fn an_orphan_that_ignores_term_is_killed() {
    let mut stage = Stage::new();
    let mut order = stage.order("trap '' TERM; echo up; while :; do sleep 0.02; done");
    (order.orphan_ttl, order.grace) = (Duration::from_secs(1), Duration::from_millis(100));
    stage.runtime.launch(&order).await.unwrap();
    stage.log_until(&order.instance, "up").await;
    let keeper = stage.keeper(&order.instance);
    stage.reopen();
    eventually("the keeper is gone", || !exists(keeper)).await;
    assert_eq!(fs::read_dir(stage.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_engine_dies_with_its_keeper_and_so_do_its_children() {
    let stage = Stage::new();
    let order = stage.launch("setsid sh -c 'echo far=$$; exec sleep 1000' & echo own=$$; wait").await;
    stage.log_until(&order.instance, "own=").await;
    let log = stage.log_until(&order.instance, "far=").await;
    let far = pid_in(&log, "far");
    let own = Pid::from_raw(i32::try_from(stage.seen(&order.instance).await.unwrap().pid.unwrap()).unwrap());
    kill(stage.keeper(&order.instance), Signal::SIGKILL).unwrap();
    eventually("the engine is gone", || !runs(own)).await;

    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.signal, exit.asked), (Some(9), false));
    assert!(exit.last_lines[0].contains("keeper"), "{:?}", exit.last_lines);
    eventually("what had left the engine's session is gone", || !runs(far)).await;

    assert_eq!(stage.exit(&order.instance).await, exit, "it is told the same the next time");
    let log: Vec<_> =
        stage.runtime.logs(&order.instance, LogsFrom { tail: None, follow: true }).await.unwrap().map(Result::unwrap).collect().await;
    assert!(String::from_utf8(log.concat()).unwrap().contains("keeper"));
    stage.runtime.launch(&order).await.unwrap();
    assert_eq!(stage.exit(&order.instance).await, exit, "a launch does not start twice what has ended");
    stage.runtime.stop(&order.instance, GRACE).await.unwrap();
    assert!(stage.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_keeper_that_is_told_to_end_leaves_the_exit_of_its_engine() {
    let stage = Stage::new();
    let order = stage.launch("trap 'echo ending; exit 0' TERM; echo up; while :; do sleep 0.02; done").await;
    stage.log_until(&order.instance, "up").await;
    let keeper = stage.keeper(&order.instance);
    kill(keeper, Signal::SIGTERM).unwrap();
    eventually("the keeper is gone", || !exists(keeper)).await;
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.asked), (Some(0), true));
    assert_eq!(exit.last_lines, ["up", "ending"]);
}

#[tokio::test]
async fn an_order_that_was_written_and_never_carried_out_is_told_and_can_be_launched() {
    let stage = Stage::new();
    let order = stage.order("exec sleep 1000");
    let folder = stage.dir().join(order.instance.as_str());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("order.json"), serde_json::to_vec(&order).unwrap()).unwrap();
    let mut older = order.clone();
    older.fence = 0;
    assert!(matches!(stage.runtime.launch(&older).await, Err(Error::Fenced { .. })));
    stage.runtime.launch(&order).await.unwrap();
    assert_eq!(stage.seen(&order.instance).await.unwrap().state, SeenState::Running);

    let lost = stage.order("exec sleep 1000");
    let folder = stage.dir().join(lost.instance.as_str());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("order.json"), serde_json::to_vec(&lost).unwrap()).unwrap();
    let exit = stage.exit(&lost.instance).await;
    assert!(exit.spawn_error.is_some() && !exit.asked);
    stage.runtime.stop(&lost.instance, GRACE).await.unwrap();
    assert_eq!(stage.seen(&lost.instance).await, None);
}

#[tokio::test]
async fn a_keeper_that_comes_too_late_does_not_start_what_was_declared_lost() {
    let stage = Stage::new();
    let mark = stage.dir().join("ran");
    let late = stage.order(&format!("touch {}", mark.display()));
    let folder = stage.dir().join(late.instance.as_str());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("order.json"), serde_json::to_vec(&late).unwrap()).unwrap();
    let exit = stage.exit(&late.instance).await;
    assert!(exit.spawn_error.is_some(), "a new Penstock has looked: {exit:?}");
    let keeper = std::process::Command::new(stage::KEEP).arg("keep").arg(&folder).output().unwrap();
    assert!(!keeper.status.success() && keeper.stdout.is_empty(), "{keeper:?}");
    assert!(!folder.join("facts.json").exists() && !mark.exists(), "nothing was started");
    assert_eq!(stage.exit(&late.instance).await, exit);
}

#[tokio::test]
async fn one_damaged_folder_does_not_hide_the_others() {
    let stage = Stage::new();
    let order = stage.launch("exec sleep 1000").await;
    let damaged = InstanceId::random();
    fs::create_dir(stage.dir().join(damaged.as_str())).unwrap();
    fs::write(stage.dir().join(damaged.as_str()).join("order.json"), "{\"inst").unwrap();
    fs::create_dir(stage.dir().join("not an id")).unwrap();
    let seen = stage.runtime.list().await.unwrap();
    assert_eq!(seen.iter().map(|seen| &seen.order.instance).collect::<Vec<_>>(), [&order.instance]);
    stage.runtime.stop(&damaged, GRACE).await.unwrap();
    assert!(!stage.dir().join(damaged.as_str()).exists());
}

#[tokio::test]
async fn a_keeper_that_cannot_start_says_why() {
    let stage = Stage::new();
    let config = runtime::process::Config::new(stage.dir(), "/nowhere/penstock");
    let broken = runtime::process::ProcessRuntime::open(config).unwrap();
    let error = broken.launch(&stage.order("")).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/penstock"), "{error}");

    let config = runtime::process::Config::new(stage.dir(), "/bin/false");
    let broken = runtime::process::ProcessRuntime::open(config).unwrap();
    let error = broken.launch(&stage.order("")).await.unwrap_err();
    assert!(matches!(error, Error::Keeper { .. }), "{error}");

    let mut config = runtime::process::Config::new(stage.dir(), silent(&stage));
    config.start = Duration::from_millis(200);
    let broken = runtime::process::ProcessRuntime::open(config).unwrap();
    let error = broken.launch(&stage.order("")).await.unwrap_err();
    assert!(error.to_string().contains("200ms"), "{error}");
    assert!(stage.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_folder_that_a_crash_has_left_without_its_order_or_half_of_it_is_swept_at_the_next_start() {
    let mut stage = Stage::new();
    let kept = stage.launch("exec sleep 1000").await;
    let empty = stage.dir().join("0123456789abcdef");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("keeper.log"), "").unwrap();
    let garbled = stage.dir().join("fedcba9876543210");
    fs::create_dir(&garbled).unwrap();
    fs::write(garbled.join("order.json"), "").unwrap();
    stage.reopen();
    assert!(!empty.exists() && !garbled.exists());
    assert!(stage.seen(&kept.instance).await.is_some_and(|seen| seen.state == SeenState::Running), "what runs stays");
}

/// A program that never says that it is ready.
fn silent(stage: &Stage) -> std::path::PathBuf {
    let path = stage.dir().join("silent");
    testkit::script(&path, "exec sleep 1000").unwrap();
    path
}

#[tokio::test]
async fn an_id_that_is_no_folder_name_is_refused() {
    let stage = Stage::new();
    let bad = stage::order(&stage.dir(), &InstanceId::new("../x"), 1, "");
    assert!(matches!(stage.runtime.launch(&bad).await, Err(Error::BadId(_))));
}
