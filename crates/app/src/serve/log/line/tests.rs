//! Lines are JSON, whatever stands in them, and their times are those of the calendar.

use gateway::Lap;
use serde_json::{Value, json};
use spec::Ending;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn record<'a>() -> Record<'a> {
    Record {
        at: Timestamp::from_millis(1_700_000_000_123),
        id: "req_1",
        method: "POST",
        route: "/v1/chat/completions",
        status: 200,
        duration: MS * 12 + Duration::from_micros(34),
        bytes_in: 57,
        bytes_out: 812,
        client: Some(([127, 0, 0, 1], 40_000).into()),
        agent: "curl/8",
        token: Some("tok1"),
        project: None,
        wish: Wish::Usual,
        trace: None,
        call: None,
        laps: [None; 7],
    }
}

fn call<'a>() -> CallRecord<'a> {
    CallRecord {
        operation: "chat",
        model: "m",
        deployment: Some("m"),
        instance: Some("m-0"),
        provider: Some("echo"),
        upstream_model: Some("m"),
        ending: Ending::Completed,
        error: None,
        prompt_tokens: 7,
        completion_tokens: 3,
        estimated: false,
        first_byte: Some(MS * 5),
        waited: Duration::ZERO,
        sent: Some(MS),
        upstream: MS * 11,
        streamed: false,
    }
}

fn line(record: &Record<'_>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes, record);
    String::from_utf8(bytes).expect("UTF-8")
}

fn parsed(record: &Record<'_>) -> Value {
    let line = line(record);
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_line_says_who_what_how_long_and_how_it_ended() {
    insta::assert_snapshot!(line(&Record { call: Some(call()), ..record() }));
    insta::assert_snapshot!(line(&Record { token: None, agent: "", client: None, status: 404, route: "unmatched", ..record() }));
}

#[test]
fn whatever_a_client_says_stays_one_line_of_json() {
    let nasty = "a\"b\\c\nd\te\r\u{0}\u{1b}[31m\u{7f} ü 😀";
    let value = parsed(&Record { agent: nasty, id: nasty, ..record() });
    assert_eq!((value["agent"].as_str(), value["id"].as_str()), (Some(nasty), Some(nasty)));
    assert!(!line(&Record { agent: nasty, ..record() }).contains(['\u{1b}', '\u{7f}', '\r']));
}

#[test]
fn who_asks_for_more_is_told_the_laps() {
    let mut laps = [None; 7];
    laps[0] = Some(Lap { stage: "identify", ended: MS, took: Duration::from_micros(15) });
    laps[2] = Some(Lap { stage: "read", ended: MS * 2, took: Duration::from_micros(7) });
    let asked = parsed(&Record { laps, wish: Wish::Debug, ..record() });
    assert_eq!(asked["stages_us"], json!({"identify": 15, "read": 7}));
    assert_eq!(parsed(&Record { laps, ..record() })["stages_us"], Value::Null);
}

#[test]
fn an_address_of_the_newer_kind_is_in_brackets() {
    let client = Some("[2001:db8::1]:443".parse().expect("an address"));
    assert_eq!(parsed(&Record { client, ..record() })["client"], "[2001:db8::1]:443");
}

#[test]
fn times_are_those_of_the_calendar() {
    let leap = 951_782_400_000; // 2000-02-29
    for ms in [0, 999, leap - 1, leap, leap + 86_399_999, 1_700_000_000_123, 4_102_444_800_000, 13_569_465_600_001] {
        let at = Timestamp::from_millis(ms);
        assert_eq!(parsed(&Record { at, ..record() })["time"], at.to_string(), "{ms}");
    }
    for day in 0..60_000_i64 {
        let at = Timestamp::from_millis(day * 86_400_000);
        let mut ours = Vec::new();
        time(&mut ours, at);
        assert_eq!(String::from_utf8(ours).expect("UTF-8"), at.to_string());
    }
}

#[test]
fn what_a_line_costs_is_told() {
    const LINES: u32 = 100_000;
    let (record, mut bytes) = (Record { call: Some(call()), ..record() }, Vec::new());
    let from = std::time::Instant::now();
    for _ in 0..LINES {
        bytes.clear();
        write(&mut bytes, &record);
    }
    println!("a line of {} bytes: {:?}", bytes.len(), from.elapsed() / LINES);
    assert!(bytes.ends_with(b"}\n"));
}
