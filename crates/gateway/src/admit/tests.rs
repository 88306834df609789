//! What stands in the headers.

use super::*;

fn shown(wait: Duration) -> String {
    let mut text = Text::default();
    go_duration(wait, &mut text);
    String::from_utf8(text.written().to_vec()).unwrap()
}

#[test]
fn a_wait_is_written_as_clients_read_it() {
    for (millis, text) in [
        (0, "0ms"),
        (12, "12ms"),
        (999, "999ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (1005, "1.005s"),
        (1050, "1.05s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (3_600_000, "1h0m0s"),
        (3_661_250, "1h1m1.25s"),
    ] {
        assert_eq!(shown(Duration::from_millis(millis)), text);
    }
}

#[test]
fn only_what_is_limited_is_told() {
    let mut headers = HeaderMap::new();
    limit_headers(&Rates::default(), &mut headers);
    assert!(headers.is_empty());
    let rate = Rate { limit: u64::MAX, remaining: 0, reset: Duration::from_secs(6) };
    limit_headers(&Rates { requests: None, tokens: Some(rate) }, &mut headers);
    let told: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
    assert_eq!(told, ["x-ratelimit-limit-tokens=18446744073709551615", "x-ratelimit-remaining-tokens=0", "x-ratelimit-reset-tokens=6s"]);
}
