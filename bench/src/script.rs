//! What clients and upstream say to each other.
//!
//! In: sizes. Out: the bytes of requests, replies and events. The same bytes are the measure of what
//! must arrive. An event carries its number and the time at which it was sent, in digits of fixed
//! width, so that all events are equally long.

use std::fmt::Write as _;
use std::rc::Rc;

/// The name under which the upstream serves its only model.
pub(crate) const MODEL: &str = "mock-model";
/// The size of a reply that is not a stream.
const REPLY_BYTES: usize = 800;
const EVENT_HEAD: &str = r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"mock-model","choices":[{"index":0,"delta":{"content":""#;
const EVENT_TAIL: &str = "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
/// Before the digits in an event, also where a gateway has written it anew.
const MARK: &[u8] = b"\"content\":\"";
const NUMBER_DIGITS: usize = 8;
const TIME_DIGITS: usize = 16;
const EVENT_BYTES: usize = EVENT_HEAD.len() + NUMBER_DIGITS + 1 + TIME_DIGITS + EVENT_TAIL.len();
/// Of nothing in particular, with what JSON has to escape now and then.
const PROSE: &str = "The gate opens, the water falls, and the wheel turns; nobody upstream hears of it.\\n";

/// The bytes that do not change from call to call.
#[derive(Debug)]
pub(crate) struct Script {
    /// A whole reply.
    pub(crate) reply: Rc<[u8]>,
    /// Its body.
    pub(crate) reply_body: Vec<u8>,
    /// To any question but a chat.
    pub(crate) about: Rc<[u8]>,
    /// The head of a stream.
    pub(crate) stream_head: &'static [u8],
    /// The event before the last, in its chunk.
    pub(crate) finish: &'static str,
    /// Usage for who has asked for it.
    pub(crate) usage: &'static str,
}

/// What an event says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) number: u32,
    pub(crate) sent_ns: u64,
    /// Byte for byte as it was sent.
    pub(crate) exact: bool,
}

/// The last word of a stream.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";
/// Of the event that ends the choice.
pub(crate) const FINISH: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"mock-model","#,
    "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
);

impl Script {
    /// Writes it all.
    pub(crate) fn new() -> Self {
        let reply_body = reply_body().into_bytes();
        let about = format!(
            r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","owned_by":"bench"}}],"status":"ok","model_path":"{MODEL}","served_model_name":"{MODEL}"}}"#
        );
        Self {
            reply: whole(&reply_body),
            reply_body,
            about: whole(about.as_bytes()),
            stream_head: b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n",
            finish: FINISH,
            usage: concat!(
                r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"mock-model","#,
                "\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":40,\"total_tokens\":160}}\n\n"
            ),
        }
    }
}

fn reply_body() -> String {
    let head = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"mock-model","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let tail = r#"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":40,"total_tokens":160}}"#;
    format!("{head}{}{tail}", prose(REPLY_BYTES.saturating_sub(head.len() + tail.len())))
}

/// A reply with this body.
pub(crate) fn whole(body: &[u8]) -> Rc<[u8]> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// A chat of about this many bytes.
pub(crate) fn chat(model: &str, streamed: bool, bytes: usize) -> String {
    let stream = if streamed { r#","stream":true"# } else { "" };
    let head = format!(
        r#"{{"model":"{model}"{stream},"temperature":0.7,"max_tokens":128,"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":""#
    );
    let tail = r#""}]}"#;
    let text = prose(bytes.saturating_sub(head.len() + tail.len()));
    format!("{head}{text}{tail}")
}

/// Text of exactly this many bytes, as it stands in JSON.
fn prose(bytes: usize) -> String {
    let mut text = PROSE.repeat(bytes / PROSE.len());
    text.extend(std::iter::repeat_n('.', bytes % PROSE.len()));
    text
}

/// Writes one event's chunk at the end of `into`.
pub(crate) fn event(into: &mut Vec<u8>, number: u32, sent_ns: u64) {
    let mut digits = String::with_capacity(NUMBER_DIGITS + 1 + TIME_DIGITS);
    let _ = write!(digits, "{number:08}:{sent_ns:016}");
    chunk(into, &[EVENT_HEAD, &digits, EVENT_TAIL]);
}

/// Writes a chunk of these parts at the end of `into`.
pub(crate) fn chunk(into: &mut Vec<u8>, parts: &[&str]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut line = String::with_capacity(2 * size_of::<usize>());
    let _ = write!(line, "{length:x}\r\n");
    into.extend_from_slice(line.as_bytes());
    for part in parts {
        into.extend_from_slice(part.as_bytes());
    }
    into.extend_from_slice(b"\r\n");
}

/// Reads an event with its blank line; none if it is not one of ours.
pub(crate) fn read(event: &[u8]) -> Option<Event> {
    let exact = event.len() == EVENT_BYTES && event.starts_with(EVENT_HEAD.as_bytes()) && event.ends_with(EVENT_TAIL.as_bytes());
    let at = if exact { EVENT_HEAD.len() } else { memchr::memmem::find(event, MARK)? + MARK.len() };
    let number = digits(event.get(at..at + NUMBER_DIGITS)?)?;
    let at = at + NUMBER_DIGITS + 1;
    let sent_ns = digits(event.get(at..at + TIME_DIGITS)?)?;
    Some(Event { number: u32::try_from(number).ok()?, sent_ns, exact })
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests;
