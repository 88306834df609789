//! Money keeps its digits; periods begin and end where the calendar says.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn money_keeps_every_digit_that_is_written() {
    for (text, nanos, shown) in [
        ("50", 50_000_000_000, "50.00"),
        ("12.5", 12_500_000_000, "12.50"),
        ("0.1", 100_000_000, "0.10"),
        (".000000001", 1, "0.000000001"),
        ("18446744073.709551615", u64::MAX, "18446744073.709551615"),
    ] {
        let usd: Usd = text.parse().expect("money");
        assert_eq!((usd, usd.to_string().as_str()), (Usd(nanos), shown));
    }
    for bad in ["", ".", "-1", "1e3", "1.0000000001", "18446744073.709551616", "five", "1,5"] {
        assert!(bad.parse::<Usd>().is_err(), "{bad}");
    }
}

#[test]
fn money_is_a_number_in_json_and_may_be_a_text() {
    let budget: Budget = serde_json::from_str(r#"{"usd_per_day":0.1,"usd_per_month":"12.50","usd_per_hour":3}"#).expect("a budget");
    assert_eq!(budget.usd(Period::Day), Some(Usd(100_000_000)));
    assert_eq!(budget.usd(Period::Month), Some(Usd(12_500_000_000)));
    assert_eq!(budget.usd(Period::Hour), Some(Usd::dollars(3)));
    assert_eq!(serde_json::to_string(&budget).expect("json"), r#"{"usd_per_hour":3.0,"usd_per_day":0.1,"usd_per_month":12.5}"#);
    for bad in [r#"{"usd_per_day":-1}"#, r#"{"usd_per_day":1e300}"#, r#"{"usd_per_week":1}"#] {
        assert!(serde_json::from_str::<Budget>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_budget_of_nothing_is_refused_and_named() {
    let budget = Budget { tokens_per_day: Some(0), usd_per_month: Some(Usd(0)), tokens_per_hour: Some(1), ..Budget::default() };
    let Err(Invalid(problems)) = budget.check() else { panic!("accepted") };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["budget.tokens_per_day", "budget.usd_per_month"]);
    assert!(Budget::default().check().is_ok() && Budget::default().is_none());
}

#[test]
fn periods_are_those_of_the_calendar_in_utc() {
    for (now, period, from, to) in [
        ("2026-11-21T05:21:59.123Z", Period::Hour, "2026-11-21T05:00:00Z", "2026-11-21T06:00:00Z"),
        ("2026-11-21T00:00:00Z", Period::Day, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("2026-11-21T05:21:59Z", Period::Month, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("2026-12-31T23:59:59.999Z", Period::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2028-02-29T12:00:00Z", Period::Month, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ("2100-02-28T12:00:00Z", Period::Month, "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"),
        ("1969-12-31T23:59:59Z", Period::Month, "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(period.around(at(now)), (at(from), at(to)), "{now} {period}");
    }
}

#[test]
fn every_month_of_four_centuries_ends_where_the_next_begins() {
    let mut now = at("1970-01-01T00:00:00Z");
    for month in 0..400 * 12 {
        let (from, to) = Period::Month.around(now);
        assert_eq!(from, now);
        assert_eq!(from.to_string()[..7], format!("{}-{:02}", 1970 + month / 12, month % 12 + 1));
        now = to;
    }
}
