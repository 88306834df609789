//! The clients of one run: who calls when, and what they see.
//!
//! In: an order, the clock, woken connections. Out: an [`Outcome`]. Fails: never as a whole; calls that
//! fail are counted and the first reason is told. Holds: every connection of the run; calls that wait for a free one
//! in a line of bounded length. From: wrk2, whose times count from when a call was meant to begin.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::client::{Client, Right, Said};
use crate::mock::Pace;
use crate::order::{Order, Outcome, Shape};
use crate::pipe::{Got, Pipe};
use crate::script::{self, Script};
use crate::tally::Times;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SEC: u64 = 1_000_000_000;
/// A reply that has not come so long after the run is given up.
const PATIENCE_NS: u64 = 10 * NS_PER_SEC;
/// More calls than this waiting for a connection: the gateway does not keep up.
const MOST_WAITING: usize = 20_000;
/// After so many failures in a run nothing can be learned any more.
const MOST_FAILURES: u64 = 1_000;
/// Of the request of a stream.
const STREAM_BODY_BYTES: usize = 800;

/// A run.
#[derive(Debug)]
pub(crate) struct Load {
    target: SocketAddr,
    request: Rc<[u8]>,
    right: Right,
    clients: Vec<Option<Client>>,
    idle: Vec<usize>,
    waiting: VecDeque<u64>,
    arrivals: Arrivals,
    told_from: u64,
    told_to: u64,
    tally: Tally,
}

/// When calls begin.
#[derive(Debug)]
enum Arrivals {
    /// As soon as a connection is free.
    AtOnce,
    /// The next at this time, then at each gap; so many are left, if they are counted. Afterwards at once.
    Every { next_ns: f64, gap_ns: f64, left: Option<usize> },
}

#[derive(Debug)]
struct Tally {
    outcome: Outcome,
    latency: Times,
    first: Times,
    transit: Times,
}

impl Load {
    /// Ready to begin at `now_ns`.
    pub(crate) fn new(order: &Order, script: &Script, now_ns: u64) -> Result<Self> {
        let (connections, streamed, bytes) = match order.shape {
            Shape::Closed { connections, body_bytes } | Shape::Open { connections, body_bytes, .. } => (connections, false, body_bytes),
            Shape::Streams { streams, .. } => (streams, true, STREAM_BODY_BYTES),
        };
        let right = match order.shape {
            Shape::Streams { events, .. } => Right { body: None, events },
            _ => Right { body: Some(script.reply_body.as_slice().into()), events: 0 },
        };
        let told_from = now_ns + order.warm_ms * NS_PER_MS;
        Ok(Self {
            target: order.target,
            request: request(order, streamed, bytes),
            right,
            clients: (0..connections).map(|_| None).collect(),
            idle: (0..connections).rev().collect(),
            waiting: VecDeque::new(),
            arrivals: arrivals(&order.shape, now_ns),
            told_from,
            told_to: told_from + order.run_ms * NS_PER_MS,
            tally: Tally::new()?,
        })
    }

    /// How the upstream is to stream meanwhile.
    pub(crate) fn pace(order: &Order) -> Option<Pace> {
        match order.shape {
            Shape::Streams { per_second, events, .. } => Some(Pace { events, gap_ns: NS_PER_SEC / u64::from(per_second.max(1)) }),
            _ => None,
        }
    }

    /// Begins the calls whose time has come; true when the run is over.
    pub(crate) fn tick(&mut self, now_ns: u64, registry: &Registry, token: impl Fn(usize) -> Token) -> bool {
        let hopeless = self.tally.outcome.failed > MOST_FAILURES || self.waiting.len() >= MOST_WAITING;
        if now_ns >= self.told_to || hopeless {
            let busy = self.idle.len() < self.clients.len();
            let abandons = self.right.body.is_none() || hopeless || now_ns > self.told_to + PATIENCE_NS;
            self.tally.outcome.kept_up = !hopeless && (!busy || self.right.body.is_none());
            return !busy || abandons;
        }
        self.arrive(now_ns);
        while !self.idle.is_empty() {
            let (at_once, meant) = match (&self.arrivals, self.waiting.front()) {
                (Arrivals::AtOnce, _) => (true, now_ns),
                (Arrivals::Every { .. }, Some(meant)) => (false, *meant),
                (Arrivals::Every { .. }, None) => break,
            };
            let Some(seat) = self.idle.pop() else { break };
            if !at_once {
                self.waiting.pop_front();
            }
            if let Err(error) = self.begin(seat, meant, registry, &token) {
                self.lose(seat, &error);
                break; // the others try at the next tick, which a dead gateway does not turn into a hot loop
            }
        }
        false
    }

    fn arrive(&mut self, now_ns: u64) {
        let Arrivals::Every { next_ns, gap_ns, left } = &mut self.arrivals else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2^53")]
        while *next_ns as u64 <= now_ns && self.waiting.len() < MOST_WAITING {
            if *left == Some(0) {
                self.arrivals = Arrivals::AtOnce;
                return;
            }
            self.waiting.push_back(*next_ns as u64);
            *next_ns += *gap_ns;
            *left = left.map(|left| left - 1);
        }
    }

    /// Bytes came, or there is room to write.
    pub(crate) fn woken(&mut self, seat: usize, buffer: &mut [u8], now: impl Fn() -> u64) {
        let Some(Some(client)) = self.clients.get_mut(seat) else { return };
        let mut heard = client.pipe.flush().map_err(anyhow::Error::from);
        let mut closes = false;
        while heard.is_ok() {
            match client.pipe.read(buffer) {
                Ok(Got::Bytes(length, more)) => {
                    let now_ns = now();
                    let began = client.began_ns.unwrap_or(now_ns);
                    let told = (self.told_from..self.told_to).contains(&began);
                    let (tally, idle) = (&mut self.tally, &mut self.idle);
                    heard = client.hear(&buffer[..length], &self.right, |said| match said {
                        Said::Event { number, sent_ns, exact } => {
                            tally.event(Seen { began, now_ns, told_from: self.told_from }, number, sent_ns, exact);
                        }
                        Said::End { exact, close } => {
                            closes |= close;
                            tally.end(now_ns - began, told, exact);
                            idle.push(seat);
                        }
                    });
                    if !more {
                        break;
                    }
                }
                Ok(Got::Nothing) => break,
                Ok(Got::Closed) if client.began_ns.is_none() => closes = true,
                Ok(Got::Closed) => heard = Err(anyhow::anyhow!("the connection was closed in the middle of a call")),
                Err(error) => heard = Err(error.into()),
            }
            if closes {
                break;
            }
        }
        match heard {
            Ok(()) if closes => self.clients[seat] = None,
            Ok(()) => {}
            Err(error) => self.lose(seat, &error),
        }
    }

    fn begin(&mut self, seat: usize, meant: u64, registry: &Registry, token: &impl Fn(usize) -> Token) -> Result<()> {
        let client = match &mut self.clients[seat] {
            Some(client) => client,
            none => none.insert(connect(self.target, registry, token(seat))?),
        };
        client.call(&self.request, meant).context("cannot write a request")
    }

    fn lose(&mut self, seat: usize, error: &anyhow::Error) {
        self.tally.outcome.failed += 1;
        self.tally.outcome.first_error.get_or_insert_with(|| format!("{error:#}"));
        self.clients[seat] = None;
        self.idle.push(seat);
    }

    /// What came of it.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a short run")]
    pub(crate) fn outcome(self) -> Outcome {
        let Tally { outcome, latency, first, transit } = self.tally;
        let seconds = (self.told_to - self.told_from) as f64 / NS_PER_SEC as f64;
        Outcome { seconds, latency: latency.spread(), first: first.spread(), transit: transit.spread(), ..outcome }
    }
}

/// When something was seen, and of which call.
#[derive(Clone, Copy)]
struct Seen {
    began: u64,
    now_ns: u64,
    told_from: u64,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self { outcome: Outcome::default(), latency: Times::new()?, first: Times::new()?, transit: Times::new()? })
    }

    fn end(&mut self, took_ns: u64, told: bool, exact: bool) {
        self.outcome.all_calls += 1;
        self.outcome.altered += u64::from(!exact);
        if told {
            self.outcome.calls += 1;
            self.latency.add(took_ns);
        }
    }

    fn event(&mut self, seen: Seen, number: u32, sent_ns: u64, exact: bool) {
        self.outcome.all_events += 1;
        self.outcome.altered += u64::from(!exact);
        if number == 0 && seen.began >= seen.told_from {
            self.first.add(seen.now_ns - seen.began);
        } else if number > 0 && sent_ns >= seen.told_from {
            self.transit.add(seen.now_ns.saturating_sub(sent_ns));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times of one run lie far below 2^53 ns")]
fn arrivals(shape: &Shape, now_ns: u64) -> Arrivals {
    let next_ns = now_ns as f64;
    match *shape {
        Shape::Closed { .. } => Arrivals::AtOnce,
        Shape::Open { rate, .. } => Arrivals::Every { next_ns, gap_ns: NS_PER_SEC as f64 / rate.max(f64::MIN_POSITIVE), left: None },
        Shape::Streams { streams, ramp_ms, .. } => {
            let gap_ns = (ramp_ms * NS_PER_MS) as f64 / streams.max(1) as f64;
            Arrivals::Every { next_ns, gap_ns, left: Some(streams) }
        }
    }
}

fn request(order: &Order, streamed: bool, bytes: usize) -> Rc<[u8]> {
    let body = script::chat(&order.model, streamed, bytes);
    let mut head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", order.target);
    for header in &order.headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    (head + &body).into_bytes().into()
}

fn connect(target: SocketAddr, registry: &Registry, token: Token) -> Result<Client> {
    let stream = std::net::TcpStream::connect(target).with_context(|| format!("cannot connect to {target}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut pipe = Pipe::new(TcpStream::from_std(stream));
    registry.register(pipe.stream(), token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(Client::new(pipe))
}
