//! One client: sends a request, follows the answer to its end, checks every byte.
//!
//! In: bytes of the answer as they come. Out: [`Said`], one thing at a time. Fails: when the answer is
//! no HTTP or breaks off. Holds: the part of an event that was cut, usually nothing.

use std::rc::Rc;

use anyhow::{Result, bail};

use crate::http::{self, Body, Step};
use crate::pipe::Pipe;
use crate::script::{self, DONE, FINISH};

/// The beginning of an unhappy answer that is told.
const TOLD_BYTES: usize = 300;
/// An event longer than this is none of ours.
const MOST_PARTIAL: usize = 64 << 10;

/// A client and the answer that it waits for.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) pipe: Pipe,
    /// When its call was meant to begin; none: it is idle.
    pub(crate) began_ns: Option<u64>,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    body: Body,
    status: u16,
    close: bool,
    /// Bytes of the body that came.
    at: usize,
    exact: bool,
    /// The next event.
    number: u32,
    done: bool,
    partial: Vec<u8>,
}

/// What a client has learned.
#[derive(Debug)]
pub(crate) enum Said {
    /// An event that was sent at this time.
    Event { number: u32, sent_ns: u64, exact: bool },
    /// The end of an answer.
    End { exact: bool, close: bool },
}

/// What the answer should be.
#[derive(Debug, Clone)]
pub(crate) struct Right {
    /// None for a stream.
    pub(crate) body: Option<Rc<[u8]>>,
    /// Events of a stream.
    pub(crate) events: u32,
}

impl Client {
    /// Idle on a fresh connection.
    pub(crate) fn new(pipe: Pipe) -> Self {
        Self { pipe, began_ns: None, answer: None }
    }

    /// Calls.
    pub(crate) fn call(&mut self, request: &Rc<[u8]>, began_ns: u64) -> std::io::Result<()> {
        self.began_ns = Some(began_ns);
        self.pipe.send_shared(request)
    }

    /// Reads on.
    pub(crate) fn hear(&mut self, mut input: &[u8], right: &Right, mut tell: impl FnMut(Said)) -> Result<()> {
        while !input.is_empty() {
            let mut answer = match self.answer.take() {
                Some(answer) => answer,
                None => match http::reply(input)? {
                    Some(head) => Answer::begin(head, &mut input),
                    None => break,
                },
            };
            loop {
                match answer.body.next(&mut input)? {
                    Step::Data(data) => answer.take(data, right, &mut tell)?,
                    Step::End => {
                        let exact = answer.end(right)?;
                        self.began_ns = None;
                        tell(Said::End { exact, close: answer.close });
                        break;
                    }
                    Step::Need => {
                        self.answer = Some(answer);
                        self.pipe.keep(input);
                        return Ok(());
                    }
                }
            }
        }
        self.pipe.keep(input);
        Ok(())
    }
}

impl Answer {
    fn begin(head: http::Head, input: &mut &[u8]) -> Self {
        *input = &input[head.length..];
        let (body, status, close) = (head.body, head.status, head.close);
        Self { body, status, close, at: 0, exact: true, number: 0, done: false, partial: Vec::new() }
    }

    fn take(&mut self, data: &[u8], right: &Right, tell: &mut impl FnMut(Said)) -> Result<()> {
        if self.status != 200 {
            let told = &data[..data.len().min(TOLD_BYTES)];
            bail!("status {}: {}", self.status, String::from_utf8_lossy(told));
        }
        let Some(body) = &right.body else { return self.events(data, tell) };
        self.exact &= body.get(self.at..self.at + data.len()) == Some(data);
        self.at += data.len();
        Ok(())
    }

    /// Cuts the stream into events; usually `data` is one.
    fn events(&mut self, data: &[u8], tell: &mut impl FnMut(Said)) -> Result<()> {
        let mut rest = data;
        if self.partial.ends_with(b"\n") && rest.starts_with(b"\n") {
            let mut whole = std::mem::take(&mut self.partial); // the blank line itself was cut in two
            whole.push(b'\n');
            rest = &rest[1..];
            self.event(&whole, tell);
        }
        while let Some(end) = memchr::memmem::find(rest, b"\n\n") {
            let (piece, after) = rest.split_at(end + 2);
            rest = after;
            if self.partial.is_empty() {
                self.event(piece, tell);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(piece);
                self.event(&whole, tell);
            }
        }
        if self.partial.len() + rest.len() > MOST_PARTIAL {
            bail!("an event without an end");
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn event(&mut self, event: &[u8], tell: &mut impl FnMut(Said)) {
        if let Some(event) = script::read(event) {
            self.exact &= event.exact && event.number == self.number;
            self.number = event.number + 1;
            tell(Said::Event { number: event.number, sent_ns: event.sent_ns, exact: event.exact });
        } else if event == DONE {
            self.done = true;
        } else {
            self.exact &= event == FINISH.as_bytes();
        }
    }

    fn end(&self, right: &Right) -> Result<bool> {
        if self.status != 200 {
            bail!("status {}", self.status);
        }
        match &right.body {
            Some(body) => Ok(self.exact && self.at == body.len()),
            None if self.number == right.events && self.done => Ok(self.exact),
            None => bail!("a stream ended after {} of {} events", self.number, right.events),
        }
    }
}

#[cfg(test)]
mod tests;
