//! Numbers land where they belong, however many there are of them.

use std::time::Instant;

use super::histogram::{Histogram, TOKENS};
use super::*;

fn model(asked: &str) -> Model<'_> {
    Model { operation: "chat", provider: "echo", asked, answers: "up" }
}

fn figures() -> Figures {
    Figures {
        duration: Duration::from_millis(100),
        first_token: Some(Duration::from_millis(40)),
        prompt_tokens: 7,
        completion_tokens: 3,
        error: None,
    }
}

/// The number at the end of the one line that holds all of these words.
fn value(metrics: &Metrics, words: &[&str]) -> String {
    let text = metrics.text().unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word))).collect();
    assert_eq!(lines.len(), 1, "{words:?} in\n{text}");
    lines[0].rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
    let metrics = Metrics::new();
    for tokens in [1, 4, 5, 70_000_000] {
        metrics.called(model("m"), &Figures { prompt_tokens: tokens, ..Figures::default() });
    }
    let input = |le: &str| value(&metrics, &["token_usage_bucket", "input", &format!("le=\"{le}\"")]);
    assert_eq!([input("1.0"), input("4.0"), input("16.0"), input("67108864.0"), input("+Inf")], ["1", "2", "3", "3", "4"]);
    assert_eq!(value(&metrics, &["token_usage_sum", "input"]), "70000010.0");
    let empty = Histogram::new(&TOKENS);
    assert!(empty.is_empty());
}

#[test]
fn bounds_and_sums_read_as_a_person_would_write_them() {
    let metrics = Metrics::new();
    metrics.called(model("m"), &figures());
    let text = metrics.text().unwrap();
    assert!(text.contains(r#"le="0.000025""#) && text.contains(r#"le="1.28""#), "{text}");
    assert!(!text.contains("00000000"), "{text}");
    assert_eq!(value(&metrics, &["time_per_output_token_seconds_sum"]), "0.03", "60 ms between the first and the third of three");
    assert_eq!(value(&metrics, &["time_to_first_token_seconds_sum"]), "0.04");
}

#[test]
fn a_failure_counts_by_its_word_and_not_among_the_answers() {
    let metrics = Metrics::new();
    metrics.called(model("m"), &Figures { error: Some("queue_full"), ..figures() });
    metrics.called(model("m"), &Figures { error: Some("queue_full"), ..figures() });
    assert_eq!(value(&metrics, &["request_duration_seconds_count", "error_type=\"queue_full\"", "gen_ai"]), "2");
    let text = metrics.text().unwrap();
    assert!(!text.contains("time_to_first_token_seconds_count"), "{text}");
}

#[test]
fn models_beyond_the_bound_share_one_label_and_are_counted() {
    const BEYOND: usize = 1010;
    let metrics = Metrics::new();
    for at in 0..BEYOND {
        metrics.called(model(&format!("m{at}")), &figures());
    }
    let text = metrics.text().unwrap();
    let series = text.lines().filter(|line| line.starts_with("gen_ai_server_request_duration_seconds_count")).count();
    assert_eq!(series, 1001, "a thousand and `other`");
    assert_eq!(value(&metrics, &["request_duration_seconds_count", "request_model=\"other\""]), "10");
    assert_eq!(value(&metrics, &["penstock_series_dropped_total"]), "10");
}

#[test]
fn a_deployment_whose_engine_changes_gets_a_series_of_its_own() {
    let metrics = Metrics::new();
    metrics.called(model("m"), &figures());
    metrics.called(Model { answers: "newer", ..model("m") }, &figures());
    assert_eq!(value(&metrics, &["request_duration_seconds_count", "response_model=\"up\""]), "1");
    assert_eq!(value(&metrics, &["request_duration_seconds_count", "response_model=\"newer\""]), "1");
}

#[test]
fn a_route_tells_its_answers_apart_up_to_a_bound() {
    let metrics = Metrics::new();
    let route = metrics.route("/x");
    for status in 200..300 {
        route.came();
        route.left("POST", status, Duration::from_millis(1));
    }
    route.came();
    route.left("BREW", 418, Duration::ZERO);
    assert_eq!(value(&metrics, &["penstock_http_requests_total", "status=\"200\""]), "1");
    assert_eq!(value(&metrics, &["penstock_http_requests_total", "status=\"other\""]), "54");
    assert_eq!(value(&metrics, &["modeld_http_request_duration_seconds_count", "/x"]), "101");
    assert_eq!(value(&metrics, &["modeld_http_inflight_requests", "/x"]), "0");
}

#[test]
fn numbers_of_others_are_read_anew_and_never_without_a_bound() {
    let metrics = Metrics::new();
    let scrapes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&scrapes);
    metrics.read_also(Arc::new(move |readings| {
        readings.counter("x_scrapes", "Scrapes", counted.fetch_add(1, Relaxed));
        readings.gauges("x_depth", "Depth", "name", (0..1005).map(|at| (at.to_string(), 1.5)));
    }));
    assert_eq!(value(&metrics, &["x_scrapes_total"]), "0");
    assert_eq!(value(&metrics, &["x_scrapes_total"]), "1");
    assert_eq!(value(&metrics, &["x_depth{name=\"999\"}"]), "1.5");
    let text = metrics.text().unwrap();
    assert!(!text.contains("name=\"1000\""));
    assert_eq!(value(&metrics, &["penstock_series_dropped_total"]), "20", "five of each of the four scrapes before");
}

#[test]
fn what_a_call_costs_here_is_told() {
    const CALLS: u32 = 200_000;
    let metrics = Metrics::new();
    for name in 0..50 {
        metrics.called(model(&format!("model-{name}")), &figures());
    }
    let laps = Laps::new(tokio::time::Instant::now());
    let timed = |what: &str, work: &dyn Fn()| {
        let from = Instant::now();
        (0..CALLS).for_each(|_| work());
        println!("{what}: {:?} a call", from.elapsed() / CALLS);
    };
    timed("called", &|| metrics.called(model("model-7"), &figures()));
    timed("spent", &|| metrics.spent(&laps, Duration::from_micros(3)));
    timed("route", &|| {
        let route = metrics.route("/v1/chat/completions");
        route.came();
        route.left("POST", 200, Duration::from_millis(2));
    });
    timed("lap", &|| laps.lap(Stage::Read));
    assert_eq!(value(&metrics, &["request_duration_seconds_count", "\"model-7\""]), (CALLS + 1).to_string());
}
