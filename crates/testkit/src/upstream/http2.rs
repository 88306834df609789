//! The engine over h2c: the same scripts, as far as HTTP/2 knows their steps.
//!
//! In: a connection that begins with HTTP/2's preface. Out: scripts played on its streams. Fails:
//! never. A caller who resets its stream has left.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use base::tasks::{self, Task};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Stage;
use super::book::{Came, End};
use super::script::{Head, Step};

type Pieces = Pin<Box<dyn futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// Plays until one side hangs up.
pub(super) async fn serve(stage: Arc<Stage>, stream: TcpStream, number: usize) {
    let service = service_fn(move |request| {
        let stage = Arc::clone(&stage);
        async move { Ok::<_, Infallible>(answer(stage, number, request).await) }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    drop(connection.await); // how it broke, the caller knows best
}

async fn answer(stage: Arc<Stage>, connection: usize, request: Request<Incoming>) -> Response<StreamBody<Pieces>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let method = head.method.as_str().to_owned();
    let (script, number) = if method == "GET" {
        (super::good::models(), 0)
    } else {
        let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let ask = stage.book.enter(Came { method, path: head.uri.path().to_owned(), headers, body, http: 2, connection });
        (stage.script(&ask), ask.number)
    };
    let mut steps = VecDeque::from(script.into_steps());
    let head = opening(&mut steps).await;
    let (tell, pieces) = mpsc::channel(1);
    let playing = tasks::spawn("upstream-stream", async move {
        let end = play(steps, &tell).await;
        stage.book.ended(number, end);
    });
    response(head, pieces, playing)
}

/// What stands before the head, then the head.
async fn opening(steps: &mut VecDeque<Step>) -> Head {
    while let Some(step) = steps.pop_front() {
        match step {
            Step::Head(head) => return head,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Wait(gate) => gate.pass().await,
            Step::Silence | Step::Forever(..) => std::future::pending().await,
            Step::Body(_) | Step::Raw(_) | Step::Fin | Step::Reset => {}
        }
    }
    Head { status: 500, headers: Vec::new(), length: None }
}

fn response(head: Head, pieces: mpsc::Receiver<io::Result<Frame<Bytes>>>, playing: Task) -> Response<StreamBody<Pieces>> {
    // The player lives as long as its body, and a little longer, to note that it was left.
    playing.detach();
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) });
    let mut response = Response::builder().status(head.status);
    for (name, value) in head.headers {
        response = response.header(name, value);
    }
    response.body(StreamBody::new(pieces.boxed())).unwrap_or_else(|_| Response::new(StreamBody::new(futures_util::stream::empty().boxed())))
}

async fn play(steps: VecDeque<Step>, tell: &mpsc::Sender<io::Result<Frame<Bytes>>>) -> End {
    for step in steps {
        let wait = async {
            match step {
                Step::Body(bytes) | Step::Raw(bytes) => tell.send(Ok(Frame::data(bytes))).await.is_ok(),
                Step::Pause(time) => {
                    tokio::time::sleep(time).await;
                    true
                }
                Step::Wait(gate) => {
                    gate.pass().await;
                    true
                }
                Step::Forever(bytes, every) => loop {
                    if tell.send(Ok(Frame::data(bytes.clone()))).await.is_err() {
                        break false;
                    }
                    tokio::time::sleep(every).await;
                },
                Step::Silence => std::future::pending().await,
                Step::Fin | Step::Reset => tell.send(Err(io::ErrorKind::ConnectionReset.into())).await.is_ok(),
                Step::Head(_) => true,
            }
        };
        tokio::select! {
            goes_on = wait => if !goes_on { return End::Left },
            () = tell.closed() => return End::Left,
        }
    }
    End::Done
}
