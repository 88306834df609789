//! Points in time that can be stored: UTC, to the millisecond.
//!
//! In: the system clock, or a number. Out: RFC 3339 text on the wire, milliseconds in the store.
//! Fails: on text that is not RFC 3339. Waiting is not done here but with `tokio::time`, so that
//! a test can pause it. The system clock may be set at any time, and goes on while the machine sleeps: whoever decides by how long
//! ago something was asks [`Timestamp::steady`], and shows or stores it as [`Timestamp::dated`].

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Two clocks that are this near to each other, in milliseconds, say the same.
const SAME: i64 = 100;

impl Timestamp {
    /// The present, by the system clock.
    pub fn now() -> Self {
        #[cfg(debug_assertions)]
        if let Some(made) = crate::simulated::now() {
            return made;
        }
        Self(jiff::Timestamp::now().as_millisecond())
    }
    /// The present by a clock that nobody sets: what the system clock said when this process first asked, and the time since, without
    /// that in which the machine slept.
    pub fn steady() -> Self {
        static FIRST: OnceLock<(Timestamp, Instant)> = OnceLock::new();
        #[cfg(debug_assertions)]
        if let Some(made) = crate::simulated::steady() {
            return made;
        }
        let (at, since) = FIRST.get_or_init(|| (Self::now(), Instant::now()));
        at.plus(since.elapsed())
    }
    /// How far the system clock is ahead of [`Timestamp::steady`], in milliseconds; zero as long as it was not set.
    pub fn drift() -> i64 {
        let drift = Self::now().0 - Self::steady().0;
        if drift.abs() < SAME { 0 } else { drift }
    }
    /// So many milliseconds later, or earlier.
    #[must_use]
    pub const fn shifted(self, by: i64) -> Self {
        Self(self.0.saturating_add(by))
    }
    /// A moment of [`Timestamp::steady`] as the system clock has it by now: to be shown, stored, or held against a date.
    #[must_use]
    pub fn dated(self) -> Self {
        self.shifted(Self::drift())
    }
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }
    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// When the month of the calendar (UTC) that it lies in began, and when the next one begins.
    pub fn month(self) -> (Self, Self) {
        let first = |months: i64| {
            let at = jiff::Timestamp::from_millisecond(self.0).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
            let first = at.date().first_of_month().checked_add(jiff::Span::new().months(months)).ok()?;
            Some(Self(first.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()))
        };
        // Beyond the year 9999 there are no months.
        (first(0).unwrap_or(self), first(1).unwrap_or(Self(i64::MAX)))
    }
    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
    /// This much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse::<jiff::Timestamp>()?.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The point in time of an HTTP date: `Sat, 21 Nov 2026 05:21:15 GMT`.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// A `Duration` as people write it in a config: `500ms`, `30s`, `5m`, `1h30m`; a bare number is seconds.
pub mod human {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Reads `500ms`, `30s`, `5m`, `2h`, `1d` and sums of them; a bare number is seconds.
    pub fn parse(text: &str) -> Option<Duration> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return None;
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let seconds = match rest[..letters].trim() {
                "" | "s" => 1.0,
                "ms" => 0.001,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
            rest = &rest[letters..];
            total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        }
        Some(total)
    }

    /// Prints the largest exact unit: `250ms`, `90s`, `5m`, `35d`.
    pub fn print(duration: Duration) -> String {
        let millis = duration.as_millis();
        match millis {
            0 => "0s".to_owned(),
            m if m % 86_400_000 == 0 => format!("{}d", m / 86_400_000),
            m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
            m if m % 60_000 == 0 => format!("{}m", m / 60_000),
            m if m % 1_000 == 0 => format!("{}s", m / 1_000),
            m => format!("{m}ms"),
        }
    }

    /// For `#[serde(with = "base::clock::human")]`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print(*duration))
    }

    /// For `#[serde(with = "base::clock::human")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Seconds(f64),
            Text(String),
        }
        let wrong =
            |what: &dyn std::fmt::Display| serde::de::Error::custom(format!("`{what}` is not a duration; write 500ms, 30s, 5m or 1h"));
        match Raw::deserialize(deserializer)? {
            Raw::Seconds(s) => Duration::try_from_secs_f64(s).ok().ok_or_else(|| wrong(&s)),
            Raw::Text(text) => parse(&text).ok_or_else(|| wrong(&text)),
        }
    }
}
