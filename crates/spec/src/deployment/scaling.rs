//! By what the number of instances goes up and down between `min` and `max`.
//!
//! In: `replicas.target`, `replicas.schedule` and `replicas.down_after` of a deployment. Out: plain values. Fails: with every
//! setting that cannot work. From: Kubernetes' horizontal autoscaler (the largest of several wishes, a window before going
//! down) and KEDA's cron scaler.

use std::fmt;
use std::time::Duration;

use base::Timestamp;
use base::clock::human;
use serde::{Deserialize, Serialize};

use super::Replicas;
use crate::check::{self, Problem};

/// What one instance is meant to bear; the number of instances follows. Of several, the one that wants most counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Targets {
    /// Calls that run or wait, for each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Callers in line, for each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Percent of its KV cache that an instance uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_use: Option<u32>,
    /// How long callers usually wait for their first token.
    #[serde(with = "maybe", skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Duration>,
}

/// Other bounds at certain times of the week, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On these days; on every day when not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// From this time on.
    pub from: Hour,
    /// Until this time; one that is not later means that of the next day.
    pub to: Hour,
    /// At least so many instances meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// At most so many meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the days")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// From Monday on.
    const WEEK: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

/// A time of the day, as minutes after midnight; `08:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hour(u16);

const MINUTES_OF_HOUR: u16 = 60;
const HOURS: u16 = 24;

impl TryFrom<String> for Hour {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(hour, minute)| Some((hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?)));
        match parts {
            Some((hour, minute)) if hour < HOURS && minute < MINUTES_OF_HOUR => Ok(Self(hour * MINUTES_OF_HOUR + minute)),
            _ => Err(format!("`{text}` is no time of the day; write 08:30")),
        }
    }
}

impl From<Hour> for String {
    fn from(hour: Hour) -> Self {
        hour.to_string()
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / MINUTES_OF_HOUR, self.0 % MINUTES_OF_HOUR)
    }
}

impl Targets {
    /// Whether nothing is wanted of the instances.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Window {
    /// Whether it is open at this time.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let (day, minute) = moment(at);
        let on = |day: usize| self.days.is_empty() || Day::WEEK.get(day).is_some_and(|day| self.days.contains(day));
        let over_night = self.to <= self.from;
        let here = on(day) && minute >= self.from.0 && (over_night || minute < self.to.0);
        let since_yesterday = over_night && on((day + WEEK - 1) % WEEK) && minute < self.to.0;
        here || since_yesterday
    }
}

const WEEK: usize = Day::WEEK.len();

/// The day of the week, from Monday on, and the minute of the day.
fn moment(at: Timestamp) -> (usize, u16) {
    const MINUTE_MS: i64 = 60_000;
    const MINUTES_OF_DAY: i64 = 1440;
    const FIRST_WAS_THURSDAY: i64 = 3;
    const DAYS: i64 = 7;
    let minutes = at.as_millis().div_euclid(MINUTE_MS);
    let day = (minutes.div_euclid(MINUTES_OF_DAY) + FIRST_WAS_THURSDAY).rem_euclid(DAYS);
    let minute = minutes.rem_euclid(MINUTES_OF_DAY);
    (usize::try_from(day).unwrap_or(0), u16::try_from(minute).unwrap_or(0))
}

const MINUTES_OF_WEEK: u32 = 7 * 24 * 60;
const MOST_WINDOWS: usize = 64;
const WHOLE: u32 = 100;

impl Replicas {
    /// The bounds at this time: those of the windows that are open, else its own.
    pub fn bounds(&self, at: Timestamp) -> (u32, u32) {
        let open = || self.schedule.iter().filter(|window| window.is_open(at));
        let max = open().filter_map(|window| window.max).max().unwrap_or(self.max);
        let min = open().filter_map(|window| window.min).max().unwrap_or(self.min);
        (min.min(max), max)
    }

    /// When there may be instances again, where the schedule allows none now; `None` when it does, or never will.
    pub fn allowed_from(&self, at: Timestamp) -> Option<Timestamp> {
        const MINUTE: Duration = Duration::from_mins(1);
        if self.bounds(at).1 > 0 {
            return None;
        }
        // Windows open and close on the minute, and every week is the same.
        let whole = Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(60_000));
        (1..=MINUTES_OF_WEEK).map(|minute| whole.plus(MINUTE * minute)).find(|at| self.bounds(*at).1 > 0)
    }

    /// Everything that is wrong with how it goes up and down.
    pub(super) fn scaling_problems(&self) -> Vec<Problem> {
        let targets = &self.target;
        let mut found: Vec<Problem> = [
            check::age("replicas.down_after", self.down_after, None),
            targets.first_token.and_then(|time| check::time("replicas.target.first_token", time, Some("can be met by no instance"))),
        ]
        .into_iter()
        .flatten()
        .collect();
        if targets.concurrency == Some(0) {
            let hint = "use the calls that one instance bears well, or leave it out";
            found.push(problem("replicas.target.concurrency", "0 calls for each instance can be met by no number of them", hint));
        }
        if targets.queue == Some(0) {
            let hint = "use 1, or target.concurrency to have nobody wait";
            found.push(problem("replicas.target.queue", "0 callers in line for each instance can be met by no number of them", hint));
        }
        if targets.kv_use.is_some_and(|percent| !(1..=WHOLE).contains(&percent)) {
            found.push(problem("replicas.target.kv_use", "is not a share between 1 and 100 percent", "use 80"));
        }
        if self.schedule.len() > MOST_WINDOWS {
            found.push(problem("replicas.schedule", "has too many windows", "64 at most"));
        }
        for (at, window) in self.schedule.iter().enumerate() {
            let field = format!("replicas.schedule[{at}]");
            let (min, max) = (window.min.unwrap_or(self.min), window.max.unwrap_or(self.max));
            if window.min.is_none() && window.max.is_none() {
                found.push(problem(&field, "changes neither min nor max", "add min: or max:"));
            } else if max == 0 && window.min.is_some_and(|min| min > 0) || min > max {
                found.push(problem(&field, "its min and max do not fit together", "max is at least min"));
            }
        }
        found
    }
}

fn problem(field: &str, what: &str, hint: &str) -> Problem {
    Problem { field: field.to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

/// A duration, or nothing.
pub(super) mod maybe {
    use super::{Duration, human};
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in super::super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => human::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Time(#[serde(with = "human")] Duration);
        Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
    }
}

#[cfg(test)]
mod tests;
