//! W3C trace context: whose trace a call belongs to, and what its engine is told.
//!
//! In: `traceparent` and `tracestate` of a request. Out: a [`Trace`] with span ids of our own, the
//! headers for the engine. Fails: never; what is not valid is as if it were not there, as the
//! standard wants it. From: W3C Trace Context, levels 1 and 2.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
hex!(TraceId);
hex!(SpanId);

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// The client's span, when it brought one.
    pub parent: Option<SpanId>,
    /// Our span for the request; nothing where nobody traces here.
    pub span: Option<SpanId>,
    /// Our span for the engine's part.
    pub engine: Option<SpanId>,
    /// Somebody wants to see it.
    pub sampled: bool,
}

/// Which calls are traced that no client has decided about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 to 1.
    pub ratio: f64,
}

impl Sampling {
    /// By the trace's id, so that all who see it decide alike.
    fn takes(self, id: TraceId) -> bool {
        let random = id.0.last_chunk().map_or(0, |last| u32::from_be_bytes(*last));
        f64::from(random) < self.ratio * (f64::from(u32::MAX) + 1.0)
    }
}

impl Trace {
    /// The place that the client's headers say, with spans of ours when we trace.
    pub(crate) fn of(headers: &HeaderMap, sampling: Option<Sampling>) -> Option<Self> {
        let told = parent(headers);
        let Some(sampling) = sampling else {
            return told.map(|(id, parent, sampled)| Self { id, parent: Some(parent), span: None, engine: None, sampled });
        };
        let (span, engine) = (Some(SpanId(base::id::random_bytes())), Some(SpanId(base::id::random_bytes())));
        if let Some((id, parent, sampled)) = told {
            return Some(Self { id, parent: Some(parent), span, engine, sampled });
        }
        let id = TraceId(base::id::random_bytes());
        Some(Self { id, parent: None, span, engine, sampled: sampling.takes(id) })
    }

    /// What the engine is told; nothing where nobody traces here, so that the client's own goes on.
    pub(crate) fn put(&self, from: &HeaderMap, to: &mut HeaderMap) {
        let Some(engine) = self.engine else { return };
        let text = format!("00-{}-{engine}-{:02x}", self.id, u8::from(self.sampled));
        if let Ok(value) = HeaderValue::from_str(&text) {
            to.insert(TRACEPARENT, value);
        }
        to.remove(TRACESTATE);
        if self.parent.is_some() && is_state(from) {
            for value in from.get_all(TRACESTATE) {
                to.append(TRACESTATE, value.clone());
            }
        }
    }
}

/// Trace, span and whether it is sampled; only of a request that says it once and rightly.
fn parent(headers: &HeaderMap) -> Option<(TraceId, SpanId, bool)> {
    const WHOLE: usize = 55;
    let mut told = headers.get_all(TRACEPARENT).iter();
    let (text, None) = (told.next()?.as_bytes(), told.next()) else { return None };
    let [version] = digits::<1>(text.get(..2)?)?;
    let is_whole = if version == 0 { text.len() == WHOLE } else { text.len() == WHOLE || text.get(WHOLE) == Some(&b'-') };
    if version == 0xff || !is_whole || [2, 35, 52].iter().any(|at| text.get(*at) != Some(&b'-')) {
        return None;
    }
    let (id, span, [flags]) = (digits::<16>(text.get(3..35)?)?, digits::<8>(text.get(36..52)?)?, digits::<1>(text.get(53..55)?)?);
    (id != [0; 16] && span != [0; 8]).then_some((TraceId(id), SpanId(span), flags & 1 == 1))
}

/// Lower-case hexadecimal digits.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// A list of at most 32 `key=value`, as the standard bounds them.
fn is_state(headers: &HeaderMap) -> bool {
    const MOST: usize = 32;
    let (mut members, mut fine) = (0, true);
    for value in headers.get_all(TRACESTATE) {
        let Ok(text) = value.to_str() else { return false };
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            members += 1;
            fine &= member.split_once('=').is_some_and(|(key, value)| is_key(key) && is_value(value));
        }
    }
    fine && members <= MOST
}

fn is_key(key: &str) -> bool {
    const LONGEST: usize = 256;
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    (1..=LONGEST).contains(&key.len())
        && key.bytes().all(fine)
        && key.as_bytes()[0].is_ascii_alphanumeric()
        && key.bytes().filter(|byte| *byte == b'@').count() <= 1
}

fn is_value(value: &str) -> bool {
    const LONGEST: usize = 256;
    (1..=LONGEST).contains(&value.len()) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

#[cfg(test)]
mod tests;
