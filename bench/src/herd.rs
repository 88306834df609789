//! How long does a crowd wait that comes all at once, for a model that is not loaded?
//!
//! In: where, which model, how many. Out: times until the first byte of each stream's body and until its end. Fails: when the
//! system gives no sockets; a call that ends in any other way than a stream does is counted and told. Holds: all
//! connections and what came over them; ends by itself after two minutes.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use serde_json::json;

use crate::http;
use crate::pipe::{Got, Pipe};
use crate::tally::{Spread, Times};

/// Whoever is not answered by then has failed.
const LONGEST: Duration = Duration::from_mins(2);
const MOST_EVENTS: usize = 1024;
const BUFFER_BYTES: usize = 64 << 10;
/// The last event of a stream.
const DONE: &[u8] = b"data: [DONE]";
/// The beginning of an unhappy answer that is told.
const TOLD_BYTES: usize = 300;

/// A crowd.
#[derive(Debug, Args)]
pub(crate) struct Herd {
    /// Where Penstock listens
    target: SocketAddr,
    /// What all of them call
    model: String,
    /// How many
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    callers: u16,
}

/// What became of it; microseconds from when they all began.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    first: Spread,
    whole: Spread,
    failed: usize,
    first_error: Option<String>,
}

/// One of them.
#[derive(Debug)]
struct Caller {
    pipe: Pipe,
    came: Vec<u8>,
    first_ns: Option<u64>,
    open: bool,
}

/// Sends them all and waits for the last.
pub(crate) fn run(herd: &Herd) -> Result<Outcome> {
    let mut poll = Poll::new().context("no poll")?;
    let body = json!({ "model": herd.model, "stream": true, "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        herd.target,
        body.len()
    );
    let began = Instant::now();
    let mut callers = Vec::with_capacity(usize::from(herd.callers));
    for seat in 0..usize::from(herd.callers) {
        let mut stream = TcpStream::connect(herd.target).context("no way to Penstock")?;
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(seat), Interest::READABLE | Interest::WRITABLE)?;
        let mut pipe = Pipe::new(stream);
        pipe.send(request.as_bytes())?;
        callers.push(Caller { pipe, came: Vec::new(), first_ns: None, open: true });
    }
    let (mut first, mut whole) = (Times::new()?, Times::new()?);
    let (mut events, mut buffer) = (Events::with_capacity(MOST_EVENTS), vec![0; BUFFER_BYTES]);
    let mut open = callers.len();
    while open > 0 && began.elapsed() < LONGEST {
        match poll.poll(&mut events, Some(LONGEST)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let Some(caller) = callers.get_mut(event.token().0).filter(|caller| caller.open) else { continue };
            caller.open = caller.read(&mut buffer, began).unwrap_or(false);
            if !caller.open {
                open -= 1;
                if caller.has_all() {
                    first.add(caller.first_ns.unwrap_or_default());
                    whole.add(nanos(began));
                }
            }
        }
    }
    let unhappy: Vec<&Caller> = callers.iter().filter(|caller| !caller.has_all()).collect();
    let first_error = unhappy.first().map(|caller| {
        let told = caller.came.get(..TOLD_BYTES).unwrap_or(&caller.came);
        if told.is_empty() { "closed without an answer".to_owned() } else { String::from_utf8_lossy(told).into_owned() }
    });
    Ok(Outcome { first: first.spread(), whole: whole.spread(), failed: unhappy.len(), first_error })
}

impl Caller {
    /// Takes all that has come; whether there may be more.
    fn read(&mut self, buffer: &mut [u8], began: Instant) -> Result<bool> {
        self.pipe.flush()?;
        loop {
            match self.pipe.read(buffer)? {
                Got::Bytes(bytes, _) => self.came.extend_from_slice(&buffer[..bytes]),
                Got::Nothing => return Ok(true),
                Got::Closed => return Ok(false),
            }
            if self.first_ns.is_none() && http::reply(&self.came)?.is_some_and(|head| self.came.len() > head.length) {
                self.first_ns = Some(nanos(began));
            }
        }
    }

    /// Whether its stream came to its end.
    fn has_all(&self) -> bool {
        self.first_ns.is_some() && memchr::memmem::find(&self.came, DONE).is_some()
    }
}

fn nanos(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
