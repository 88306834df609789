//! Programs on a leash: stopped, ended early, deaf to TERM, left by an owner who died.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Leash, Order, processes_in};
use crate::scratch::Scratch;

const SOON: Duration = Duration::from_mins(2);

fn shell<'a>(folder: &'a Scratch, arguments: &'a [&'a str]) -> Order<'a> {
    Order { program: Path::new("/bin/sh"), arguments, environment: &[], bare: false, folder: folder.path() }
}

/// Waits until it is so; a test's only clock.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_program_is_asked_to_stop_and_its_folder_goes_with_it() {
    let folder = Scratch::new("leash").unwrap();
    let script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let leash = Leash::start(&shell(&folder, &["-c", script])).unwrap();
    until("up", || leash.last_lines() == "up");
    let proc = format!("/proc/{}", leash.pid());
    assert!(Path::new(&proc).exists());
    assert_eq!(leash.stop().unwrap().code, Some(3));
    assert!(!Path::new(&proc).exists());
    assert!(!folder.path().exists());
}

#[test]
fn a_program_that_does_not_listen_is_killed_after_the_grace() {
    let folder = Scratch::new("leash").unwrap();
    let order = shell(&folder, &["-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"]);
    let leash = Leash::start_with(&order, Duration::from_millis(300)).unwrap();
    until("deaf", || leash.last_lines() == "deaf");
    assert_eq!(leash.stop().unwrap().code, Some(128 + 9));
}

#[test]
fn a_program_that_ends_early_is_noticed_with_its_last_words() {
    let folder = Scratch::new("leash").unwrap();
    let leash = Leash::start(&shell(&folder, &["-c", "echo no such model >&2; exit 7"])).unwrap();
    let error = leash.expect_alive(SOON).unwrap_err().to_string();
    assert!(error.contains("status 7") && error.contains("no such model"), "{error}");
    assert_eq!(leash.stop().unwrap().code, Some(7));
}

#[test]
fn when_the_owner_is_gone_the_program_goes_too() {
    let folder = Scratch::new("leash").unwrap();
    let marker = folder.path().join("marker").display().to_string();
    let mut leash = Leash::start(&shell(&folder, &["-c", "while :; do sleep 0.05; done", &marker])).unwrap();
    until("runs", || !processes_in(Path::new(&marker)).is_empty());
    // What the kernel does for an owner that is killed.
    drop(leash.keeper.stdin.take());
    until("program and shell are gone", || processes_in(Path::new(&marker)).is_empty());
    assert!(!folder.path().exists());
}

#[test]
fn a_bare_environment_holds_only_what_is_given() {
    let folder = Scratch::new("leash").unwrap();
    let order = Order {
        program: Path::new("/usr/bin/env"),
        arguments: &[],
        environment: &[("GIVEN", Path::new("/here"))],
        bare: true,
        folder: folder.path(),
    };
    let leash = Leash::start(&order).unwrap();
    let _ended = leash.expect_alive(SOON).unwrap_err();
    assert_eq!(leash.last_lines(), "GIVEN=/here");
}
