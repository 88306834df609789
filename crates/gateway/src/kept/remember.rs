//! A response that is kept once it has ended.

use bytes::Bytes;
use wire::responses::Events;
use wire::talk::{Block, Codec, End, To, Trouble};

use super::Ticket;

/// Writes a response, and keeps it.
#[derive(Debug)]
pub(crate) struct Remember {
    events: Events,
    ticket: Ticket,
}

impl Remember {
    /// For one answer; as events or as one object.
    pub(crate) fn new(ticket: &Ticket, stream: bool) -> Self {
        Self { events: Events::new(ticket.object.clone(), stream), ticket: ticket.clone() }
    }

    fn keep(&self) {
        if let Some(response) = self.events.ended() {
            self.ticket.keep(response);
        }
    }
}

impl Codec for Remember {
    fn begin(&mut self, prompt: u64, to: &mut To<'_>) {
        if self.ticket.background {
            self.ticket.keep(&self.ticket.object.standing("in_progress"));
        }
        self.events.begin(prompt, to);
    }
    fn open(&mut self, block: &Block, to: &mut To<'_>) {
        self.events.open(block, to);
    }
    fn delta(&mut self, block: &Block, text: &str, to: &mut To<'_>) {
        self.events.delta(block, text, to);
    }
    fn close(&mut self, block: &Block, to: &mut To<'_>) {
        self.events.close(block, to);
    }
    fn end(&mut self, end: &End<'_>, to: &mut To<'_>) {
        self.events.end(end, to);
        self.keep();
    }
    fn broken(&mut self, trouble: &Trouble<'_>) -> Bytes {
        let bytes = self.events.broken(trouble);
        self.keep();
        bytes
    }
}
