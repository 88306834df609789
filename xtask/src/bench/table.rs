//! The findings as Markdown.
//!
//! In: findings. Out: one page: bars first, then a table for each measure.

use std::fmt::Write as _;

use super::figures::{Bar, Findings};

/// Writes the page; `name` is that of its plot.
pub(super) fn markdown(findings: &Findings, name: &str) -> String {
    let mut page = String::from("# The gateway, measured\n\n");
    let machine = &findings.machine;
    let _ = writeln!(
        page,
        "{}; {}, {} cores, {}, Linux {}; load before: {}.",
        findings.date, machine.cpu, machine.cores, machine.memory, machine.kernel, machine.load_before
    );
    page.push_str(
        "The gateways run on one core; upstream and clients on the other, in one loop. Medians over rounds in which all took turns.
The tunnel copies bytes between two sockets and knows no HTTP: what no gateway can be faster than.\n",
    );
    if findings.quick {
        page.push_str("A quick run: short, few rounds. It shows that all works, not how fast.\n");
    }
    let _ = writeln!(page, "\n![plot]({name}.svg)\n");
    bars(&mut page, &findings.bars);
    parties(&mut page, findings);
    requests(&mut page, findings);
    latency(&mut page, findings);
    streams(&mut page, findings);
    bodies(&mut page, findings);
    page
}

/// A table's head and the line below it.
fn head(page: &mut String, title: &str, columns: &[&str]) {
    let _ = writeln!(page, "## {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

fn bars(page: &mut String, bars: &[Bar]) {
    head(page, "Goals", &["goal", "wanted", "found", "a tunnel", "holds"]);
    for bar in bars {
        let holds = bar.holds.map_or("", |holds| if holds { "yes" } else { "**no**" });
        let _ = writeln!(page, "| {} | {} | {} | {} | {holds} |", bar.goal, bar.wanted, bar.found, bar.floor);
    }
    page.push('\n');
}

fn parties(page: &mut String, findings: &Findings) {
    head(page, "Who took part", &["party", "version", "start to ready", "memory when idle"]);
    for party in findings.parties.iter().filter(|party| party.started_ms > 0.0) {
        let _ = writeln!(page, "| {} | {} | {:.0} ms | {:.1} MB |", party.name, party.version, party.started_ms, megabytes(party.idle_kb));
    }
    for absent in &findings.absent {
        let _ = writeln!(page, "\nWithout {absent}.");
    }
    page.push('\n');
}

fn requests(page: &mut String, findings: &Findings) {
    if findings.requests.is_empty() {
        return;
    }
    let columns = ["party", "calls/s", "calls per CPU second", "cores used", "p50 us", "p99 us", "memory", "failed", "altered"];
    head(page, "Calls of 0.8 KB each way, 64 connections", &columns);
    for row in &findings.requests {
        let _ = writeln!(
            page,
            "| {} | {:.0} | {} | {:.2} | {:.0} | {:.0} | {} | {} | {} |",
            row.party,
            row.per_second,
            unless_none(row.per_cpu_second, ""),
            row.cores_used,
            row.p50,
            row.p99,
            unless_none(megabytes(row.memory_kb), " MB"),
            row.failed,
            row.altered
        );
    }
    errors(page, findings.requests.iter().map(|row| (&row.party, &row.first_error)));
}

fn latency(page: &mut String, findings: &Findings) {
    if findings.latency.is_empty() {
        return;
    }
    let columns =
        ["party", "rate/s", "p50 us", "p99 us", "p99.9 us", "CPU us", "in the kernel", "added p50", "added p99", "added p99.9", "kept up"];
    head(page, "Time of a call at a fixed rate, from when it was meant to begin", &columns);
    for row in &findings.latency {
        let kept = if row.kept_up { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:+.0} | {:+.0} | {:+.0} | {kept} |",
            row.party, row.rate, row.p50, row.p99, row.p999, row.cpu_us, row.kernel_us, row.added_p50, row.added_p99, row.added_p999
        );
    }
    page.push('\n');
}

fn streams(page: &mut String, findings: &Findings) {
    if findings.streams.is_empty() {
        return;
    }
    let columns = [
        "party",
        "streams",
        "each/s",
        "events/s",
        "CPU us per event",
        "in the kernel",
        "first p99 us",
        "added",
        "event p50 us",
        "event p99 us",
        "added",
        "KB each",
        "failed",
        "altered",
    ];
    head(page, "Streams", &columns);
    for row in &findings.streams {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.0} | {:.1} | {:.1} | {:.0} | {:+.0} | {:.0} | {:.0} | {:+.0} | {:.1} | {} | {} |",
            row.party,
            row.at_once,
            row.per_second,
            row.events_per_second,
            row.cpu_us_per_event,
            row.kernel_us_per_event,
            row.first_p99,
            row.added_first_p99,
            row.event_p50,
            row.event_p99,
            row.added_event_p99,
            row.kb_per_stream,
            row.failed,
            row.altered
        );
    }
    errors(page, findings.streams.iter().map(|row| (&row.party, &row.first_error)));
}

fn bodies(page: &mut String, findings: &Findings) {
    if findings.bodies.is_empty() {
        return;
    }
    head(page, "Requests with large bodies", &["party", "bytes", "CPU ms per call", "p50 ms", "failed"]);
    for row in &findings.bodies {
        let _ = writeln!(page, "| {} | {} | {:.3} | {:.2} | {} |", row.party, row.bytes, row.cpu_ms, row.p50_ms, row.failed);
    }
    errors(page, findings.bodies.iter().map(|row| (&row.party, &row.first_error)));
    head(page, "Scanning and splicing a body by itself", &["bytes", "scan ms", "splice ms"]);
    for row in &findings.scan {
        let _ = writeln!(page, "| {} | {:.4} | {:.4} |", row.bytes, row.scan_ms, row.splice_ms);
    }
    page.push('\n');
}

/// The first error of each party that had any.
fn errors<'a>(page: &mut String, rows: impl Iterator<Item = (&'a String, &'a Option<String>)>) {
    page.push('\n');
    for (party, error) in rows.filter_map(|(party, error)| Some((party, error.as_ref()?))) {
        let _ = writeln!(page, "The first failure of {party}: `{}`\n", error.replace(['\n', '`'], " "));
    }
}

/// Nobody in between uses nothing.
fn unless_none(value: f64, unit: &str) -> String {
    if value > 0.0 { format!("{value:.0}{unit}") } else { "-".to_owned() }
}

fn megabytes(kb: f64) -> f64 {
    const KB: f64 = 1e3;
    kb / KB
}
