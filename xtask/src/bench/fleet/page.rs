//! The fleet's findings as Markdown: the goals first, then what belongs to none.
//!
//! In: findings. Out: one page.

use std::fmt::Write as _;

use super::Findings;

const SPAWN_P99_MS: f64 = 20.0;
const SEEN_P99_MS: f64 = 100.0;
const OVERHEAD_MS: f64 = 150.0;
const TURN_MS: f64 = 50.0;
const PUBLISH_MS: f64 = 1.0;
const FIRST_MS: f64 = 500.0;
/// What stands in the place of a figure for it.
const LLAMA_SWAP: &str = "not measured: a Go program that neither Debian nor PyPI nor npm carries, and its documents tell no time of a swap. By its source (read in \
     November 2026) it waits 250 ms after an engine's start before it first asks whether that is ready, and then a second between one ask and the next";

/// Writes the page.
pub(super) fn markdown(findings: &Findings) -> String {
    let mut page = format!("# The fleet, measured\n\n{}; {} cold starts, {} swaps.\n\n", findings.date, findings.starts, findings.swaps);
    goals(&mut page, findings);
    others(&mut page, findings);
    page
}

fn goals(page: &mut String, findings: &Findings) {
    page.push_str("| goal | wanted | found | holds |\n|---|---|---|---|\n");
    let mut row = |goal: &str, limit: f64, found: f64| {
        let (digits, holds) = (if found < 1.0 { 3 } else { 1 }, if found <= limit { "yes" } else { "**no**" });
        let _ = writeln!(page, "| {goal} | at most {limit:.0} ms | {found:.digits$} ms | {holds} |");
    };
    let (turn, crowd) = (&findings.turn, &findings.herd);
    row("call to engine spawned, p99", SPAWN_P99_MS, findings.spawn_p99);
    row("ready to answered, p99", SEEN_P99_MS, findings.seen_p99);
    let long = format!("the same of an engine that loads for some 3 s, the worst of {}", findings.long_starts);
    row(&long, SEEN_P99_MS, findings.long_seen_most);
    row("swap beyond the engine's own load, end and call, median", OVERHEAD_MS, findings.overhead());
    row("idle turn over 10,000 deployments and 1,000 instances, median", TURN_MS, turn.idle);
    row("the longest turn of a changed wish over as many, median", TURN_MS, turn.longest);
    row("publishing one change on a board of 10,000, median", PUBLISH_MS, turn.publish);
    row("1,000 callers at once on a model at zero: first byte, p99", FIRST_MS, crowd.first_p99);
    let lost = if crowd.failed == 0 && crowd.starts == 1 { "yes" } else { "**no**" };
    let _ = writeln!(page, "| the same: failed calls, and starts | 0 and 1 | {} and {} | {lost} |", crowd.failed, crowd.starts);
}

fn others(page: &mut String, findings: &Findings) {
    let router = findings.router_swap.map_or_else(|| "not to be had".to_owned(), |time| format!("{time:.0} ms"));
    let _ = writeln!(
        page,
        "\n| | median |\n|---|---|\n| call to engine spawned | {:.1} ms |\n| ready to answered | {:.1} ms |\n\
         | ready to answered, an engine that loads for some 3 s | {:.1} ms |\n| swap, Penstock | {:.0} ms |\n\
         | swap, llama-server's router | {router} |\n| swap, llama-swap | {LLAMA_SWAP} |\n\
         | engine alone: load, end, call | {:.0}, {:.0}, {:.0} ms |",
        findings.spawn_p50,
        findings.seen_p50,
        findings.long_seen_p50,
        findings.swap,
        findings.engine_load,
        findings.engine_end,
        findings.engine_call
    );
    let (turn, crowd) = (&findings.turn, &findings.herd);
    let _ = writeln!(page, "| a caller of the thousand: first byte, end | {:.0}, {:.0} ms (p50, p99) |", crowd.first_p50, crowd.whole_p99);
    let _ = writeln!(
        page,
        "| all turns of one changed wish, and an idle one | {:.1} ms |\n\
         | parts of a turn: plan with one that needs room, see that no wish has changed | {:.1}, {:.2} ms |\n\
         | after a start only: read, take in 10,000 wishes | {:.0}, {:.0} ms |",
        turn.change, turn.plan, turn.read_none, turn.read_all, turn.take_in_all
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::herd::Herd;
    use crate::bench::turn::Turn;

    #[test]
    fn each_goal_of_the_fleet_is_judged_by_its_own_figure() {
        let turn =
            Turn { idle: 21.0, change: 89.0, longest: 50.1, plan: 4.0, read_all: 85.0, take_in_all: 18.0, read_none: 0.1, publish: 0.011 };
        let herd = Herd { first_p50: 200.0, first_p99: 499.0, whole_p99: 4000.0, failed: 0, starts: 2 };
        let findings = Findings {
            date: "today".to_owned(),
            starts: 100,
            spawn_p50: 14.9,
            spawn_p99: 20.3,
            seen_p50: 8.0,
            seen_p99: 12.0,
            long_starts: 20,
            long_seen_p50: 40.0,
            long_seen_most: 100.4,
            swaps: 50,
            swap: 160.0,
            router_swap: None,
            engine_load: 44.0,
            engine_end: 9.0,
            engine_call: 5.0,
            turn,
            herd,
        };
        let page = markdown(&findings);
        let holds: Vec<bool> = page.lines().filter(|line| line.contains(" at most ")).map(|line| line.ends_with("| yes |")).collect();
        assert_eq!(holds, [false, true, false, true, true, false, true, true], "{page}");
        assert!(page.contains("| 0 and 1 | 0 and 2 | **no** |") && page.contains("router | not to be had |"), "{page}");
        assert!(
            page.contains("the worst of 20 | at most 100 ms | 100.4 ms |") && page.contains("| swap, llama-swap | not measured"),
            "{page}"
        );
    }
}
