//! From the engine's events to the client's: server-sent events, lines of JSON, or what a codec makes of them.
//!
//! In: bytes from the engine. Out: what the client must see. Fails: as the engine or its stream does. OpenAI's own
//! streams are filtered, most of their events untouched; the faces of others are written anew, event by event.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wire::infer::Lines;
use wire::stream::{Filter, Outcome, Summary, Wish};
use wire::talk::{Codec, Talk, To};
use wire::{anthropic, ollama, sse};

use crate::account::Account;
use crate::call::{self, Call, Face};
use crate::error::Error;
use crate::kept::Remember;

/// Puts a stream into the client's manner.
#[derive(Debug)]
pub(super) struct Shaper {
    manner: Manner,
    face: Face,
    /// How it ended, where the manner itself does not know.
    ended: Option<Outcome>,
    began: Instant,
}

#[derive(Debug)]
enum Manner {
    Events(Filter),
    Lines(Lines),
    Talk(Box<Talk>),
}

impl Shaper {
    /// At the start of an answer to a caller who waited so long for a slot.
    pub(super) fn new(call: &Call, account: &Account, waited: Duration) -> Self {
        Self::with(call, account.prompt_estimate(), waited)
    }

    /// Before there is an answer: for comments, and for the last words if none comes.
    pub(super) fn before(call: &Call) -> Self {
        Self::with(call, 0, Duration::ZERO)
    }

    fn with(call: &Call, prompt: u64, waited: Duration) -> Self {
        let manner = match codec(call, waited) {
            Some(codec) => Manner::Talk(Box::new(Talk::new(codec, prompt, &seed(call)))),
            None if call.face == Face::Lines => Manner::Lines(Lines::new(call.streamed).prompt_estimate(prompt)),
            None => {
                let wish = Wish { usage: call.ask.include_usage, shape: call.ask.shape };
                Manner::Events(Filter::new(wish).prompts(call.ask.prompts).prompt_estimate(prompt))
            }
        };
        Self { manner, face: call.face, ended: None, began: call.arrival.began }
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
            Manner::Talk(talk) => {
                let mut to = To { now: self.began.elapsed(), out };
                talk.push(bytes, &mut to)?;
                if talk.summary().done {
                    talk.finish(&mut to)?;
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
        let now = self.began.elapsed();
        let finished = match &mut self.manner {
            Manner::Events(filter) => {
                self.ended = Some(filter.finish(out));
                return;
            }
            Manner::Lines(lines) => lines.finish(now, out),
            Manner::Talk(talk) => talk.finish(&mut To { now, out }),
        };
        self.ended = Some(if finished.is_ok() { Outcome::Done } else { Outcome::Cut });
    }

    /// What the stream has brought so far.
    pub(super) fn summary(&self) -> &Summary {
        match &self.manner {
            Manner::Events(filter) => filter.summary(),
            Manner::Lines(lines) => lines.summary(),
            Manner::Talk(talk) => talk.summary(),
        }
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> Option<Outcome> {
        self.ended.or(match &self.manner {
            Manner::Events(filter) => filter.ended(),
            Manner::Lines(_) | Manner::Talk(_) => None,
        })
    }

    /// Nothing more will come.
    pub(super) fn broken(&mut self) {
        self.ended = Some(Outcome::Cut);
    }

    /// What keeps a silent stream alive; lines have nothing of the kind.
    pub(super) fn comment(&self) -> Option<Bytes> {
        match self.face {
            Face::OpenAi => Some(sse::comment("ping")),
            Face::Messages => Some(anthropic::ping()),
            Face::Lines | Face::Ollama => None,
        }
    }

    /// The last words of a stream that broke.
    pub(super) fn error_event(&mut self, error: &Error) -> Bytes {
        match &mut self.manner {
            Manner::Events(_) => sse::event(error.openai_body()),
            Manner::Lines(_) => error.line(true),
            Manner::Talk(talk) => error.tell(self.face, |trouble| talk.broken(trouble)),
        }
    }
}

/// Digits of the call's own, for ids of what it makes.
fn seed(call: &Call) -> String {
    call.arrival.id.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Who writes the answer, where it is not the engine's own.
fn codec(call: &Call, waited: Duration) -> Option<Box<dyn Codec>> {
    match &call.manner {
        call::Manner::Response(ticket) => Some(Box::new(Remember::new(ticket, call.streamed))),
        call::Manner::Message { thinks, stops } => {
            const DIGITS: usize = 24;
            let id = format!("msg_{}", base::id::random_hex(DIGITS));
            Some(Box::new(anthropic::Message::new(id, call.model()).stream(call.streamed).thinks(*thinks).stops(stops)))
        }
        call::Manner::Ollama { kind, thinks } => {
            let lines = ollama::Lines::new(*kind, call.model(), call.arrival.at);
            Some(Box::new(lines.stream(call.streamed).thinks(*thinks).load(waited)))
        }
        call::Manner::Plain | call::Manner::Vectors { .. } | call::Manner::Lines | call::Manner::Embedded { .. } => None,
    }
}
