//! The findings as Markdown.
//!
//! In: findings. Out: one page: bars first, then a table for each measure.

use std::fmt::Write as _;

use super::figures::{Bar, EQUAL_USE, Findings, Latency, Stolen, Took};

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
The tunnel copies bytes between two sockets and knows no HTTP: what no gateway can be faster than.
Taken by the host: of the gateways' core / of the rig's, in percent of the time, means over the rounds (the worst round of either). While it is \
taken away nothing moves on that core, so a tail beside such a figure is also the host's.\n",
    );
    took(&mut page, findings);
    if findings.quick {
        page.push_str("A quick run: short, few rounds. It shows that all works, not how fast.\n");
    }
    let _ = writeln!(page, "\n![plot]({name}.svg)\n");
    bars(&mut page, &findings.bars);
    parties(&mut page, findings);
    requests(&mut page, findings);
    latency(&mut page, "Time of a call at a fixed rate, from when it was meant to begin", &findings.latency);
    equal_use(&mut page, findings);
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

/// What the measures took, a round of each.
fn took(page: &mut String, findings: &Findings) {
    let words = |took: &Took| format!("{}: {} rounds of {:.0} s", took.measure, took.rounds, took.seconds / f64::from(took.rounds.max(1)));
    if !findings.took.is_empty() {
        let all: f64 = findings.took.iter().map(|took| took.seconds).sum();
        let each: Vec<String> = findings.took.iter().map(words).collect();
        let _ = writeln!(page, "Took {:.0} s: {}.", all, each.join("; "));
    }
}

fn taken(stolen: Stolen) -> String {
    format!("{:.1} / {:.1} ({:.1})", stolen.gateway, stolen.rig, stolen.most)
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
    let columns = [
        "party",
        "calls/s",
        "calls per CPU second",
        "cores used",
        "p50 us",
        "p99 us",
        "memory",
        "taken by the host %",
        "failed",
        "altered",
    ];
    head(page, "Calls of 0.8 KB each way, 64 connections", &columns);
    for row in &findings.requests {
        let _ = writeln!(
            page,
            "| {} | {:.0} | {} | {:.2} | {:.0} | {:.0} | {} | {} | {} | {} |",
            row.party,
            row.per_second,
            unless_none(row.per_cpu_second, ""),
            row.cores_used,
            row.p50,
            row.p99,
            unless_none(megabytes(row.memory_kb), " MB"),
            taken(row.stolen),
            row.failed,
            row.altered
        );
    }
    errors(page, findings.requests.iter().map(|row| (&row.party, &row.first_error)));
}

fn latency(page: &mut String, title: &str, rows: &[Latency]) {
    if rows.is_empty() {
        return;
    }
    let columns = [
        "party",
        "rate/s",
        "of its most",
        "core used",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "CPU us",
        "in the kernel",
        "added p50",
        "added p99",
        "added p99.9",
        "taken by the host %",
        "kept up",
    ];
    head(page, title, &columns);
    for row in rows {
        let (kept, taken) = (if row.kept_up { "yes" } else { "no" }, taken(row.stolen));
        let _ = writeln!(
            page,
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:+.0} | {:+.0} | {:+.0} | {taken} | {kept} |",
            row.party,
            row.rate,
            row.of_most,
            row.cores_used,
            row.p50,
            row.p99,
            row.p999,
            row.cpu_us,
            row.kernel_us,
            row.added_p50,
            row.added_p99,
            row.added_p999
        );
    }
    page.push('\n');
}

fn equal_use(page: &mut String, findings: &Findings) {
    const PERCENT: f64 = 100.0;
    if findings.equal_use.is_empty() {
        return;
    }
    let share = PERCENT * EQUAL_USE;
    latency(page, &format!("The same with each gateway's core in use for {share:.0} %"), &findings.equal_use);
    page.push_str(
        "Each at its own rate. At one rate for all, whoever takes less of the core for a call also waits less for it; here only what \
         remains is compared. What is taken off is a call without a gateway at the rate of Penstock, full. No goal is judged by it.\n\n",
    );
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
        "core used",
        "taken by the host %",
        "failed",
        "altered",
    ];
    head(page, "Streams", &columns);
    for row in &findings.streams {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.0} | {:.1} | {:.1} | {:.0} | {:+.0} | {:.0} | {:.0} | {:+.0} | {:.1} | {:.2} | {} | {} | {} |",
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
            row.cores_used,
            taken(row.stolen),
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
    head(page, "Requests with large bodies", &["party", "bytes", "CPU ms per call", "p50 ms", "taken by the host %", "failed"]);
    for row in &findings.bodies {
        let (cpu_ms, p50_ms, taken) = (row.cpu_ms, row.p50_ms, taken(row.stolen));
        let _ = writeln!(page, "| {} | {} | {cpu_ms:.3} | {p50_ms:.2} | {taken} | {} |", row.party, row.bytes, row.failed);
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
