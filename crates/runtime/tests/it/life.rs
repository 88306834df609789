//! What runs, what it sees, and what it writes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use futures_util::StreamExt as _;
use nix::unistd::Pid;
use runtime::process::socket_dir;
use runtime::{Error, LogsFrom, Runtime as _};
use spec::{Endpoint, InstanceId, Program, SeenState};

use crate::stage::{self, GRACE, Stage, eventually, exists, pid_in};

#[tokio::test]
async fn a_launched_engine_is_seen_with_its_process_memory_and_log() {
    let stage = Stage::new();
    let order = stage.launch("echo own=$$; echo to stderr >&2; exec sleep 1000").await;
    let log = stage.log_until(&order.instance, "to stderr").await;
    let seen = stage.seen(&order.instance).await.unwrap();
    assert_eq!(seen.state, SeenState::Running);
    assert_eq!(seen.pid.unwrap(), pid_in(&log, "own").as_raw().unsigned_abs());
    assert!(seen.resident.unwrap().0 > 0);
    assert_eq!(seen.log_lines, 2);
}

#[tokio::test]
async fn a_log_is_followed_to_its_end_and_its_tail_can_be_asked_for() {
    let stage = Stage::new();
    let gate = stage.dir().join("gate");
    let script = format!("echo one; echo two; while ! test -e {}; do sleep 0.02; done; echo three; printf four", gate.display());
    let order = stage.launch(&script).await;
    stage.log_until(&order.instance, "two\n").await;

    let follow = LogsFrom { tail: Some(1), follow: true };
    let mut stream = stage.runtime.logs(&order.instance, follow).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "two\n");
    fs::write(&gate, "").unwrap();
    let rest: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(rest.concat(), b"three\nfour\n", "the stream ends when the engine has");

    let tail = LogsFrom { tail: Some(2), follow: false };
    let last: Vec<_> = stage.runtime.logs(&order.instance, tail).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(last.concat(), b"three\nfour\n", "the log is kept until the instance is forgotten");
}

#[tokio::test]
async fn a_huge_log_keeps_its_end_and_says_what_is_missing() {
    let stage = Stage::new();
    let mut order = stage.order("i=0; while test $i -lt 20000; do echo \"line $i of a log that is too long\"; i=$((i+1)); done");
    order.log_bytes = base::ByteSize(64 << 10);
    stage.runtime.launch(&order).await.unwrap();
    let exit = stage.exit(&order.instance).await;
    assert_eq!(exit.last_lines.len(), 20);
    assert_eq!(exit.last_lines[19], "line 19999 of a log that is too long");
    assert_eq!(stage.seen(&order.instance).await.unwrap().log_lines, 20_000);

    let all = LogsFrom { tail: None, follow: false };
    let log: Vec<_> = stage.runtime.logs(&order.instance, all).await.unwrap().map(Result::unwrap).collect().await;
    let log = log.concat();
    assert!(log.len() <= 64 << 10, "{}", log.len());
    assert!(log.ends_with(b"line 19999 of a log that is too long\n"));
}

#[tokio::test]
async fn an_engine_sees_its_order_and_none_of_our_secrets() {
    let stage = Stage::new();
    let mut order = stage.order("env; echo done; exec sleep 1000");
    order.env.insert("LLAMA_API_KEY".to_owned(), "its own key".to_owned());
    stage.runtime.launch(&order).await.unwrap();
    let log = stage.log_until(&order.instance, "done\n").await;
    assert!(log.contains("LLAMA_API_KEY=its own key\n") && log.contains("PATH="), "{log}");
    let names = |lines: &str| lines.split(['\n', '\0']).filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned()).collect();
    // The shell adds some of its own.
    let shell = ["LLAMA_API_KEY", "KEEPER_INSTANCE", "PWD", "OLDPWD", "SHLVL", "_"];
    let seen: Vec<String> = names(&log);
    assert_eq!(not_for_engines(seen.into_iter().filter(|name| !shell.contains(&name.as_str())).collect()), [""; 0]);

    let keeper = fs::read(format!("/proc/{}/environ", stage.keeper(&order.instance))).unwrap();
    assert_eq!(not_for_engines(names(&String::from_utf8_lossy(&keeper))), [""; 0], "nor does its keeper");
    let own = std::env::vars().map(|(name, _)| name).collect();
    assert_ne!(not_for_engines(own), [""; 0], "this process has something to hide, as under cargo it always has");
}

/// Those that must not get through.
fn not_for_engines(mut names: Vec<String>) -> Vec<String> {
    let plain = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];
    let prefixes = ["LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_"];
    names.retain(|name| !plain.contains(&name.as_str()) && !prefixes.iter().any(|prefix| name.starts_with(prefix)));
    names
}

#[tokio::test]
async fn folder_and_order_are_private() {
    let stage = Stage::new();
    let order = stage.launch("exec sleep 1000").await;
    let folder = stage.dir().join(order.instance.as_str());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&stage.dir()), mode(&folder), mode(&folder.join("order.json"))), (0o700, 0o700, 0o600));
}

#[tokio::test]
async fn a_stale_socket_is_removed_before_the_start_and_other_files_are_not() {
    let stage = Stage::new();
    let order = stage.order("test -e $SOCKET && echo still there || echo removed; exec sleep 1000");
    let Endpoint::Unix(socket) = order.endpoint.clone() else { panic!("a socket") };
    let mut order = order;
    order.env.insert("SOCKET".to_owned(), socket.display().to_string());
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a closed listener leaves its file");
    stage.runtime.launch(&order).await.unwrap();
    assert_eq!(stage.log_until(&order.instance, "\n").await, "removed\n");

    let mut wrong = stage.order("exec sleep 1000");
    let precious = stage.dir().join("precious");
    fs::write(&precious, "data").unwrap();
    wrong.endpoint = Endpoint::Unix(precious.clone());
    let error = stage.runtime.launch(&wrong).await.unwrap_err();
    assert!(matches!(&error, Error::Keeper { words, .. } if words.contains("not a socket")), "{error}");
    assert_eq!(fs::read_to_string(precious).unwrap(), "data");
    assert!(!stage.dir().join(wrong.instance.as_str()).exists(), "a failed start leaves nothing");
}

#[tokio::test]
async fn a_data_directory_with_a_long_path_works() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("d".repeat(100)).join("instances");
    let runtime = runtime::process::ProcessRuntime::open(runtime::process::Config::new(&dir, stage::KEEP)).unwrap();
    let id = InstanceId::random();
    let order = stage::order(&dir, &id, 1, "exec sleep 1000");
    assert!(!socket_dir(&dir, &id).starts_with(temp.path()));
    runtime.launch(&order).await.unwrap();
    assert_eq!(runtime.list().await.unwrap()[0].state, SeenState::Running);
    let mut changes = runtime.changes();
    loop {
        changes.mark_unchanged();
        runtime.stop(&id, GRACE).await.unwrap();
        if runtime.list().await.unwrap().is_empty() {
            break;
        }
        tokio::time::timeout(stage::PATIENCE, changes.changed()).await.expect("it ends").unwrap();
    }
    assert!(!socket_dir(&dir, &id).exists());
    fs::remove_dir_all(socket_dir(&dir, &id).parent().unwrap()).unwrap();
}

#[tokio::test]
async fn the_carried_engine_runs_from_memory_and_our_own_binary_as_itself() {
    let stage = Stage::new();
    let mut carried = stage.order("echo carried; exec sleep 1000");
    carried.program = Program::Carried;
    let mut own = stage.order("");
    own.program = Program::Own;
    own.args = ["keep", "--carried", "-c", "echo own; exec sleep 1000"].map(str::to_owned).to_vec();
    for (order, word) in [(carried, "carried\n"), (own, "own\n")] {
        stage.runtime.launch(&order).await.unwrap();
        assert_eq!(stage.log_until(&order.instance, "\n").await, word);
    }
}

#[tokio::test]
async fn a_keeper_costs_a_few_megabytes_at_most() {
    let stage = Stage::new();
    let order = stage.launch("exec sleep 1000").await;
    let keeper = stage.keeper(&order.instance);
    let status = fs::read_to_string(format!("/proc/{keeper}/status")).unwrap();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let (all, own) = (kib("VmRSS:"), kib("RssAnon:"));
    println!("a keeper has {all} KiB resident, {own} KiB of its own");
    assert!(all < 5 << 10, "{all} KiB");
    assert_eq!(fs::read_dir(format!("/proc/{keeper}/task")).unwrap().count(), 1, "one thread");
}

#[tokio::test]
async fn a_keeper_leads_a_session_of_its_own_and_its_engine_a_group() {
    let stage = Stage::new();
    let order = stage.launch("exec sleep 1000").await;
    let keeper = stage.keeper(&order.instance);
    let engine = Pid::from_raw(i32::try_from(stage.seen(&order.instance).await.unwrap().pid.unwrap()).unwrap());
    assert_eq!(nix::unistd::getsid(Some(keeper)), Ok(keeper));
    assert_eq!(nix::unistd::getpgid(Some(engine)), Ok(engine));
    assert_eq!(nix::unistd::getsid(Some(engine)), Ok(keeper));
}

#[tokio::test]
async fn many_callers_at_once_are_all_answered() {
    let stage = Stage::new();
    let order = stage.launch("exec sleep 1000").await;
    let looks = futures_util::future::join_all((0..100).map(|_| stage.runtime.list())).await;
    assert!(looks.into_iter().all(|seen| seen.unwrap().iter().all(|seen| seen.state == SeenState::Running)));
    assert_eq!(stage.seen(&order.instance).await.unwrap().state, SeenState::Running);
}

#[tokio::test]
async fn fifty_lives_leave_no_zombie_and_no_folder() {
    let stage = Stage::new();
    let mut keepers = Vec::new();
    for _ in 0..50 {
        let order = stage.launch("sleep 1000 & sleep 1000 & wait").await;
        keepers.push(stage.keeper(&order.instance));
        stage.runtime.stop(&order.instance, GRACE).await.unwrap();
        stage.exit(&order.instance).await;
        stage.runtime.stop(&order.instance, GRACE).await.unwrap();
    }
    assert!(stage.runtime.list().await.unwrap().is_empty());
    assert_eq!(fs::read_dir(stage.dir()).unwrap().count(), 0);
    eventually("every keeper has ended and was reaped", || keepers.iter().all(|keeper| !exists(*keeper))).await;
}
