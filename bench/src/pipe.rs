//! One connection as the loop sees it: bytes in, bytes out, never waiting.
//!
//! In: a stream that does not block. Out: what has come, in the loop's own buffer; what could not be
//! written yet goes out when there is room. Fails: as the stream does. Holds: the tail that was not
//! whole (usually nothing) and what is not written (usually nothing).

use std::io::{self, Read as _, Write as _};
use std::rc::Rc;

use mio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    stream: TcpStream,
    carry: Vec<u8>,
    unsent: Unsent,
}

#[derive(Debug, Default)]
enum Unsent {
    #[default]
    Nothing,
    /// From the second number on.
    Shared(Rc<[u8]>, usize),
    Own(Vec<u8>, usize),
}

/// What a look at a connection brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes stand in the buffer; the flag says that there may be more.
    Bytes(usize, bool),
    /// Nothing now.
    Nothing,
    /// The other side has closed.
    Closed,
}

impl Pipe {
    /// Of a stream that is registered for both ways, at edges.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, carry: Vec::new(), unsent: Unsent::Nothing }
    }

    /// The stream, to register it.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Fills the buffer with what was kept and what has come.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        let kept = self.carry.len();
        buffer[..kept].copy_from_slice(&self.carry);
        let room = buffer.len() - kept;
        match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => Ok(Got::Closed),
            Ok(n) => {
                self.carry.clear();
                Ok(Got::Bytes(kept + n, n == room))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Got::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Keeps what was not whole for the next read.
    pub(crate) fn keep(&mut self, tail: &[u8]) {
        self.carry.extend_from_slice(tail);
    }

    /// What was kept, for tests that play the stream.
    #[cfg(test)]
    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.carry)
    }

    /// Writes bytes that others hold too.
    pub(crate) fn send_shared(&mut self, bytes: &Rc<[u8]>) -> io::Result<()> {
        let sent = self.write(bytes)?;
        if sent < bytes.len() {
            self.unsent = Unsent::Shared(Rc::clone(bytes), sent);
        }
        Ok(())
    }

    /// Writes a few bytes, after those that still wait.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.unsent {
            Unsent::Own(waiting, _) => waiting.extend_from_slice(bytes),
            Unsent::Shared(shared, at) => {
                let mut waiting = shared[*at..].to_vec();
                waiting.extend_from_slice(bytes);
                self.unsent = Unsent::Own(waiting, 0);
            }
            Unsent::Nothing => {
                let sent = self.write(bytes)?;
                if sent < bytes.len() {
                    self.unsent = Unsent::Own(bytes[sent..].to_vec(), 0);
                }
            }
        }
        Ok(())
    }

    /// Goes on writing when there is room again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        self.unsent = match unsent {
            Unsent::Nothing => Unsent::Nothing,
            Unsent::Shared(bytes, at) => {
                let at = at + self.write(&bytes[at..])?;
                if at < bytes.len() { Unsent::Shared(bytes, at) } else { Unsent::Nothing }
            }
            Unsent::Own(bytes, at) => {
                let at = at + self.write(&bytes[at..])?;
                if at < bytes.len() { Unsent::Own(bytes, at) } else { Unsent::Nothing }
            }
        };
        Ok(())
    }

    /// Nothing waits for room.
    pub(crate) fn has_sent_all(&self) -> bool {
        matches!(self.unsent, Unsent::Nothing)
    }

    /// As many bytes as there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
