//! May now: what the call will probably take is set aside before it is asked.
//!
//! In: the caller, the deployment, the tokens of the prompt. Out: a permit that gives itself back, and the
//! numbers for the `x-ratelimit` headers, which an answer carries whether it was let in or not. Fails:
//! limited. What an answer may take is the client's `max_tokens`; without one, what this deployment's
//! answers have lately taken.

use std::time::Duration;

use access::{Access, Ask, Rate, Rates};
use board::Entry;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::openai::Shape;

use crate::account::Account;
use crate::call::Call;
use crate::error::Error;
use crate::prompt;

/// Counts the call with its token, its project and its deployment.
pub(crate) fn admit(access: &Access, call: &Call, entry: &Entry, input: u64, account: &mut Account) -> Result<(), Error> {
    let gate = access.gate(&entry.name);
    let ask = Ask {
        caller: &call.caller,
        gate: &gate,
        limits: &entry.spec.limits,
        budget: &entry.spec.budget,
        prices: &entry.spec.prices,
        input,
        answers: if call.ask.shape == Shape::Embeddings { 0 } else { call.ask.n.saturating_mul(call.ask.prompts) },
        max_tokens: call.ask.max_tokens,
        context: prompt::context(entry),
    };
    match access.admit(&ask) {
        Ok(permit) => account.admitted(permit, input),
        Err(error) => {
            account.limited(access.rates(&ask));
            return Err(error.into());
        }
    }
    Ok(())
}

/// The call is about to go to this deployment, which may be another than the one it was let in for: then it
/// counts with that one. A token that was taken back while the call waited opens nothing.
pub(crate) fn go_to(access: &Access, entry: &Entry, account: &mut Account) -> Result<(), Error> {
    let Some(permit) = account.permit() else { return Ok(()) };
    permit.caller().check_valid()?;
    if permit.deployment() != entry.name.as_str() {
        let spec = &entry.spec;
        permit.move_to(&access.gate(&entry.name), &spec.limits, &spec.budget, &spec.prices)?;
    }
    Ok(())
}

/// Whether the call was let in for another deployment than this one.
pub(crate) fn is_elsewhere(entry: &Entry, account: &mut Account) -> bool {
    account.permit().is_some_and(|permit| permit.deployment() != entry.name.as_str())
}

/// Whether somebody counts this call's tokens, so that they have to be counted well.
pub(crate) fn is_metered(call: &Call, entry: &Entry) -> bool {
    entry.spec.limits.tokens_per_minute.is_some() || !entry.spec.budget.is_none() || call.caller.is_metered()
}

static REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
static TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The caller's limits as headers; nothing where there is no limit.
pub(crate) fn limit_headers(rates: &Rates, headers: &mut HeaderMap) {
    for (rate, names) in [(rates.requests, &REQUESTS), (rates.tokens, &TOKENS)] {
        let Some(rate) = rate else { continue };
        for (name, value) in names.iter().zip(values(&rate)) {
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                headers.insert(name.clone(), value);
            }
        }
    }
}

/// Limit, remaining and reset, in one piece of memory.
fn values(rate: &Rate) -> [Bytes; 3] {
    let mut text = Text::default();
    text.number(rate.limit);
    let limit = text.len;
    text.number(rate.remaining);
    let remaining = text.len;
    go_duration(rate.reset, &mut text);
    let all = Bytes::copy_from_slice(text.written());
    [all.slice(..limit), all.slice(limit..remaining), all.slice(remaining..)]
}

/// A short text that needs no memory of its own.
struct Text {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; Self::ROOM], len: 0 }
    }
}

impl Text {
    /// Two numbers of twenty digits and a wait of thirty.
    const ROOM: usize = 80;

    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
    fn number(&mut self, number: u64) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }
    fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// As OpenAI writes a wait: `12ms`, `1.5s`, `6m0s`.
fn go_duration(wait: Duration, to: &mut Text) {
    let (seconds, millis) = (wait.as_secs(), wait.subsec_millis());
    if seconds == 0 {
        to.number(millis.into());
        return to.put(b"ms");
    }
    if seconds >= 3600 {
        to.number(seconds / 3600);
        to.put(b"h");
    }
    if seconds >= 60 {
        to.number(seconds / 60 % 60);
        to.put(b"m");
    }
    to.number(seconds % 60);
    if millis > 0 {
        let zeros = usize::from(millis < 100) + usize::from(millis < 10);
        let fraction = trimmed(millis);
        to.put([&b"."[..], b".0", b".00"].get(zeros).copied().unwrap_or_default());
        to.number(fraction.into());
    }
    to.put(b"s");
}

/// A fraction without its zeros at the end.
fn trimmed(mut millis: u32) -> u32 {
    while millis.is_multiple_of(10) && millis > 0 {
        millis /= 10;
    }
    millis
}

#[cfg(test)]
mod tests;
