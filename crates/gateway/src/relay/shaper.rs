//! From the engine's events to the client's: server-sent events, or lines of JSON.

use bytes::Bytes;
use tokio::time::Instant;
use wire::infer::Lines;
use wire::sse;
use wire::stream::{Filter, Outcome, Summary, Wish};

use crate::account::Account;
use crate::call::{Call, Face};
use crate::error::Error;

/// Puts a stream into the client's manner.
#[derive(Debug)]
pub(super) struct Shaper {
    manner: Manner,
    /// How it ended, where the manner itself does not know.
    ended: Option<Outcome>,
    began: Instant,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each call, and it is not moved")]
enum Manner {
    Events(Filter),
    Lines(Lines),
}

impl Shaper {
    /// At the start of an answer.
    pub(super) fn new(call: &Call, account: &Account) -> Self {
        let prompt = account.prompt_estimate();
        let manner = match call.face {
            Face::OpenAi => {
                let wish = Wish { usage: call.ask.include_usage, shape: call.ask.shape };
                Manner::Events(Filter::new(wish).prompt_estimate(prompt))
            }
            Face::Lines => Manner::Lines(Lines::new(call.streamed).prompt_estimate(prompt)),
        };
        Self { manner, ended: None, began: call.arrival.began }
    }

    /// Takes bytes from the engine; puts what the client must see into `out`.
    pub(super) fn push(&mut self, bytes: &Bytes, out: &mut Vec<Bytes>) -> Result<(), Error> {
        match &mut self.manner {
            Manner::Events(filter) => filter.push(bytes, out)?,
            Manner::Lines(lines) => {
                lines.push(bytes, out)?;
                if lines.summary().done {
                    lines.finish(self.began.elapsed(), out)?;
                    self.ended = Some(Outcome::Done);
                }
            }
        }
        Ok(())
    }

    /// The engine has closed its stream.
    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) {
        if self.ended().is_some() {
            return;
        }
        self.ended = Some(match &mut self.manner {
            Manner::Events(filter) => filter.finish(out),
            Manner::Lines(lines) => match lines.finish(self.began.elapsed(), out) {
                Ok(()) => Outcome::Done,
                Err(_cut) => Outcome::Cut,
            },
        });
    }

    /// What the stream has brought so far.
    pub(super) fn summary(&self) -> &Summary {
        match &self.manner {
            Manner::Events(filter) => filter.summary(),
            Manner::Lines(lines) => lines.summary(),
        }
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> Option<Outcome> {
        self.ended.or(match &self.manner {
            Manner::Events(filter) => filter.ended(),
            Manner::Lines(_) => None,
        })
    }

    /// Nothing more will come.
    pub(super) fn broken(&mut self) {
        self.ended = Some(Outcome::Cut);
    }

    /// What keeps a silent stream alive; lines have nothing of the kind.
    pub(super) fn comment(&self) -> Option<Bytes> {
        matches!(self.manner, Manner::Events(_)).then(|| sse::comment("ping"))
    }

    /// The last words of a stream that broke.
    pub(super) fn error_event(&self, error: &Error) -> Bytes {
        match self.manner {
            Manner::Events(_) => sse::event(error.openai_body()),
            Manner::Lines(_) => error.line(true),
        }
    }
}
