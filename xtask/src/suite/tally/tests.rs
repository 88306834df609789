//! Counting, on output as libtest prints it.

use super::Tally;

const OUTPUT: &str = "\
running 3 tests
test a ... ok
test b ... FAILED
test c ... ok

successes:

---- a stdout ----
loud
---- c stdout ----
skipped: no docker

successes:
    a
    c

failures:

---- b stdout ----
why it failed

failures:
    b

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

running 2 tests
test d ... ok
test e ... ignored
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1.50s
";

#[test]
fn all_binaries_are_counted_and_a_skipped_test_did_not_pass() {
    let mut tally = Tally::default();
    let shown: Vec<&str> = OUTPUT.lines().filter(|line| tally.read(line)).collect();
    assert_eq!(tally.to_string(), "2 passed, 1 failed, 2 skipped");
    assert!(shown.contains(&"skipped: no docker") && shown.contains(&"why it failed") && shown.contains(&"test d ... ok"));
    assert!(!shown.contains(&"loud"), "what passing tests print is not shown: {shown:#?}");
}

#[test]
fn a_run_without_tests_counts_nothing() {
    let mut tally = Tally::default();
    assert!(tally.read("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"));
    assert_eq!(tally.to_string(), "0 passed, 0 failed, 0 skipped");
}
