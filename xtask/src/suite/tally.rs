//! Counts what the test binaries say.
//!
//! In: lines of `cargo test -- --show-output`. Out: how many passed, failed, were skipped, and
//! which lines a person wants to see. A test that prints a line `skipped: why` did not test
//! anything, so it counts as skipped, not as passed.

use std::fmt;

/// How a run went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    /// Tests of the binary now running that said `skipped:`.
    said_skipped: u32,
    /// Within the output of passing tests.
    quiet: bool,
}

impl Tally {
    /// Takes one line; true when it is worth showing.
    pub(super) fn read(&mut self, line: &str) -> bool {
        let skip = line.starts_with("skipped: ");
        self.said_skipped += u32::from(skip);
        if let Some(result) = line.strip_prefix("test result: ") {
            self.quiet = false;
            self.close(result);
        } else if line == "successes:" {
            self.quiet = true;
        } else if line == "failures:" {
            self.quiet = false;
        }
        skip || !self.quiet
    }

    /// One binary is done: `ok. 5 passed; 0 failed; 1 ignored; 0 measured; ...`.
    fn close(&mut self, result: &str) {
        let count = |word: &str| {
            let part = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
            part.and_then(|number| number.trim().parse::<u32>().ok()).unwrap_or(0)
        };
        let skipped = std::mem::take(&mut self.said_skipped);
        self.passed += count("passed").saturating_sub(skipped);
        self.failed += count("failed");
        self.skipped += count("ignored") + skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests;
