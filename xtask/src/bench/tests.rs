//! Medians, bars, the table and the plot, from findings that were made up.

use super::figures::{Findings, Latency, Requests, Rounds, Scan, Streams, median};
use super::{bars, meter, plot, table};

fn requests(party: &str, rounds: &[f64]) -> Requests {
    Requests {
        party: party.to_owned(),
        per_second: 20_000.0,
        per_cpu_second: median(rounds),
        cores_used: 1.0,
        p50: 10.0,
        p99: 20.0,
        memory_kb: 1_000.0,
        failed: 0,
        altered: 0,
        first_error: None,
        rounds: rounds.to_vec(),
    }
}

fn latency(party: &str, added: f64, kept_up: bool) -> Latency {
    Latency {
        party: party.to_owned(),
        rate: 10_000.0,
        p50: 50.0,
        p99: 60.0,
        p999: 70.0,
        cpu_us: 30.0,
        kernel_us: 20.0,
        added_p50: added,
        added_p99: added,
        added_p999: added,
        kept_up,
        failed: 0,
        rounds: vec![added],
    }
}

fn streams(party: &str, kb: f64) -> Streams {
    Streams {
        party: party.to_owned(),
        at_once: 2_000,
        per_second: 50,
        events_per_second: 100_000.0,
        cpu_us_per_event: 5.0,
        kernel_us_per_event: 4.0,
        first_p50: 1.0,
        first_p99: 1.0,
        event_p50: 1.0,
        event_p99: 1.0,
        added_first_p99: 900.0,
        added_event_p50: 1.0,
        added_event_p99: 2_100.0,
        kb_per_stream: kb,
        failed: 0,
        altered: 0,
        first_error: Some("a `reason`\nin two lines".to_owned()),
    }
}

fn findings() -> Findings {
    Findings {
        requests: vec![requests("nginx", &[100.0, 200.0, 50.0]), requests("Penstock, full", &[95.0, 100.0, 46.0])],
        latency: vec![latency("direct", 0.0, true), latency("Penstock, full", 99.0, true)],
        streams: vec![streams("Penstock, full", 31.0)],
        scan: vec![Scan { bytes: 16 << 20, scan_ms: 0.2, splice_ms: 0.05 }],
        ..Findings::default()
    }
}

#[test]
fn a_median_is_the_middle_one() {
    assert!(median(&[]).abs() < f64::EPSILON);
    assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    assert!((median(&[4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
}

#[test]
fn what_a_party_adds_is_told_round_by_round() {
    let mut rounds = Rounds::new();
    for (direct, gateway) in [(10.0, 30.0), (100.0, 110.0), (10.0, 25.0)] {
        rounds.add(0, direct);
        rounds.add(1, gateway);
    }
    assert!((rounds.beyond(1, 0, |us| *us) - 15.0).abs() < f64::EPSILON);
}

#[test]
fn each_goal_is_judged_by_its_own_figure() {
    let bars = bars::judge(&findings());
    let holds: Vec<_> = bars.iter().map(|bar| bar.holds).collect();
    // The share of nginx is the median of 0.95, 0.5 and 0.92.
    assert_eq!(bars[0].found, "0.92");
    let (yes, no, unmeasured) = (Some(true), Some(false), None);
    assert_eq!(holds, [yes, yes, yes, yes, no, no, yes, yes, unmeasured, unmeasured]);
}

#[test]
fn a_party_that_did_not_keep_up_proves_no_latency() {
    let mut findings = findings();
    findings.latency[1].kept_up = false;
    assert_eq!(bars::judge(&findings)[1].holds, None);
}

#[test]
fn a_run_that_saw_no_event_proves_no_stream() {
    let mut findings = findings();
    findings.streams[0].event_p99 = 0.0;
    let bars = bars::judge(&findings);
    assert_eq!((bars[3].holds, bars[5].holds), (None, None));
}

#[test]
fn the_page_has_every_table_and_the_plot_every_panel() {
    let findings = findings();
    let page = table::markdown(&findings, "x");
    for title in ["## Goals", "## Calls of", "## Time of a call", "## Streams", "![plot](x.svg)", "a  reason  in two lines"] {
        assert!(page.contains(title), "no `{title}` in:\n{page}");
    }
    assert!(!page.contains("## Requests with large bodies"), "what was not measured has no table");
    let svg = plot::svg(&findings);
    assert_eq!(svg.matches("font-weight").count(), 5);
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn a_process_is_measured_with_its_children() {
    let mut child = std::process::Command::new("sh").args(["-c", "read x"]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
    let family = meter::family(std::process::id());
    assert!(family.contains(&child.id()), "{} is not in {family:?}", child.id());
    assert!(meter::own_kb(&family) > meter::own_kb(&[child.id()]));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
