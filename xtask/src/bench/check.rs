//! How long does it take to check a token among a million, what does each take of memory, and how soon is a change in force?
//!
//! In: the site. Out: what the micro bench `identity` says in its one line of JSON. Fails: when the bench does, or says something else.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::shell;
use crate::site::Site;

const CHECK_P99_NS: u64 = 2_000;
const BYTES: u64 = 300;
/// For a token that is taken back or changed to be so at the door, its commit among it.
const IN_FORCE_P99_US: u64 = 5_000;

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
    revoke_p50_us: u64,
    revoke_p99_us: u64,
    /// Other limits and other models.
    change_p50_us: u64,
    change_p99_us: u64,
    open_ms: u64,
}

/// Runs the micro bench.
pub(super) fn measure(site: &Site, jobs: usize) -> Result<Check> {
    let jobs = jobs.to_string();
    let said = shell::text(site.cargo().args(["bench", "--quiet", "--package", "bench", "--bench", "identity", "--jobs", &jobs]))?;
    read(&said)
}

fn read(said: &str) -> Result<Check> {
    let line = said.lines().find(|line| line.starts_with('{')).context("the micro bench `identity` said nothing")?;
    serde_json::from_str(line).with_context(|| format!("the micro bench `identity` said {line}"))
}

impl Check {
    /// Rows of a table.
    pub(super) fn rows(&self) -> String {
        let mut rows = format!("\n| of {} tokens | wanted | found | holds |\n|---|---|---|---|\n", self.tokens);
        let mut row = |what: &str, (wanted, limit): (&str, u64), (found, value): (String, u64)| {
            let holds = if value <= limit { "yes" } else { "**no**" };
            let _ = writeln!(rows, "| {what} | at most {wanted} | {found} | {holds} |");
        };
        let check = format!(
            "{} ns (p50 {}, p99.9 {}; a look at the clock {})",
            self.check_p99_ns, self.check_p50_ns, self.check_p999_ns, self.clock_ns
        );
        row("check of one, p99", ("2 us", CHECK_P99_NS), (check, self.check_p99_ns));
        row("memory of each", ("300 bytes", BYTES), (format!("{} bytes", self.bytes_per_token), self.bytes_per_token));
        let force = |p99: u64, p50: u64| (format!("{p99} us (p50 {p50})"), p99);
        let wanted = ("5 ms", IN_FORCE_P99_US);
        row("one taken back, in force, its commit among it, p99", wanted, force(self.revoke_p99_us, self.revoke_p50_us));
        row("one with other limits and models, in force, its commit among it, p99", wanted, force(self.change_p99_us, self.change_p50_us));
        let _ = writeln!(
            rows,
            "\nAfter a call of each: {} bytes. Reading all of them at the start: {} ms. A token taken back opens nothing from the moment that it \
             is asked for, before its commit; what is told is until the answer.",
            self.bytes_per_used_token, self.open_ms
        );
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_micro_bench_says_is_held_against_each_bar() {
        let said = concat!(
            r#"{"tokens":7,"check_p50_ns":9,"check_p99_ns":2000,"check_p999_ns":9,"clock_ns":1,"bytes_per_token":301,"#,
            r#""bytes_per_used_token":600,"revoke_p50_us":3000,"revoke_p99_us":5000,"change_p50_us":2000,"change_p99_us":5001,"open_ms":8}"#
        );
        let rows = read(&format!("a warning\n{said}\n")).unwrap().rows();
        let holds: Vec<bool> = rows.lines().filter(|line| line.contains("at most")).map(|line| line.ends_with("| yes |")).collect();
        assert_eq!(holds, [true, false, true, false], "{rows}");
        assert!(rows.contains("in force, its commit among it, p99 | at most 5 ms | 5001 us (p50 2000) | **no** |"), "{rows}");
        assert!(read("nothing").is_err() && read(r#"{"tokens":7}"#).is_err());
    }
}
