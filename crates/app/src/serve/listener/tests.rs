//! What a client that does not read may hold.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Answers, Open, Rules, bind, open};

impl Answers for TowerToHyperService<Router> {
    fn is_plain(&self, _: &str) -> bool {
        false
    }
}

/// Far longer than a busy machine keeps a client from reading.
const LIMIT: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules { write_timeout: LIMIT, ..Rules::default() }
}

static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];

/// Says that it is gone.
struct Held(Arc<Notify>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A stream without an end, and a word when it is given up.
async fn door() -> (Open, std::net::SocketAddr, Arc<Notify>) {
    door_by(rules()).await
}

async fn door_by(rules: Rules) -> (Open, std::net::SocketAddr, Arc<Notify>) {
    let gone = Arc::new(Notify::new());
    let held = Arc::clone(&gone);
    let endless = move || {
        let held = Held(Arc::clone(&held));
        async move {
            let pieces = std::iter::repeat_with(move || {
                let _ = &held;
                Ok::<_, Infallible>(Bytes::from_static(&BLOCK))
            });
            Body::from_stream(futures_util::stream::iter(pieces))
        }
    };
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address;
    let router = Router::new().route("/", get(endless));
    (open(bound, move |_| TowerToHyperService::new(router.clone()), rules), address, gone)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), what).await.unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let (_door, address, gone) = door().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    soon(gone.notified()).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_counted_once() {
    let rules = rules();
    let lost = Arc::clone(&rules.lost);
    let (_door, address, gone) = door_by(rules).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    soon(gone.notified()).await;
    let counted: Vec<_> = lost.each().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("slow_reader", 1)]);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not() {
    let (_door, address, gone) = door().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = vec![0; 4 << 20];
    for _ in 0..5 {
        tokio::time::sleep(LIMIT / 3).await;
        client.read_exact(&mut some).await.unwrap();
    }
    drop(client);
    soon(gone.notified()).await;
}

#[tokio::test]
async fn a_stream_of_http2_that_is_not_read_ends_while_its_connection_lives() {
    let (_door, address, gone) = door().await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1 << 10);
    let (mut sender, connection) = builder.handshake::<_, Empty<Bytes>>(stream).await.unwrap();
    let _driven = base::tasks::spawn("client", async move { drop(connection.await) });
    let ask = || Request::get(format!("http://{address}/")).body(Empty::new()).unwrap();
    let unread = sender.send_request(ask()).await.unwrap();
    soon(gone.notified()).await;
    assert!(!sender.is_closed() && sender.send_request(ask()).await.is_ok(), "others go on");
    drop(unread);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed_and_one_that_waits_for_its_answer_is_not() {
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let slow = move || {
        told.notify_one();
        async {
            tokio::time::sleep(Duration::from_mins(5)).await;
            "late"
        }
    };
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address;
    let router = Router::new().route("/", get(slow));
    let _door = open(bound, move |_| TowerToHyperService::new(router.clone()), rules());
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(b"GET / HT").await.unwrap();
    let mut asks = TcpStream::connect(address).await.unwrap();
    asks.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // They were taken in their order; nothing is on its way any more when the clock begins to leap.
    soon(begun.notified()).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert_eq!(stuck.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_mins(2));
    let mut answer = [0; 15];
    asks.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}
