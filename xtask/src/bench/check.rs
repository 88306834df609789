//! How long does it take to check a token among a million, and what does each take of memory?
//!
//! In: the site. Out: what the micro bench `identity` says in its one line of JSON. Fails: when the bench does, or says something else.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::shell;
use crate::site::Site;

const CHECK_P99_NS: u64 = 2_000;
const BYTES: u64 = 300;

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the JSON")]
pub(super) struct Check {
    tokens: u64,
    check_p50_ns: u64,
    check_p99_ns: u64,
    check_p999_ns: u64,
    /// A look at the clock, which is in each of the times above.
    clock_ns: u64,
    bytes_per_token: u64,
    /// After a call of each.
    bytes_per_used_token: u64,
    revoke_p99_us: u64,
    open_ms: u64,
}

/// Runs the micro bench.
pub(super) fn measure(site: &Site, jobs: usize) -> Result<Check> {
    let jobs = jobs.to_string();
    let said = shell::text(site.cargo().args(["bench", "--quiet", "--package", "bench", "--bench", "identity", "--jobs", &jobs]))?;
    let line = said.lines().find(|line| line.starts_with('{')).context("the micro bench `identity` said nothing")?;
    serde_json::from_str(line).with_context(|| format!("the micro bench `identity` said {line}"))
}

impl Check {
    /// Rows of a table.
    pub(super) fn rows(&self) -> String {
        let holds = |holds: bool| if holds { "yes" } else { "**no**" };
        let mut rows = format!("\n| of {} tokens | wanted | found | holds |\n|---|---|---|---|\n", self.tokens);
        let is_fast = self.check_p99_ns <= CHECK_P99_NS;
        let _ = writeln!(
            rows,
            "| check of one, p99 | at most 2 us | {} ns (p50 {}, p99.9 {}; a look at the clock {}) | {} |",
            self.check_p99_ns,
            self.check_p50_ns,
            self.check_p999_ns,
            self.clock_ns,
            holds(is_fast)
        );
        let _ = writeln!(
            rows,
            "| memory of each | at most {BYTES} bytes | {} bytes | {} |",
            self.bytes_per_token,
            holds(self.bytes_per_token <= BYTES)
        );
        let _ = writeln!(
            rows,
            "\nAfter a call of each: {} bytes. Taking one back, its commit among it: {} us (p99). Reading all of them at the start: {} ms.",
            self.bytes_per_used_token, self.revoke_p99_us, self.open_ms
        );
        rows
    }
}
