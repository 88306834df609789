//! What can no gateway be faster than? A loop that copies bytes between two sockets and knows no HTTP.
//!
//! In: the upstream's address. Out: every connection tied to one of its own to the upstream. Fails: when the
//! system gives no sockets; a pair that breaks is closed. Holds: what one side has sent and the other does not take
//! yet, and reads no more from there meanwhile.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::pipe::{Got, Pipe};

const LISTENER: Token = Token(0);
const MOST_EVENTS: usize = 1024;
/// What one read takes at most.
const BUFFER_BYTES: usize = 64 << 10;

/// The loop and what it holds.
#[derive(Debug)]
pub(crate) struct Tunnel {
    poll: Poll,
    listener: TcpListener,
    upstream: SocketAddr,
    /// By seat; a seat is taken again when it is empty.
    pairs: Vec<Option<Pair>>,
}

/// A client and its connection to the upstream.
#[derive(Debug)]
struct Pair {
    near: Pipe,
    far: Pipe,
}

impl Tunnel {
    /// Listens.
    pub(crate) fn new(upstream: SocketAddr) -> Result<Self> {
        let poll = Poll::new().context("no poll")?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("cannot listen on loopback")?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self { poll, listener, upstream, pairs: Vec::new() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("a listener without an address")
    }

    /// Copies until it is killed.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(MOST_EVENTS);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.welcome()?;
                } else if let Some(seat) = self.pairs.get_mut(event.token().0 - 1) {
                    let open = seat.as_mut().is_some_and(|pair| pair.copy(&mut buffer).unwrap_or(false));
                    if !open {
                        *seat = None;
                    }
                }
            }
        }
    }

    fn welcome(&mut self) -> Result<()> {
        loop {
            match self.listener.accept() {
                Ok((near, _)) => {
                    let empty = self.pairs.iter().position(Option::is_none);
                    let seat = empty.unwrap_or(self.pairs.len());
                    let pair = Pair::new(near, self.upstream, self.poll.registry(), Token(seat + 1))?;
                    match self.pairs.get_mut(seat) {
                        Some(seat) => *seat = Some(pair),
                        None => self.pairs.push(Some(pair)),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept a connection"),
            }
        }
    }
}

impl Pair {
    fn new(mut near: TcpStream, upstream: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        let mut far = TcpStream::connect(upstream).context("no way to the upstream")?;
        for stream in [&mut near, &mut far] {
            stream.set_nodelay(true)?;
            registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(Self { near: Pipe::new(near), far: Pipe::new(far) })
    }

    /// All that can be copied now; whether both sides are still open.
    fn copy(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        Ok(one_way(&mut self.near, &mut self.far, buffer)? && one_way(&mut self.far, &mut self.near, buffer)?)
    }
}

fn one_way(from: &mut Pipe, to: &mut Pipe, buffer: &mut [u8]) -> io::Result<bool> {
    to.flush()?;
    while to.has_sent_all() {
        match from.read(buffer)? {
            Got::Bytes(bytes, more) => {
                to.send(&buffer[..bytes])?;
                if !more {
                    return Ok(true); // at edges: what comes next is told
                }
            }
            Got::Nothing => return Ok(true),
            Got::Closed => return Ok(false),
        }
    }
    Ok(true)
}
