//! The upstream: answers at once, streams at a fixed pace, costs next to nothing.
//!
//! In: connections and their bytes. Out: the reply of the script, or a stream of events, each with its
//! number and time. Fails: a guest that speaks no HTTP is sent away. Holds: one seat for each guest;
//! streams in one queue by time, since all have the same pace.

use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::Result;

use crate::http::{self, Body, Step};
use crate::pipe::{Got, Pipe};
use crate::script::{self, Script};

/// A body of at most so many bytes is looked into for what it asks.
const LOOKED_INTO: usize = 64 << 10;
/// Where runs are ordered.
const RUN: &str = "/bench/run";
const CHAT: &str = "/chat/completions";
/// No order is longer.
const ORDER_BYTES: usize = 64 << 10;

/// How streams go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) events: u32,
    pub(crate) gap_ns: u64,
}

/// All guests.
#[derive(Debug)]
pub(crate) struct Mock {
    pub(crate) script: Rc<Script>,
    pub(crate) pace: Pace,
    guests: Vec<Option<Guest>>,
    free: Vec<usize>,
    due: VecDeque<Due>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Guest {
    pipe: Pipe,
    /// Tells streams of this guest from those of the one who had the seat before.
    visit: u64,
    asks: Option<Asks>,
}

/// A request of which the body is not whole yet.
#[derive(Debug)]
struct Asks {
    body: Body,
    close: bool,
    place: Place,
    streamed: bool,
    usage: bool,
    /// The body, of an order.
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Chat,
    Run,
    Else,
}

/// The next event of a stream.
#[derive(Debug)]
struct Due {
    at_ns: u64,
    seat: usize,
    visit: u64,
    number: u32,
    usage: bool,
}

/// An order for a run, and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) seat: usize,
    pub(crate) text: Vec<u8>,
}

impl Mock {
    /// Nobody is here.
    pub(crate) fn new(script: Rc<Script>) -> Self {
        let pace = Pace { events: 1, gap_ns: 1 };
        Self { script, pace, guests: Vec::new(), free: Vec::new(), due: VecDeque::new(), scratch: Vec::new() }
    }

    /// The seat that the next guest gets.
    pub(crate) fn next_seat(&self) -> usize {
        self.free.last().copied().unwrap_or(self.guests.len())
    }

    /// A guest takes the next seat.
    pub(crate) fn welcome(&mut self, pipe: Pipe, visit: u64) {
        let guest = Some(Guest { pipe, visit, asks: None });
        match self.free.pop() {
            Some(seat) => self.guests[seat] = guest,
            None => self.guests.push(guest),
        }
    }

    /// Bytes came, or there is room to write.
    pub(crate) fn woken(&mut self, seat: usize, buffer: &mut [u8], now_ns: u64) -> Option<Ordered> {
        let Some(Some(guest)) = self.guests.get_mut(seat) else { return None };
        let mut ordered = None;
        let mut served = guest.pipe.flush().map_err(anyhow::Error::from);
        while served.is_ok() {
            match guest.pipe.read(buffer) {
                Ok(Got::Bytes(length, more)) => {
                    let asked = Asked { script: &self.script, due: &mut self.due, scratch: &mut self.scratch, seat, now_ns };
                    served = guest.hear(&buffer[..length], asked, &mut ordered);
                    if !more {
                        break;
                    }
                }
                Ok(Got::Nothing) => break,
                Ok(Got::Closed) => served = Err(anyhow::anyhow!("the guest has left")),
                Err(error) => served = Err(error.into()),
            }
        }
        if served.is_err() {
            self.leave(seat);
        }
        ordered
    }

    /// Sends the events whose time has come.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        while self.due.front().is_some_and(|due| due.at_ns <= now_ns) {
            let Some(due) = self.due.pop_front() else { return };
            let Some(Some(guest)) = self.guests.get_mut(due.seat) else { continue };
            if guest.visit != due.visit {
                continue;
            }
            self.scratch.clear();
            if due.number < self.pace.events {
                script::event(&mut self.scratch, due.number, now_ns);
            } else {
                end(&mut self.scratch, &self.script, due.usage);
            }
            if guest.pipe.send(&self.scratch).is_err() {
                self.leave(due.seat);
            } else if due.number < self.pace.events {
                self.due.push_back(Due { at_ns: due.at_ns + self.pace.gap_ns, number: due.number + 1, ..due });
            }
        }
    }

    /// When the next event is due.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.due.front().map(|due| due.at_ns)
    }

    /// Answers an order.
    pub(crate) fn answer(&mut self, seat: usize, body: &str) {
        if let Some(Some(guest)) = self.guests.get_mut(seat)
            && guest.pipe.send_shared(&script::whole(body.as_bytes())).is_err()
        {
            self.leave(seat);
        }
    }

    fn leave(&mut self, seat: usize) {
        if self.guests[seat].take().is_some() {
            self.free.push(seat);
        }
    }
}

/// The end of a stream.
fn end(into: &mut Vec<u8>, script: &Script, usage: bool) {
    script::chunk(into, &[script.finish]);
    if usage {
        script::chunk(into, &[script.usage]);
    }
    into.extend_from_slice(b"e\r\n");
    into.extend_from_slice(script::DONE);
    into.extend_from_slice(b"\r\n0\r\n\r\n");
}

/// What a guest's answer needs of the house.
struct Asked<'a> {
    script: &'a Script,
    due: &'a mut VecDeque<Due>,
    scratch: &'a mut Vec<u8>,
    seat: usize,
    now_ns: u64,
}

impl Guest {
    fn hear(&mut self, mut input: &[u8], mut asked: Asked<'_>, ordered: &mut Option<Ordered>) -> Result<()> {
        while !input.is_empty() {
            let Some(mut asks) = self.asks.take().map_or_else(|| head(&mut input), |asks| Ok(Some(asks)))? else { break };
            loop {
                match asks.body.next(&mut input)? {
                    Step::Data(data) => asks.look(data),
                    Step::End => {
                        self.answer(asks, &mut asked, ordered)?;
                        break;
                    }
                    Step::Need => {
                        self.asks = Some(asks);
                        break;
                    }
                }
            }
            if self.asks.is_some() {
                break;
            }
        }
        self.pipe.keep(input);
        Ok(())
    }

    fn answer(&mut self, asks: Asks, asked: &mut Asked<'_>, ordered: &mut Option<Ordered>) -> Result<()> {
        match asks.place {
            Place::Run => *ordered = Some(Ordered { seat: asked.seat, text: asks.text }),
            Place::Chat if asks.streamed => {
                asked.scratch.clear();
                asked.scratch.extend_from_slice(asked.script.stream_head);
                self.pipe.send(asked.scratch)?;
                // The first event goes out with this tick, like all others.
                asked.due.push_front(Due { at_ns: asked.now_ns, seat: asked.seat, visit: self.visit, number: 0, usage: asks.usage });
            }
            Place::Chat => self.pipe.send_shared(&asked.script.reply)?,
            Place::Else => self.pipe.send_shared(&asked.script.about)?,
        }
        if asks.close && asks.place == Place::Else {
            anyhow::bail!("the guest wants to leave");
        }
        Ok(())
    }
}

fn head(input: &mut &[u8]) -> Result<Option<Asks>> {
    let mut path = "";
    let Some(head) = http::request(input, &mut path)? else { return Ok(None) };
    let place = match path {
        RUN => Place::Run,
        _ if path.ends_with(CHAT) => Place::Chat,
        _ => Place::Else,
    };
    *input = &input[head.length..];
    Ok(Some(Asks { body: head.body, close: head.close, place, streamed: false, usage: false, text: Vec::new() }))
}

impl Asks {
    fn look(&mut self, data: &[u8]) {
        let has = |needle: &[u8]| memchr::memmem::find(data, needle).is_some();
        match self.place {
            Place::Run if self.text.len() + data.len() <= ORDER_BYTES => self.text.extend_from_slice(data),
            Place::Chat if data.len() <= LOOKED_INTO => {
                self.streamed |= has(br#""stream":true"#) || has(br#""stream": true"#);
                self.usage |= has(br#""include_usage":true"#) || has(br#""include_usage": true"#);
            }
            _ => {}
        }
    }
}
