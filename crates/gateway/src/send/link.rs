//! One HTTP/1.1 connection to an engine, driven by whoever uses it.
//!
//! In: a byte pipe; a request, ready to be written. Out: the head of its reply, then its bytes. Fails: as the pipe does, or on
//! what is no HTTP. Holds: the pipe, what of a reply came with its head, and no task: reading and writing happen
//! inside the call that the connection carries. So a relay costs no task and no channel, and dropping
//! the reply closes the pipe there and then, which is how an engine learns that its caller has gone.
//!
//! hyper's client would hold 16 KiB for each connection and one buffer of 8 KiB more for each event that is under way; thousands
//! of streams that mostly wait would be made of empty buffers. Here all connections of a thread read into one place, and
//! a stream holds the bytes that came and nothing else. [`body`] takes replies apart, [`head`] their first lines.

mod body;
mod head;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use body::Framing;
pub(super) use head::Head;

/// What is read at once.
const READ: usize = 64 << 10;
/// Parts that are written at once.
const PARTS: usize = 8;

thread_local! {
    /// Where all connections of a thread read to.
    static PLACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// Bytes both ways.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The pipe broke.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The other side hung up before it had said all.
    #[error("the engine hung up")]
    HungUp,
    /// The first lines of a reply are no HTTP.
    #[error("the engine's answer does not begin as HTTP does")]
    Head(#[from] httparse::Error),
    /// They are longer than we hold, or say what cannot be.
    #[error("the head of the engine's answer {0}")]
    Odd(&'static str),
    /// The body is not cut into chunks as it should be.
    #[error("the engine's answer is not in the chunks that it promised")]
    Chunk,
    /// Nothing came in time.
    #[error("nothing came in time")]
    Late,
}

/// A call that got no reply.
#[derive(Debug)]
pub(super) struct Unsent {
    /// Why.
    pub(super) fault: Fault,
    /// True when not one byte of the call had been written.
    pub(super) untouched: bool,
    /// True when not one byte of a reply had come.
    pub(super) unanswered: bool,
}

/// A connection that carries one call at a time.
pub(super) struct Link {
    pipe: Box<dyn Pipe>,
    /// Bytes of a reply that came with its head.
    ahead: Bytes,
    framing: Framing,
    /// It may carry another call.
    lasts: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("framing", &self.framing).field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

impl Link {
    /// Speaks HTTP over the pipe.
    pub(super) fn new(pipe: Box<dyn Pipe>) -> Self {
        Self { pipe, ahead: Bytes::new(), framing: Framing::Done, lasts: true, timer: None }
    }

    /// Sends a call and waits for the head of its reply, up to this moment.
    pub(super) async fn exchange(&mut self, parts: Vec<Bytes>, by: Instant) -> Result<Head, Unsent> {
        let mut out = Outbox { parts, at: 0, written: 0 };
        let mut start = Start::default();
        let outcome = std::future::poll_fn(|cx| match self.poll_head(cx, &mut out, &mut start) {
            Poll::Pending if self.is_late(cx, by) => Poll::Ready(Err(Fault::Late)),
            polled => polled,
        });
        outcome.await.map_err(|fault| Unsent { untouched: out.written == 0, unanswered: !start.came, fault })
    }

    /// Writes what is left to write and reads until the head is there; an answer may come before all is written.
    fn poll_head(&mut self, cx: &mut Context<'_>, out: &mut Outbox, Start { bytes: start, came }: &mut Start) -> Poll<Result<Head, Fault>> {
        let written = match out.poll(&mut self.pipe, cx) {
            Poll::Ready(Err(error)) if out.written == 0 => return Poll::Ready(Err(error.into())),
            written => written,
        };
        loop {
            if let Some((head, length)) = Head::parse(start)? {
                start.advance(length);
                if head.is_final() {
                    self.ahead = std::mem::take(start).freeze();
                    self.framing = head.framing;
                    self.lasts = head.lasts && matches!(written, Poll::Ready(Ok(())));
                    return Poll::Ready(Ok(head));
                }
                continue;
            }
            match ready!(self.poll_read(cx, |bytes| start.extend_from_slice(bytes))) {
                Ok(0) => return Poll::Ready(Err(broken(written))),
                Ok(_) => *came = true,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// The next bytes of a reply; nothing at its end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            if self.framing.is_done() {
                self.lasts &= self.ahead.is_empty(); // what comes after the end belongs to nobody
                return Poll::Ready(None);
            }
            let mut out = BytesMut::new();
            let ahead = std::mem::take(&mut self.ahead);
            let decoded = if ahead.is_empty() {
                let (mut framing, mut more) = (self.framing, 0);
                let read = ready!(
                    self.poll_read(cx, |bytes| more = framing.decode(bytes, &mut out).map_or(usize::MAX, |used| bytes.len() - used))
                );
                self.framing = framing;
                match read {
                    Ok(0) => self.framing.hung_up(),
                    Ok(_) if more == usize::MAX => Err(Fault::Chunk),
                    Ok(_) => {
                        self.lasts &= more == 0;
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                }
            } else {
                self.framing.decode(&ahead, &mut out).map(|used| self.lasts &= used == ahead.len())
            };
            match decoded {
                Err(fault) => return Poll::Ready(Some(Err(fault))),
                Ok(()) if out.is_empty() => {}
                Ok(()) => return Poll::Ready(Some(Ok(out.freeze()))),
            }
        }
    }

    /// False when it is known already that no other call can follow.
    pub(super) fn may_last(&self) -> bool {
        self.lasts && !matches!(self.framing, Framing::UntilClosed)
    }

    /// True when the other side has not hung up and the last reply has come to its end.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if !self.framing.is_done() && !matches!(self.poll_data(&mut cx), Poll::Ready(None)) {
            return false;
        }
        // An idle connection has nothing to say: not even that it ends.
        self.lasts && self.poll_read(&mut cx, |_| {}).is_pending()
    }

    /// Reads once and shows what came; how much.
    fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        PLACE.with_borrow_mut(|place| {
            let mut into = ReadBuf::new(place);
            ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut into))?;
            take(into.filled());
            Poll::Ready(Ok(into.filled().len()))
        })
    }

    /// Whether this moment has passed. The timer is kept for the next call: it is set anew only when it rings, or would too late.
    fn is_late(&mut self, cx: &mut Context<'_>, by: Instant) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(by)));
        if timer.deadline() > by {
            timer.as_mut().reset(by);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= by {
                return true;
            }
            timer.as_mut().reset(by);
        }
        false
    }
}

/// Why nothing came: it could not even be asked, or it hung up.
fn broken(written: Poll<io::Result<()>>) -> Fault {
    match written {
        Poll::Ready(Err(error)) => Fault::Io(error),
        _ => Fault::HungUp,
    }
}

/// The first lines of a reply, as far as they have come.
#[derive(Default)]
struct Start {
    bytes: BytesMut,
    /// Something has, were it only a word that there is more to come.
    came: bool,
}

/// What is to be written.
struct Outbox {
    parts: Vec<Bytes>,
    at: usize,
    written: usize,
}

impl Outbox {
    fn poll(&mut self, pipe: &mut Box<dyn Pipe>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.parts.get(self.at..).filter(|rest| !rest.is_empty()) {
            let written = match rest {
                [only] => ready!(Pin::new(&mut *pipe).poll_write(cx, only))?,
                many => {
                    let mut slices = [IoSlice::new(&[]); PARTS];
                    let filled = slices.iter_mut().zip(many).map(|(slice, part)| *slice = IoSlice::new(part)).count();
                    ready!(Pin::new(&mut *pipe).poll_write_vectored(cx, slices.get(..filled).unwrap_or_default()))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Pin::new(pipe).poll_flush(cx)
    }

    fn advance(&mut self, mut by: usize) {
        self.written += by;
        while let Some(part) = self.parts.get_mut(self.at) {
            if by < part.len() {
                part.advance(by);
                return;
            }
            by -= part.len();
            *part = Bytes::new(); // what is written need not be held
            self.at += 1;
        }
    }
}
