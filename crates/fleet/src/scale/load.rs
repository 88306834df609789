//! How many instances the present load is worth, and lately was.
//!
//! In: the `target` of a deployment, what callers do, what its instances show. Out: a number for each part of the target, and the
//! largest of a sliding window, so that the number goes down only when none of it was needed for a while. Pure. No flapping: what
//! is within a tenth of the target stays as it is, going up is bounded, going down waits. From: Kubernetes'
//! horizontal autoscaler.

use std::collections::VecDeque;
use std::time::Duration;

use base::Timestamp;
use spec::{Phase, Reason, ReasonCode};

use crate::world::{Item, Wish};

/// What a part of the target asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// So many instances.
    pub count: u32,
    /// Which part, with the numbers.
    pub because: Reason,
}

impl Want {
    fn of(count: u32, code: ReasonCode, message: String, numbers: [(&str, u64); 2]) -> Self {
        let because = Reason::new(code, message, "").with("instances", count);
        Self { count, because: numbers.into_iter().fold(because, |because, (name, number)| because.with(name, number)) }
    }
}

/// Percent by which the load may be off its target before anything moves.
const TOLERANCE: u64 = 10;
const WHOLE: u64 = 100;
/// At once it goes up to twice as many as are ready, or by so many.
const STEP: u32 = 4;

/// What each part of the target asks for.
pub fn wants(wish: &Wish, serving: &[&Item]) -> Vec<Want> {
    let target = &wish.record.spec.replicas.target;
    let seen = Seen::of(wish, serving);
    let wants = [
        target.concurrency.map(|each| seen.by_concurrency(each)),
        target.queue.map(|each| seen.by_queue(each)),
        target.kv_use.and_then(|percent| seen.by_kv(percent)),
        target.first_token.and_then(|time| seen.by_first_token(time)),
    ];
    wants.into_iter().flatten().collect()
}

/// The number of instances that the load is worth now.
pub fn worth(wish: &Wish, serving: &[&Item]) -> u32 {
    let ready = Seen::of(wish, serving).ready;
    let wanted = wants(wish, serving).into_iter().map(|want| want.count).max().unwrap_or(0);
    wanted.min(ready.saturating_mul(2).max(ready.saturating_add(STEP)))
}

/// Why the number is what it is now and was not just so: the part of the target that asks for the most, or what was wanted before.
pub fn decided(wish: &Wish, serving: &[&Item]) -> Reason {
    let most = wish.wanted.most();
    let asks = wants(wish, serving).into_iter().max_by_key(|want| want.count);
    match asks {
        Some(want) if want.count >= most => want.because,
        _ => lately(most, wish.record.spec.replicas.down_after),
    }
}

/// So many were wanted at most of late.
pub(crate) fn lately(most: u32, window: Duration) -> Reason {
    let message = format!("{most} were wanted at most within the last {}", base::clock::human::print(window));
    Reason::new(ReasonCode::RecentLoad, message, "").with("instances", most).with("window_ms", millis(window))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What can be seen of a deployment.
struct Seen<'a> {
    serving: &'a [&'a Item],
    /// Those that serve or will.
    has: u32,
    ready: u32,
    running: u32,
    waiting: u32,
    slots: u32,
}

impl<'a> Seen<'a> {
    fn of(wish: &Wish, serving: &'a [&'a Item]) -> Self {
        let count = |is: fn(&Item) -> bool| u32::try_from(serving.iter().filter(|item| is(item)).count()).unwrap_or(u32::MAX);
        Self {
            serving,
            has: count(|_| true),
            ready: count(|item| item.phase == Phase::Ready),
            running: wish.demand.in_flight,
            waiting: wish.demand.waiting,
            slots: wish.record.spec.slots(),
        }
    }

    /// As many as keep `load` near `each`; those that are there when they do.
    fn near(&self, load: u64, each: u64) -> u32 {
        let wanted = u32::try_from(load.div_ceil(each.max(1))).unwrap_or(u32::MAX);
        let (now, meant) = (load.saturating_mul(WHOLE), each.saturating_mul(u64::from(self.has)));
        let is_near = now <= meant.saturating_mul(WHOLE + TOLERANCE) && now >= meant.saturating_mul(WHOLE - TOLERANCE);
        if self.has > 0 && is_near { self.has } else { wanted }
    }

    fn by_concurrency(&self, each: u32) -> Want {
        let calls = u64::from(self.running) + u64::from(self.waiting);
        let count = self.near(calls, u64::from(each));
        let message = format!("concurrency: {calls} calls run or wait, {each} for each instance: {count}");
        Want::of(count, ReasonCode::Concurrency, message, [("calls", calls), ("each", each.into())])
    }

    /// As many as the running calls fill; more when the line is too long for those that are there.
    fn by_queue(&self, each: u32) -> Want {
        let too_many = self.waiting.saturating_sub(each.saturating_mul(self.has));
        let filled = self.near(u64::from(self.running), u64::from(self.slots));
        let count = if too_many > 0 { self.has.saturating_add(too_many.div_ceil(self.slots.max(1))) } else { filled };
        let message = format!("queue: {} callers wait, {each} for each instance: {count}", self.waiting);
        Want::of(count, ReasonCode::Queue, message, [("waiting", self.waiting.into()), ("each", each.into())])
    }

    fn by_kv(&self, percent: u32) -> Option<Want> {
        let used: Vec<u64> = self.serving.iter().filter_map(|item| item.kv_use()).map(u64::from).collect();
        let mean = used.iter().sum::<u64>().checked_div(u64::try_from(used.len()).unwrap_or(0))?;
        let count = self.by_ratio(mean, u64::from(percent));
        let message = format!("kv_use: {mean} % of the KV cache is used, {percent} % is meant: {count}");
        Some(Want::of(count, ReasonCode::KvUse, message, [("percent", mean), ("meant_percent", percent.into())]))
    }

    fn by_first_token(&self, time: Duration) -> Option<Want> {
        let mut times: Vec<Duration> = self.serving.iter().filter_map(|item| item.used.first_token).collect();
        times.sort_unstable();
        let usual = *times.get(times.len() / 2)?;
        let (takes, meant) = (millis(usual), millis(time));
        let count = if self.running + self.waiting == 0 { 0 } else { self.by_ratio(takes, meant.max(1)) };
        let message = format!("first_token: it takes {takes} ms, {meant} ms are meant: {count}");
        Some(Want::of(count, ReasonCode::FirstToken, message, [("first_token_ms", takes), ("meant_ms", meant)]))
    }

    /// In the ratio of what is to what is meant, of those that show it; while others come up, what they change is awaited.
    fn by_ratio(&self, is: u64, meant: u64) -> u32 {
        if self.ready < self.has {
            return self.has;
        }
        self.near(is.saturating_mul(u64::from(self.ready)), meant)
    }
}

/// What the load was worth within a window: the largest number of it decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lately {
    /// Falling numbers, each with the last time at which it was wanted: what came before a larger one does not matter.
    peaks: VecDeque<(Timestamp, u32)>,
}

/// Numbers that are kept; there are no more different ones.
const MOST: usize = 256;

impl Lately {
    /// The largest number within the window.
    pub fn most(&self) -> u32 {
        self.peaks.front().map_or(0, |(_, count)| *count)
    }

    /// So many are wanted now.
    pub fn note(&mut self, count: u32, now: Timestamp, window: Duration) {
        while self.peaks.back().is_some_and(|(_, before)| *before <= count) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, count));
        while self.peaks.len() > 1 && self.peaks.front().is_some_and(|(at, _)| now.since(*at) >= window) {
            self.peaks.pop_front();
        }
        self.peaks.truncate(MOST);
    }

    /// There is no target any more.
    pub fn forget(&mut self) {
        self.peaks.clear();
    }
}

#[cfg(test)]
mod tests;
