//! The findings as a picture: horizontal bars, one panel for each question.
//!
//! In: findings. Out: an SVG that needs nothing else. Own code: a few rectangles and words.

use std::fmt::Write as _;

use super::figures::{EQUAL_USE, Findings, Latency, Streams};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 170.0;
/// Room for the number behind the longest bar.
const RIGHT: f64 = 110.0;
const ROW: f64 = 24.0;
const THICK: f64 = 15.0;
const TITLE: f64 = 34.0;
const PERCENT: f64 = 100.0;
const OURS: &str = "#1b6ca8";
const OTHERS: &str = "#b8c4cc";

/// One question; without rows it is not drawn.
#[derive(Default)]
struct Panel {
    title: String,
    rows: Vec<(String, f64)>,
    digits: usize,
}

/// Draws it.
pub(super) fn svg(findings: &Findings) -> String {
    let panels: Vec<Panel> = panels(findings).into_iter().filter(|panel| !panel.rows.is_empty()).collect();
    let rows: usize = panels.iter().map(|panel| panel.rows.len()).sum();
    let height = count(panels.len()) * (TITLE + ROW) + count(rows) * ROW + ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = 0.0;
    for panel in &panels {
        y = draw(&mut svg, panel, y + ROW);
    }
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{}\" fill=\"#777\">{}</text>\n</svg>",
        height - 8.0,
        escaped(&format!("{}; {}", findings.date, findings.machine.cpu))
    );
    svg
}

fn panels(findings: &Findings) -> Vec<Panel> {
    let requests = findings.requests.iter().filter(|row| row.per_cpu_second > 0.0).map(|row| (row.party.clone(), row.per_cpu_second));
    let added = |rows: &[Latency], of: fn(&Latency) -> f64| -> Vec<(String, f64)> {
        let rows = rows.iter().skip(1).filter(|row| row.kept_up);
        rows.map(|row| (row.party.clone(), of(row).max(0.0))).collect()
    };
    let latency = |of: fn(&Latency) -> f64| added(&findings.latency, of);
    let levels = || findings.streams.iter().map(|row| (row.at_once, row.per_second));
    let most = levels().max().unwrap_or_default();
    let gentle = levels().filter(|(at_once, each)| *at_once == most.0 && *each < most.1).min();
    let streams = |level: (usize, u32), of: fn(&Streams) -> f64| -> Vec<(String, f64)> {
        let rows = findings.streams.iter().filter(move |row| (row.at_once, row.per_second) == level && row.party != "direct");
        rows.map(|row| (row.party.clone(), of(row).max(0.0))).collect()
    };
    let delay = |level: (usize, u32)| Panel {
        title: format!("{} streams at {}/s: added to an event, p99, microseconds", level.0, level.1),
        rows: streams(level, |row| row.added_event_p99),
        digits: 0,
    };
    let at_once = most.0;
    let rate = findings.latency.first().map_or(0.0, |row| row.rate);
    vec![
        Panel { title: "Calls for each CPU second of the gateway (more is better)".to_owned(), rows: requests.collect(), digits: 0 },
        Panel { title: format!("Added time at {rate:.0} calls/s, p50, microseconds"), rows: latency(|row| row.added_p50), digits: 0 },
        Panel { title: format!("Added time at {rate:.0} calls/s, p99, microseconds"), rows: latency(|row| row.added_p99), digits: 0 },
        Panel {
            title: format!("Added time with {:.0} % of each gateway's core in use, p99, microseconds", PERCENT * EQUAL_USE),
            rows: added(&findings.equal_use, |row| row.added_p99),
            digits: 0,
        },
        delay(most),
        gentle.map_or_else(Panel::default, delay),
        Panel { title: format!("{at_once} streams: KB of memory for each"), rows: streams(most, |row| row.kb_per_stream), digits: 1 },
    ]
}

/// Draws a panel from `y` on; gives where it ends.
fn draw(svg: &mut String, panel: &Panel, y: f64) -> f64 {
    let _ = writeln!(svg, "<text x=\"12\" y=\"{:.0}\" font-size=\"14\" font-weight=\"bold\">{}</text>", y, escaped(&panel.title));
    let longest = panel.rows.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut at = y + TITLE / 2.0;
    for (name, value) in &panel.rows {
        let length = (WIDTH - LEFT - RIGHT) * value / longest;
        let colour = if name.starts_with("Penstock") { OURS } else { OTHERS };
        let base = at + THICK - 3.0;
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, escaped(name));
        let _ = writeln!(svg, "<rect x=\"{LEFT:.0}\" y=\"{at:.0}\" width=\"{length:.1}\" height=\"{THICK:.0}\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{base:.0}\">{value:.*}</text>", LEFT + length + 6.0, panel.digits);
        at += ROW;
    }
    at
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[expect(clippy::cast_precision_loss, reason = "a few rows")]
fn count(n: usize) -> f64 {
    n as f64
}
