//! An HTTP/2 connection to an engine, on which many calls run at once.
//!
//! In: a byte pipe. Out: a [`Line`]. Fails: as hyper does. Holds: one task for the connection, which ends when it breaks, or
//! when nobody uses it any more and the pool has let it go.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use base::tasks;
use h2::Reason;
use hyper::client::conn::http2::Builder;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::link::Pipe;
use super::pool::Line;

/// What may be on its way for one call that its client does not read: it is all that a slow client costs.
const WINDOW: u32 = 256 << 10;
/// For all calls of a line together, so that one slow client does not hold up the others.
const ALL_WINDOWS: u32 = 32 << 20;
/// A silent server is asked whether it lives.
const ASK: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(10);
/// What a server allows that has not said so yet.
const UNTIL_TOLD: usize = 100;

/// Starts hyper's own tasks by the rules of the house.
#[derive(Debug, Clone, Copy)]
struct House;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for House {
    fn execute(&self, future: F) {
        tasks::spawn("engine-connection", future).detach();
    }
}

/// Speaks HTTP/2 over the pipe.
pub(super) async fn open(pipe: Box<dyn Pipe>) -> Result<Arc<Line>, hyper::Error> {
    let mut builder = Builder::new(House);
    builder.timer(TokioTimer::new()).keep_alive_interval(ASK).keep_alive_timeout(ANSWER);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(ALL_WINDOWS).initial_max_send_streams(UNTIL_TOLD);
    let (sender, connection) = builder.handshake(TokioIo::new(pipe)).await?;
    let line = Arc::new(Line::new(sender, UNTIL_TOLD));
    let room = Arc::downgrade(&line);
    let driven = async move {
        let mut connection = pin!(connection);
        let ended = poll_fn(|cx| {
            let ended = Pin::as_mut(&mut connection).poll(cx);
            if let Some(line) = room.upgrade() {
                line.room.store(connection.current_max_send_streams(), Relaxed);
            }
            ended
        });
        if let Err(error) = ended.await {
            tracing::debug!(error = base::chain(&error), "a connection to an engine ended");
        }
    };
    tasks::spawn("engine-connection", driven).detach();
    Ok(line)
}

/// The server says that it has not looked at the call, and will not.
pub(super) fn was_refused(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let leaving = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
            return leaving || (error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM));
        }
        cause = error.source();
    }
    false
}
