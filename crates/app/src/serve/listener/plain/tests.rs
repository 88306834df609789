//! Both roads give the same answers, and each takes what is its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base::tasks;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::super::{Answers, Open, Rules, bind, open};
use super::out::Out;

/// Echoes bodies at `/echo`; `/stream` gives its body in three pieces; `/wait` answers when it is let; `/large` gives a megabyte.
#[derive(Clone, Default)]
struct Echo {
    plain: bool,
    seen: Arc<AtomicUsize>,
    gone: Arc<Notify>,
    begun: Arc<Notify>,
}

/// Says that it was dropped.
struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl<B> hyper::service::Service<Request<B>> for Echo
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            echo.seen.fetch_add(1, SeqCst);
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = match path.as_str() {
                "/stream" => {
                    let pieces = [body.clone(), Bytes::new(), body];
                    Body::from_stream(stream::iter(pieces).then(|piece| async {
                        tokio::task::yield_now().await;
                        Ok::<_, Infallible>(piece)
                    }))
                }
                "/large" => Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1 << 20])), Ok(body)])),
                "/broken" => Body::from_stream(stream::iter([Ok(body), Err(std::io::Error::other("it broke"))])),
                "/wait" => {
                    let _held = Held(echo.gone);
                    echo.begun.notify_one();
                    std::future::pending::<Body>().await
                }
                "/endless" => {
                    let held = Held(echo.gone);
                    let first = stream::iter([Ok::<_, Infallible>(body)]).chain(stream::pending());
                    Body::from_stream(first.inspect(move |_| {
                        let _ = &held;
                    }))
                }
                _ => Body::from(body),
            };
            let mut response = Response::new(body);
            response.headers_mut().insert("x-path", path.parse().unwrap());
            Ok(response)
        })
    }
}

impl Answers for Echo {
    fn is_plain(&self, _: &str) -> bool {
        self.plain
    }
}

async fn door(echo: &Echo) -> (Open, std::net::SocketAddr) {
    const LIMIT: Duration = Duration::from_secs(5);
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, echo) = (bound.address, echo.clone());
    let rules = Rules { write_timeout: LIMIT, ..Rules::default() };
    (open(bound, move |_| echo.clone(), rules), address)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), what).await.unwrap()
}

/// What comes back for these bytes, sent in pieces, until the server has nothing more to say; without its date.
async fn said(plain: bool, pieces: &[&[u8]]) -> String {
    let (_door, address) = door(&Echo { plain, ..Echo::default() }).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.set_nodelay(true).unwrap();
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.write_all(b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = String::new();
    soon(client.read_to_string(&mut all)).await.unwrap();
    assert!(all.ends_with("\r\n\r\n"), "{all}");
    // Both write the same headers, each in its own order.
    let sorted = |head: &str| {
        // Of the headers that protect pages the plain road has the one that also protects data.
        let left_out = ["date: ", "content-security-policy: ", "referrer-policy: "];
        let mut lines: Vec<&str> = head.split("\r\n").filter(|line| !left_out.iter().any(|name| line.starts_with(name))).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    all.split("\r\n\r\n").map(sorted).collect::<Vec<_>>().join("\n\n")
}

#[tokio::test]
async fn both_roads_give_the_same_answers() {
    let echo: &[u8] = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello";
    let stream: &[u8] = b"POST /stream?a=b HTTP/1.1\r\nhost: x\r\nconnection: Keep-Alive\r\ncontent-length: 3\r\n\r\nabc";
    let cases: &[&[&[u8]]] = &[
        &[echo],
        &[stream],
        &[echo, stream, echo],
        &[b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n", b"he", b"llo"],
        &[b"POST /ec", b"ho HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"],
        &[b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"],
        &[b"POST /echo HTTP/1.1\nhost: x\ncontent-length: 2\n\nhi"],
        &[b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"],
        &[b"POST /echo HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi"],
        &[b"\r\n", echo, b"\r\n", b"\r\n\r\n", stream, b"\r\n"],
        &[b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n", echo],
        &[echo, b"PUT /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi", stream],
    ];
    for case in cases {
        let sent: Vec<_> = case.iter().map(|piece| String::from_utf8_lossy(piece)).collect();
        assert_eq!(said(true, case).await, said(false, case).await, "{sent:?}");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_by_both() {
    for odd in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2\r\ntransfer-encoding: chunked, gzip",
        "content-length: +2",
        "content-length: 2, 3",
        "content-length: 99999999999999999999",
        "content-length : 2",
        " content-length: 2",
    ] {
        let mut said = Vec::new();
        for plain in [true, false] {
            let echo = Echo { plain, ..Echo::default() };
            let (_door, address) = door(&echo).await;
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(format!("POST /echo HTTP/1.1\r\nhost: x\r\n{odd}\r\n\r\nhihi").as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let mut all = String::new();
            soon(client.read_to_string(&mut all)).await.unwrap();
            said.push(all.lines().next().unwrap_or_default().to_owned());
            assert_eq!(echo.seen.load(SeqCst), 0, "{odd}: {all}");
        }
        assert_eq!(said[0], said[1], "{odd}");
    }
}

async fn ask(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi").as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn a_client_that_leaves_drops_what_is_done_for_it() {
    let echo = Echo { plain: true, ..Echo::default() };
    let (_door, address) = door(&echo).await;
    let client = ask(address, "/wait").await;
    soon(echo.begun.notified()).await;
    drop(client);
    soon(echo.gone.notified()).await;
    let mut client = ask(address, "/endless").await;
    let mut some = [0; 64];
    assert!(soon(client.read(&mut some)).await.unwrap() > 0);
    drop(client);
    soon(echo.gone.notified()).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_also_behind_what_it_sent_after_its_request() {
    const NEXT: &[u8] = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    let echo = Echo { plain: true, ..Echo::default() };
    let (_door, address) = door(&echo).await;
    for path in ["/wait", "/endless"] {
        for (more, at_once, breaks) in
            [(&b"\r\n"[..], true, false), (b"\r\n\r\n", false, false), (b"POST /ec", false, false), (NEXT, false, true)]
        {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.set_nodelay(true).unwrap();
            let mut request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi").into_bytes();
            if at_once {
                request.extend_from_slice(more);
            }
            client.write_all(&request).await.unwrap();
            if path == "/wait" {
                soon(echo.begun.notified()).await;
            } else {
                assert!(soon(client.read(&mut [0; 64])).await.unwrap() > 0);
            }
            if !at_once {
                client.write_all(more).await.unwrap();
            }
            if breaks {
                client.set_zero_linger().unwrap();
            }
            drop(client);
            soon(echo.gone.notified()).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    for plain in [true, false] {
        let (_door, address) = door(&Echo { plain, ..Echo::default() }).await;
        let mut client = ask(address, "/broken").await;
        let mut all = Vec::new();
        let _ = soon(client.read_to_end(&mut all)).await;
        assert!(!all.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&all));
    }
}

#[tokio::test]
async fn a_large_piece_comes_whole() {
    let (_door, address) = door(&Echo { plain: true, ..Echo::default() }).await;
    let mut client = ask(address, "/large").await;
    let mut all = Vec::new();
    while !all.ends_with(b"0\r\n\r\n") {
        assert!(soon(client.read_buf(&mut all)).await.unwrap() > 0);
    }
    let text = String::from_utf8(all).unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with("100000\r\nxxxx") && body.ends_with("xxxx\r\n2\r\nhi\r\n0\r\n\r\n"));
    assert_eq!(body.matches('x').count(), 1 << 20);
}

#[tokio::test]
async fn a_body_larger_than_this_road_takes_comes_by_the_other() {
    let (_door, address) = door(&Echo { plain: true, ..Echo::default() }).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = "y".repeat(200_000);
    client
        .write_all(format!("POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n{body}").as_bytes())
        .await
        .unwrap();
    let mut all = String::new();
    soon(client.read_to_string(&mut all)).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.ends_with(&body));
}

#[tokio::test]
async fn a_door_that_closes_lets_those_inside_finish_and_idle_ones_go() {
    let echo = Echo { plain: true, ..Echo::default() };
    let (door, address) = door(&echo).await;
    let mut idle = ask(address, "/echo").await;
    let mut some = [0; 1024];
    assert!(soon(idle.read(&mut some)).await.unwrap() > 0);
    let mut busy = ask(address, "/endless").await;
    assert!(soon(busy.read(&mut some)).await.unwrap() > 0);
    let closing = tasks::spawn("closing", door.close());
    assert_eq!(soon(idle.read(&mut some)).await.unwrap(), 0);
    drop(busy);
    soon(closing.join()).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_asks_twice_and_says_no_more_gets_the_answers() {
    let (_door, address) = door(&Echo { plain: true, ..Echo::default() }).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let both = ["/stream", "/echo"].map(|path| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"));
    client.write_all(both.concat().as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    soon(client.read_to_string(&mut all)).await.unwrap();
    assert!(all.contains("\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n") && all.ends_with("hello"), "{all}");
}

/// Says that it has five bytes, and has these.
struct Claims(Option<&'static [u8]>);

impl hyper::body::Body for Claims {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|data| Ok(hyper::body::Frame::data(Bytes::from_static(data)))))
    }
    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(5)
    }
}

#[tokio::test]
async fn a_body_that_breaks_its_word_ends_the_connection() {
    for (data, holds) in [(&b"hello"[..], true), (b"hi", false), (b"hello and more", false)] {
        let mut out = Out::new(Response::new(Body::new(Claims(Some(data)))), b"", false);
        let filled = out.fill(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(matches!(filled, std::task::Poll::Ready(Ok(()))), holds, "{filled:?}");
    }
}
