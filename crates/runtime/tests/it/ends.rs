//! How engines end.

use std::time::{Duration, Instant};

use runtime::Runtime as _;
use spec::{Program, SeenState};

use crate::stage::{GRACE, Stage, eventually, pid_in, runs};

#[tokio::test]
async fn an_early_exit_is_told_with_its_status_and_last_words() {
    let stage = Stage::new();
    let order = stage.launch("echo loading; echo cannot open the model >&2; exit 3").await;
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.signal, exit.asked), (Some(3), None, false));
    assert_eq!(exit.last_lines, ["loading", "cannot open the model"]);
    assert_eq!(exit.spawn_error, None);
}

#[tokio::test]
async fn a_later_exit_is_noticed_at_once() {
    let stage = Stage::new();
    let mut order = stage.order("echo up; read -r line < $GATE; exit 4");
    let gate = stage.dir().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    order.env.insert("GATE".to_owned(), gate.display().to_string());
    stage.runtime.launch(&order).await.unwrap();
    stage.log_until(&order.instance, "up\n").await;

    let opened = Instant::now();
    std::fs::write(&gate, "go\n").unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!(exit.code, Some(4));
    // It takes some milliseconds; a minute's poll would show, a busy machine does not.
    assert!(opened.elapsed() < Duration::from_secs(30), "{:?}", opened.elapsed());
}

#[tokio::test]
async fn an_engine_killed_by_a_signal_says_which() {
    let stage = Stage::new();
    let order = stage.launch("kill -SEGV $$").await;
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.signal, exit.asked), (None, Some(11), false));
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_an_exit_with_the_reason() {
    let stage = Stage::new();
    let mut order = stage.order("");
    order.program = Program::Path("/nowhere/llama-server".into());
    stage.runtime.launch(&order).await.unwrap();
    let exit = stage.exit(&order.instance).await;
    let why = exit.spawn_error.unwrap();
    assert!(why.contains("/nowhere/llama-server") && why.contains("No such file"), "{why}");
    assert!(!exit.asked);
}

#[tokio::test]
async fn a_stop_is_a_term_first() {
    let stage = Stage::new();
    let order = stage.launch("trap 'echo ending; exit 0' TERM; echo up; while :; do sleep 0.02; done").await;
    stage.log_until(&order.instance, "up\n").await;
    stage.runtime.stop(&order.instance, GRACE).await.unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.signal, exit.asked), (Some(0), None, true));
    assert_eq!(exit.last_lines.last().unwrap(), "ending");
}

#[tokio::test]
async fn an_engine_that_hangs_on_the_first_term_gets_a_second_after_the_grace() {
    let stage = Stage::new();
    let script = "n=0; trap 'n=$((n+1)); echo term $n; test $n -lt 2 || exit 1' TERM; echo up; while :; do sleep 0.02; done";
    let order = stage.launch(script).await;
    stage.log_until(&order.instance, "up\n").await;
    let grace = Duration::from_millis(1500); // time to look at it in between
    let asked = Instant::now();
    stage.runtime.stop(&order.instance, grace).await.unwrap();
    assert_eq!(stage.seen(&order.instance).await.unwrap().state, SeenState::Stopping);
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.asked), (Some(1), true));
    assert_eq!(exit.last_lines, ["up", "term 1", "term 2"]);
    assert!(asked.elapsed() >= grace, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_engine_that_ignores_every_term_is_killed() {
    let stage = Stage::new();
    let order = stage.launch("trap '' TERM; echo up; while :; do sleep 0.02; done").await;
    stage.log_until(&order.instance, "up\n").await;
    stage.runtime.stop(&order.instance, Duration::from_millis(50)).await.unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.signal, exit.asked), (None, Some(9), true));
}

#[tokio::test]
async fn a_second_stop_can_shorten_the_first() {
    let stage = Stage::new();
    let order = stage.launch("trap '' TERM; echo up; while :; do sleep 0.02; done").await;
    stage.log_until(&order.instance, "up\n").await;
    stage.runtime.stop(&order.instance, Duration::from_hours(1)).await.unwrap();
    stage.runtime.stop(&order.instance, Duration::ZERO).await.unwrap();
    stage.runtime.stop(&order.instance, Duration::from_hours(1)).await.unwrap();
    assert_eq!(stage.exit(&order.instance).await.signal, Some(9));
}

#[tokio::test]
async fn children_that_an_engine_leaves_behind_end_with_it() {
    let stage = Stage::new();
    // One stays in the group and ignores TERM, one leaves it with a session of its own.
    let script = "sh -c 'trap \"\" TERM; echo near=$$; while :; do sleep 0.02; done' & \
                  setsid sh -c 'trap \"\" TERM; echo far=$$; while :; do sleep 0.02; done' & \
                  while ! test -e $GATE; do sleep 0.02; done; exit 0";
    let mut order = stage.order(script);
    let gate = stage.dir().join("gate");
    order.env.insert("GATE".to_owned(), gate.display().to_string());
    stage.runtime.launch(&order).await.unwrap();
    let mut log = stage.log_until(&order.instance, "near=").await;
    if !log.contains("far=") {
        log = stage.log_until(&order.instance, "far=").await;
    }
    if !log.contains("near=") {
        log = stage.log_until(&order.instance, "near=").await;
    }
    let (near, far) = (pid_in(&log, "near"), pid_in(&log, "far"));
    assert!(runs(near) && runs(far));
    std::fs::write(&gate, "").unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!((exit.code, exit.asked), (Some(0), false));
    assert!(!runs(near) && !runs(far), "an engine has ended only when nothing of it is left");
}

#[tokio::test]
async fn orphans_of_a_running_engine_are_reaped() {
    let stage = Stage::new();
    let order = stage.launch("(sh -c 'echo orphan=$$; exec sleep 0.1' &); exec sleep 1000").await;
    let orphan = pid_in(&stage.log_until(&order.instance, "\n").await, "orphan");
    eventually("the orphan is gone without a trace", || !crate::stage::exists(orphan)).await;
    assert_eq!(stage.seen(&order.instance).await.unwrap().state, SeenState::Running);
}
