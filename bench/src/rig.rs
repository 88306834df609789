//! The loop: upstream and clients on one thread, woken by the same poll, reading the same clock.
//!
//! In: connections, orders. Out: outcomes. Fails: when the system gives no sockets. Holds: one run at a
//! time. While a run is on it never sleeps: no call begins late because of a timer, and no gateway pays for waking
//! a sleeper on another core, which is the more the slower it is itself, and which clients on other machines would not ask of it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use crate::load::Load;
use crate::mock::{Mock, Ordered};
use crate::order::Order;
use crate::pipe::Pipe;
use crate::script::Script;

const LISTENER: Token = Token(0);
const MOST_EVENTS: usize = 1024;
/// What one read takes at most.
const BUFFER_BYTES: usize = 256 << 10;

/// The loop and what it holds.
#[derive(Debug)]
pub(crate) struct Rig {
    poll: Poll,
    listener: TcpListener,
    clock: Clock,
    script: Rc<Script>,
    mock: Mock,
    run: Option<(Load, usize)>,
    /// Connections so far, so that each visit has a number of its own.
    visits: u64,
}

/// Nanoseconds since the rig began.
#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Even tokens are guests of the upstream, odd ones clients of the run.
fn guest(seat: usize) -> Token {
    Token(2 * seat + 2)
}

fn client(seat: usize) -> Token {
    Token(2 * seat + 1)
}

impl Rig {
    /// Listens.
    pub(crate) fn new() -> Result<Self> {
        let poll = Poll::new().context("no poll")?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("cannot listen on loopback")?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let script = Rc::new(Script::new());
        let mock = Mock::new(Rc::clone(&script));
        Ok(Self { poll, listener, clock: Clock(Instant::now()), script, mock, run: None, visits: 0 })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Serves until it is killed.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(MOST_EVENTS);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.poll.poll(&mut events, self.sleep()) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                self.woken(event.token(), &mut buffer)?;
            }
            let now_ns = self.clock.now_ns();
            self.mock.tick(now_ns);
            if let Some((load, _)) = &mut self.run
                && load.tick(now_ns, self.poll.registry(), client)
            {
                self.tell()?;
            }
        }
    }

    fn sleep(&self) -> Option<Duration> {
        (self.run.is_some() || self.mock.next_ns().is_some()).then_some(Duration::ZERO)
    }

    fn woken(&mut self, token: Token, buffer: &mut [u8]) -> Result<()> {
        let clock = self.clock;
        if token == LISTENER {
            return self.welcome();
        }
        if token.0 % 2 == 1 {
            if let Some((load, _)) = &mut self.run {
                load.woken(token.0 / 2, buffer, || clock.now_ns());
            }
            return Ok(());
        }
        if let Some(ordered) = self.mock.woken(token.0 / 2 - 1, buffer, clock.now_ns())
            && let Err(error) = self.begin(&ordered)
        {
            self.mock.answer(ordered.seat, &serde_json::json!({ "refused": format!("{error:#}") }).to_string());
        }
        Ok(())
    }

    fn welcome(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept a connection"),
            };
            stream.set_nodelay(true)?;
            self.poll.registry().register(&mut stream, guest(self.mock.next_seat()), Interest::READABLE | Interest::WRITABLE)?;
            self.visits += 1;
            self.mock.welcome(Pipe::new(stream), self.visits);
        }
    }

    fn begin(&mut self, ordered: &Ordered) -> Result<()> {
        let order: Order = serde_json::from_slice(&ordered.text).context("not an order for a run")?;
        if self.run.is_some() {
            bail!("another run is not over");
        }
        if let Some(pace) = Load::pace(&order) {
            self.mock.pace = pace;
        }
        self.run = Some((Load::new(&order, &self.script, self.clock.now_ns())?, ordered.seat));
        Ok(())
    }

    /// The run is over: its connections close, its outcome goes to who ordered it.
    fn tell(&mut self) -> Result<()> {
        if let Some((load, seat)) = self.run.take() {
            self.mock.answer(seat, &serde_json::to_string(&load.outcome())?);
        }
        Ok(())
    }
}
