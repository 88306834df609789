//! What the echo says: the words of the last message, as chunks or as a whole.
//!
//! In: an ask. Out: OpenAI's objects, with usage; a word counts as a token. Fails: never; what is
//! not understood is echoed as nothing.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

const ID: &str = "echo-1";

/// A body of events.
pub(super) type Events = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// What was asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    chat: bool,
    /// With a stream of events.
    pub(super) stream: bool,
    usage_wanted: bool,
    model: Value,
    /// Each with the space before it.
    words: Vec<String>,
    finish_reason: &'static str,
    prompt_words: usize,
}

impl Asked {
    pub(super) fn read(ask: &Value, chat: bool) -> Self {
        let prompt = if chat { last_message(&ask["messages"]) } else { text(&ask["prompt"]) };
        let mut words = words(&prompt);
        let prompt_words = words.len();
        let most = ask["max_completion_tokens"].as_u64().or(ask["max_tokens"].as_u64());
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let cut = words.len() > most;
        words.truncate(most);
        Self {
            chat,
            stream: ask["stream"] == Value::Bool(true),
            usage_wanted: ask["stream_options"]["include_usage"] == Value::Bool(true),
            model: if ask["model"].is_string() { ask["model"].clone() } else { json!("echo") },
            words,
            finish_reason: if cut { "length" } else { "stop" },
            prompt_words,
        }
    }

    /// The events of a stream, one frame each.
    pub(super) fn events(&self) -> Events {
        let mut chunks = Vec::new();
        if self.chat {
            chunks.push(self.chunk(&json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}])));
        }
        for word in &self.words {
            let choice = if self.chat {
                json!([{"index": 0, "delta": {"content": word}, "finish_reason": null}])
            } else {
                json!([{"index": 0, "text": word, "finish_reason": null}])
            };
            chunks.push(self.chunk(&choice));
        }
        let last = if self.chat { json!({"delta": {}}) } else { json!({"text": ""}) };
        let mut last = json!([last]);
        last[0]["index"] = json!(0);
        last[0]["finish_reason"] = json!(self.finish_reason);
        chunks.push(self.chunk(&last));
        if self.usage_wanted {
            let mut usage = self.chunk(&json!([]));
            usage["usage"] = self.usage();
            chunks.push(usage);
        }
        let mut frames: Vec<_> = chunks.iter().map(|chunk| Ok(frame(&chunk.to_string()))).collect();
        frames.push(Ok(frame("[DONE]")));
        StreamBody::new(stream::iter(frames))
    }

    /// The whole answer at once.
    pub(super) fn whole(&self) -> Value {
        let said = self.words.concat();
        let (object, choice) = if self.chat {
            ("chat.completion", json!({"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": self.finish_reason}))
        } else {
            ("text_completion", json!({"index": 0, "text": said, "finish_reason": self.finish_reason}))
        };
        json!({"id": ID, "object": object, "created": 0, "model": self.model, "choices": [choice], "usage": self.usage()})
    }

    fn chunk(&self, choices: &Value) -> Value {
        let object = if self.chat { "chat.completion.chunk" } else { "text_completion" };
        json!({"id": ID, "object": object, "created": 0, "model": self.model, "choices": choices})
    }

    fn usage(&self) -> Value {
        let said = self.words.len();
        json!({"prompt_tokens": self.prompt_words, "completion_tokens": said, "total_tokens": self.prompt_words + said})
    }
}

fn frame(data: &str) -> Frame<Bytes> {
    Frame::data(Bytes::from(format!("data: {data}\n\n")))
}

fn last_message(messages: &Value) -> String {
    let all = messages.as_array().map(Vec::as_slice).unwrap_or_default();
    let user = all.iter().rev().find(|message| message["role"] == "user").or(all.last());
    user.map(|message| text(&message["content"])).unwrap_or_default()
}

/// A text, or the texts of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().fold(String::new(), |mut all, part| {
            let part = part.as_str().or(part["text"].as_str()).unwrap_or_default();
            let _ = write!(all, "{part}"); // a `String` takes all text
            all
        }),
        _ => String::new(),
    }
}

/// The words with the space that stands before them, so that put together they are the text again.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in text.chars() {
        let begins = |last: &String| c.is_whitespace() && !last.ends_with(char::is_whitespace);
        match words.last_mut().filter(|last| !begins(last)) {
            Some(last) => last.push(c),
            None => words.push(c.to_string()),
        }
    }
    words
}
