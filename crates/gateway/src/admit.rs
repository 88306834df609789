//! May now: what the call will probably take is set aside before it is asked.
//!
//! In: the caller, the prompt, the deployment. Out: a permit that gives itself back. Fails: limited.
//! Tokens out are `max_tokens` where the client says so, else what this model has lately made; for
//! a model that nobody has called yet that is nothing, so that a first call is never refused for a guess.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use access::{Access, Permit};
use board::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};
use spec::Name;
use wire::openai::{Ask, Shape};

use crate::call::Call;
use crate::error::Error;
use crate::prompt;

/// Models whose lengths are remembered.
const MOST_MODELS: usize = 1000;

/// How long the answers of each model have lately been.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<HashMap<Name, u64>>);

impl Lately {
    /// Notes the length of an answer; later ones count more.
    pub(crate) fn note(&self, model: &Name, tokens: u64) {
        let mut lengths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(length) = lengths.get_mut(model) {
            *length = (*length * 7 + tokens) / 8;
        } else if lengths.len() < MOST_MODELS {
            lengths.insert(model.clone(), tokens);
        }
    }

    fn of(&self, model: &Name) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or(0)
    }
}

/// Sets aside one request, its tokens and a place.
pub(crate) fn admit(access: &Access, lately: &Lately, call: &Call, entry: &Entry, prompt_tokens: u64) -> Result<Permit, Error> {
    let wanted = prompt_tokens.saturating_add(output(lately, &call.ask, entry));
    Ok(access.admit(&call.caller, wanted)?)
}

fn output(lately: &Lately, ask: &Ask, entry: &Entry) -> u64 {
    if ask.shape == Shape::Embeddings {
        return 0;
    }
    let most = prompt::context(entry).unwrap_or(u64::MAX);
    let each = ask.max_tokens.unwrap_or_else(|| lately.of(&entry.name)).min(most);
    each.saturating_mul(ask.n).saturating_mul(ask.prompts)
}

/// The caller's limits as headers; nothing where there is no limit.
pub(crate) fn limit_headers(rates: &access::Rates, headers: &mut HeaderMap) {
    let kinds = [
        (rates.requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        (rates.tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ];
    for (rate, limit, remaining, reset) in kinds {
        let Some(rate) = rate else { continue };
        headers.insert(HeaderName::from_static(limit), HeaderValue::from(rate.limit));
        headers.insert(HeaderName::from_static(remaining), HeaderValue::from(rate.remaining));
        if let Ok(value) = HeaderValue::from_str(&go_duration(rate.reset)) {
            headers.insert(HeaderName::from_static(reset), value);
        }
    }
}

/// As OpenAI writes a wait: `12ms`, `1.5s`, `6m0s`.
fn go_duration(wait: std::time::Duration) -> String {
    let ms = wait.as_millis();
    let seconds = |ms: u128| if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{}.{:03}s", ms / 1000, ms % 1000) };
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => seconds(ms),
        60_000..3_600_000 => format!("{}m{}", ms / 60_000, seconds(ms % 60_000)),
        _ => format!("{}h{}m{}", ms / 3_600_000, ms / 60_000 % 60, seconds(ms % 60_000)),
    }
}
