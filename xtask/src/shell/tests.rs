//! Small programs, run in each way.

use std::process::Command;
use std::time::Duration;

use super::{last_lines, lines, text, watched, within};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_failure_says_what_failed_and_what_it_printed() {
    let error = text(&mut sh("echo out; echo err >&2; exit 4")).unwrap_err().to_string();
    assert!(error.contains("sh -c") && error.contains("exit status: 4") && error.contains("out\nerr"), "{error}");
    let error = watched(&mut sh("echo told; exit 5"), |_| {}).unwrap_err().to_string();
    assert!(error.contains("exit status: 5:\ntold"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = text(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
    assert!(error.contains("cannot start `no-such-program-here`; is it installed?"), "{error}");
}

#[test]
fn both_outputs_are_handed_over_line_by_line() {
    let mut seen = Vec::new();
    let status = lines(&mut sh("echo a; echo b >&2; printf c"), |line| seen.push(line.to_owned())).unwrap();
    seen.sort();
    assert_eq!((status.success(), seen), (true, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
}

#[test]
fn a_program_that_takes_too_long_is_ended() {
    let error = within(&mut sh("exec sleep 60"), Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("took longer than 50ms"), "{error}");
    assert!(within(&mut sh("exit 0"), Duration::from_mins(2)).is_ok());
    assert!(within(&mut sh("exit 3"), Duration::from_mins(2)).unwrap_err().to_string().contains("exit status: 3"));
}

#[test]
fn only_the_end_of_a_long_text_is_kept() {
    let long = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
    let end = last_lines(&long);
    assert!(end.starts_with("line 75\n") && end.ends_with("line 99"), "{end}");
    assert_eq!(last_lines("one"), "one");
}
