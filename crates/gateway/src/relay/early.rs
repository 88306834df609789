//! A stream whose head goes out before its engine has said anything: a caller who waits for a cold model, or long for
//! anything else, gets comments meanwhile, so that no proxy on the way gives up.
//!
//! In: the rest of the walk, as a future. Out: its answer, if that comes soon, with a real status whatever it is; else a
//! stream of comments that the answer's own events follow. Fails: in the stream, once it has begun: that is the price, so it
//! begins no sooner than it must. Holds: the future, which is the call; dropping it leaves the line, or ends the call upstream.
//! No task: it is polled by the client's connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use super::shaper::Shaper;
use super::{answer, stream_headers};
use crate::call::Call;
use crate::error::Error;

/// The rest of a call.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// The answer, or its head if it takes longer than `after`; from then on a comment each `ping`.
pub(crate) async fn soon(call: Arc<Call>, mut work: Work, after: Duration, ping: Duration) -> Result<Response, Error> {
    if let Ok(outcome) = tokio::time::timeout(after, &mut work).await {
        return outcome;
    }
    let shaper = Shaper::before(&call);
    if shaper.comment().is_none() {
        return work.await;
    }
    let headers = stream_headers(call.face);
    let stream = Early { place: Place::Waits(work), shaper, ping, timer: Box::pin(sleep_until(Instant::now())) };
    Ok(answer(&call, headers, Body::new(stream)))
}

struct Early {
    place: Place,
    shaper: Shaper,
    ping: Duration,
    timer: Pin<Box<Sleep>>,
}

enum Place {
    Waits(Work),
    Streams(Body),
    Over,
}

impl Early {
    /// A comment, when one is due.
    fn comment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        ready!(self.timer.as_mut().poll(cx));
        let next = Instant::now() + self.ping;
        self.timer.as_mut().reset(next);
        Poll::Ready(self.shaper.comment())
    }
}

impl http_body::Body for Early {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            match &mut self.place {
                Place::Over => return Poll::Ready(None),
                Place::Streams(body) => return Pin::new(body).poll_frame(cx),
                Place::Waits(work) => match work.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => self.place = Place::Streams(response.into_body()),
                    Poll::Ready(Err(error)) => {
                        self.place = Place::Over;
                        return Poll::Ready(Some(Ok(Frame::data(self.shaper.error_event(&error)))));
                    }
                    Poll::Pending => {
                        let comment = ready!(self.comment(cx));
                        return Poll::Ready(comment.map(|comment| Ok(Frame::data(comment))));
                    }
                },
            }
        }
    }
}
