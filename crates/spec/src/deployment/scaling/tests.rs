//! When windows are open, and what cannot work.

use super::*;

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// 1970-01-05 was a Monday.
const MONDAY: i64 = 4 * DAY_MS;

fn at(day: i64, hour: i64) -> Timestamp {
    Timestamp::from_millis(MONDAY + day * DAY_MS + hour * HOUR_MS)
}

fn replicas(text: &str) -> Replicas {
    serde_json::from_str(text).unwrap()
}

#[test]
fn windows_are_open_on_their_days_and_over_midnight() {
    let office = replicas(r#"{"max": 4, "schedule": [{"days": ["mon", "fri"], "from": "08:00", "to": "18:30", "min": 2}]}"#);
    assert_eq!(office.bounds(at(0, 7)), (0, 4));
    assert_eq!(office.bounds(at(0, 8)), (2, 4));
    assert_eq!(office.bounds(at(0, 18)), (2, 4));
    assert_eq!(office.bounds(at(0, 19)), (0, 4));
    assert_eq!(office.bounds(at(1, 9)), (0, 4), "Tuesday");
    assert_eq!(office.bounds(at(7, 9)), (2, 4), "the next Monday");
    let night = replicas(r#"{"min": 1, "max": 4, "schedule": [{"days": ["sun"], "from": "22:00", "to": "06:00", "min": 0, "max": 0}]}"#);
    assert_eq!(night.bounds(at(6, 21)), (1, 4));
    assert_eq!(night.bounds(at(6, 23)), (0, 0));
    assert_eq!(night.bounds(at(7, 5)), (0, 0), "Monday morning belongs to Sunday night");
    assert_eq!(night.bounds(at(7, 6)), (1, 4));
    assert_eq!(night.bounds(at(7, 23)), (1, 4));
}

#[test]
fn when_a_schedule_allows_none_it_is_known_when_it_does_again() {
    let night = replicas(r#"{"max": 4, "schedule": [{"from": "22:00", "to": "06:00", "max": 0}]}"#);
    assert_eq!(night.allowed_from(at(0, 12)), None, "it allows some now");
    assert_eq!(night.allowed_from(at(0, 23)), Some(at(1, 6)));
    let weekend = replicas(r#"{"schedule": [{"days": ["sat", "sun"], "from": "00:00", "to": "00:00", "max": 0}]}"#);
    assert_eq!(weekend.allowed_from(at(5, 9)), Some(at(7, 0)));
    let never = replicas(r#"{"schedule": [{"from": "00:00", "to": "00:00", "max": 0}]}"#);
    assert_eq!(never.allowed_from(at(0, 12)), None);
}

#[test]
fn times_are_written_as_they_were_read_and_nonsense_is_refused() {
    let text = r#"{"min":0,"max":1,"keep_alive":"5m","target":{"concurrency":4,"first_token":"800ms"},"schedule":[{"from":"08:05","to":"00:00","min":1}]}"#;
    assert_eq!(serde_json::to_string(&replicas(text)).unwrap(), text);
    for wrong in ["24:00", "8", "08:60", "-1:00", ""] {
        assert!(Hour::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn what_cannot_work_is_named_with_its_field() {
    let fields = |text: &str| replicas(text).scaling_problems().into_iter().map(|problem| problem.field).collect::<Vec<_>>();
    assert_eq!(fields(r#"{"target": {"concurrency": 8, "queue": 1, "kv_use": 80, "first_token": "1s"}}"#), Vec::<String>::new());
    assert_eq!(
        fields(r#"{"target": {"concurrency": 0, "queue": 0, "kv_use": 0, "first_token": 0}}"#),
        ["replicas.target.first_token", "replicas.target.concurrency", "replicas.target.queue", "replicas.target.kv_use"]
    );
    assert_eq!(fields(r#"{"schedule": [{"from": "08:00", "to": "09:00"}]}"#), ["replicas.schedule[0]"]);
    assert_eq!(fields(r#"{"max": 2, "schedule": [{"from": "08:00", "to": "09:00", "min": 3}]}"#), ["replicas.schedule[0]"]);
}
