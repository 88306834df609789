//! How much may be used up within an hour, a day, a month: tokens, and money.
//!
//! In: what an operator writes (`tokens_per_day: 100000`, `usd_per_month: 12.50`). Out: the same as
//! whole numbers. Fails: on money that is negative or finer than a billionth of a dollar can say.
//! Hours, days and months are those of the calendar in UTC, so that everybody can tell when the
//! next one begins.

use std::fmt;
use std::str::FromStr;

use base::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::{Invalid, Problem};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Money, in billionths of a US dollar (nano-USD): a price for one token is a whole number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(pub u64);

/// Of one dollar.
const NANOS: u64 = 1_000_000_000;
/// Digits behind the point.
const DIGITS: usize = 9;

impl Usd {
    /// Whole dollars.
    pub const fn dollars(n: u64) -> Self {
        Self(n.saturating_mul(NANOS))
    }
}

impl fmt::Display for Usd {
    /// `12.50`; more digits where there is more to say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CENTS: usize = 2;
        let fraction = format!("{:0DIGITS$}", self.0 % NANOS);
        let said = fraction.trim_end_matches('0').len().max(CENTS);
        write!(f, "{}.{}", self.0 / NANOS, &fraction[..said])
    }
}

impl FromStr for Usd {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::one("usd", format!("`{text}` is not an amount in US dollars"), "write 50 or 12.50");
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) || fraction.len() > DIGITS {
            return Err(bad());
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok().ok_or_else(bad)? };
        let nanos: u64 = format!("{fraction:0<DIGITS$}").parse().ok().ok_or_else(bad)?;
        whole.checked_mul(NANOS).and_then(|n| n.checked_add(nanos)).map(Self).ok_or_else(bad)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "a number of JSON; exact for nine million dollars to the billionth")]
        serializer.serialize_f64(self.0 as f64 / NANOS as f64)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        let text = match Raw::deserialize(deserializer)? {
            // Nine digits: what a binary fraction adds behind them was never meant.
            Raw::Number(n) => format!("{n:.DIGITS$}"),
            Raw::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A stretch of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

impl Period {
    /// The shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Where the one that `at` lies in begins and where it ends, which is where the next begins.
    pub fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let even = |len: i64| {
            let start = at.as_millis().div_euclid(len).saturating_mul(len);
            (Timestamp::from_millis(start), Timestamp::from_millis(start.saturating_add(len)))
        };
        match self {
            Self::Hour => even(HOUR),
            Self::Day => even(DAY),
            Self::Month => at.month(),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much may be used up within a period; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Tokens an hour, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_hour: Option<u64>,
    /// Tokens a day, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens a month, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
    /// Money an hour, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<Usd>,
    /// Money a day, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<Usd>,
    /// Money a month, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_month: Option<Usd>,
}

impl Budget {
    /// Nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
    /// Tokens within this period.
    pub fn tokens(&self, period: Period) -> Option<u64> {
        match period {
            Period::Hour => self.tokens_per_hour,
            Period::Day => self.tokens_per_day,
            Period::Month => self.tokens_per_month,
        }
    }
    /// Money within this period.
    pub fn usd(&self, period: Period) -> Option<Usd> {
        match period {
            Period::Hour => self.usd_per_hour,
            Period::Day => self.usd_per_day,
            Period::Month => self.usd_per_month,
        }
    }
    /// A budget of zero would refuse everything.
    pub fn check(&self) -> Result<(), Invalid> {
        let zero = Period::ALL.into_iter().flat_map(|period| {
            let tokens = (self.tokens(period) == Some(0)).then(|| format!("budget.tokens_per_{period}"));
            let usd = (self.usd(period) == Some(Usd(0))).then(|| format!("budget.usd_per_{period}"));
            [tokens, usd].into_iter().flatten()
        });
        let problems = zero.map(|field| Problem {
            field,
            what: "0 would refuse every call".to_owned(),
            hint: "leave it out for no limit, or write an amount above 0".to_owned(),
        });
        Invalid::from_problems(problems.collect())
    }
}

#[cfg(test)]
mod tests;
