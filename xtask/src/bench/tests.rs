//! Medians, bars, the table and the plot, from findings that were made up.

use std::time::Duration;

use super::figures::{EQUAL_USE, Findings, Latency, Requests, Rounds, Scan, Stolen, Streams, Took, median};
use super::measure::equal::{self, Point};
use super::{Choice, Measure, Peers, bars, meter, plan, plot, table};

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
        stolen: Stolen::of(&[[1.0, 0.0], [3.0, 7.0]]),
        rounds: rounds.to_vec(),
    }
}

fn latency(party: &str, added: f64, kept_up: bool) -> Latency {
    Latency {
        party: party.to_owned(),
        rate: 10_000.0,
        of_most: 0.5,
        cores_used: 0.41,
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
        stolen: Stolen::default(),
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
        cores_used: 0.9,
        stolen: Stolen::default(),
        failed: 0,
        altered: 0,
        first_error: Some("a `reason`\nin two lines".to_owned()),
    }
}

fn findings() -> Findings {
    Findings {
        requests: vec![requests("nginx", &[100.0, 200.0, 50.0]), requests("Penstock, full", &[95.0, 100.0, 46.0])],
        latency: vec![latency("direct", 0.0, true), latency("Penstock, full", 99.0, true)],
        // Slow where all are equally busy, and with few events: no goal is judged by these.
        equal_use: vec![latency("direct", 0.0, true), latency("Penstock, full", 9_999.0, true)],
        streams: vec![Streams { per_second: 10, added_event_p99: 1e6, ..streams("Penstock, full", 99.0) }, streams("Penstock, full", 31.0)],
        scan: vec![Scan { bytes: 16 << 20, scan_ms: 0.2, splice_ms: 0.05 }],
        took: vec![Took { measure: "streams".to_owned(), rounds: 3, seconds: 630.0 }],
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
    findings.streams[1].event_p99 = 0.0;
    let bars = bars::judge(&findings);
    assert_eq!((bars[3].holds, bars[5].holds), (None, None));
}

#[test]
fn the_page_has_every_table_and_the_plot_every_panel() {
    let findings = findings();
    let page = table::markdown(&findings, "x");
    let parts =
        ["## Goals", "## Calls of", "## Time of a call", "core in use for 40 %", "## Streams", "![plot](x.svg)", "a  reason  in two lines"];
    let figures = ["| 2.0 / 3.5 (7.0) |", "| 0.50 | 0.41 |", "Took 630 s: streams: 3 rounds of 210 s."];
    for title in parts.into_iter().chain(figures) {
        assert!(page.contains(title), "no `{title}` in:\n{page}");
    }
    assert!(!page.contains("## Requests with large bodies"), "what was not measured has no table");
    let svg = plot::svg(&findings);
    assert_eq!(svg.matches("font-weight").count(), 7);
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn what_the_host_takes_of_a_core_is_its_steal_beside_all_of_its_time() {
    let stat = |steal: u64| format!("cpu  9 9 9 9 9 9 9 9 9 9\ncpu1 1 1 1 1 1 1 1 1 0 0\ncpu10 10 0 5 {} 1 1 3 {steal} 7 7\n", 100 - steal);
    let before = meter::core_of(&stat(0), 10).expect("its line");
    let later = stat(0).replace("cpu10 10 0 5 100", "cpu10 90 0 5 110").replace(" 3 0 7 7", " 3 10 7 7");
    let share = meter::core_of(&later, 10).expect("its line").stolen_since(before);
    assert!((share - 10.0).abs() < 1e-9, "{share}");
    assert!(before.stolen_since(before).abs() < f64::EPSILON, "of no time nothing");
    assert_eq!((meter::core_of(&stat(0), 2), meter::core_of("cpu2 1 2 3\n", 2)), (None, None));
    assert!(meter::core(0) != meter::Core::default(), "this machine has a core");
}

#[test]
fn the_rate_of_equal_use_is_found_on_a_core_that_also_pays_for_being_awake() {
    // 20 us for each call, and a share of the core that is there at any rate.
    for (fixed, each_us) in [(0.0, 20.0), (0.2, 20.0), (0.05, 60.0), (0.3, 4.0)] {
        let used = |rate: f64| fixed + rate * each_us / 1e6;
        let mut points = vec![Point { rate: 13_000.0, used: used(13_000.0) }];
        for _ in 0..equal::TRIALS {
            let rate = equal::next(&points, 1e9);
            points.push(Point { rate, used: used(rate) });
        }
        let found = used(equal::next(&points, 1e9));
        assert!((found - EQUAL_USE).abs() < 0.01, "{found} for {fixed} and {each_us}: {points:?}");
    }
    assert!((equal::next(&[Point { rate: 1000.0, used: 0.1 }], 900.0) - 900.0).abs() < 1.0, "never more than it can do");
    assert!(equal::next(&[Point { rate: 1000.0, used: 0.0 }], 9e9) <= 4000.0, "and never by a leap from a point that says nothing");
}

#[test]
fn the_whole_run_is_bounded_and_each_measure_counts() {
    let choice = |peers, only| Choice { quick: false, only, peers, rounds: None, binary: None };
    let all = plan::time(&choice(Peers::All, Vec::new()));
    assert!(Duration::from_mins(20) < all && all < Duration::from_mins(32), "{all:?}");
    let near = plan::time(&choice(Peers::Nginx, Vec::new()));
    assert!(near < Duration::from_mins(24), "{near:?}");
    let parts = [Measure::Latency, Measure::Bodies, Measure::Streams].map(|one| plan::time(&choice(Peers::All, vec![one])));
    assert_eq!(parts.iter().sum::<Duration>(), all);
    assert!(plan::rounds(&choice(Peers::All, vec![Measure::Requests])).contains("5 rounds of 36 s for calls"));
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
