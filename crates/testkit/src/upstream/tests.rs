//! The engine keeps its own promises.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Script, Step, Upstream};

async fn ask(upstream: &Upstream, model: &str) -> TcpStream {
    let mut stream = TcpStream::connect(upstream.address).await.unwrap();
    let body = format!(r#"{{"model":"{model}"}}"#);
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), what).await.unwrap()
}

#[tokio::test]
async fn it_says_what_its_script_says_in_the_pieces_it_says() {
    let upstream = Upstream::open().await.unwrap();
    upstream.plays("m", Script::says("data: {}\n\n").cut_every(4).then(Step::Fin));
    let mut answer = String::new();
    soon(ask(&upstream, "m").await.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("\r\n\r\n4\r\ndata\r\n4\r\n: {}\r\n2\r\n\n\n\r\n"), "{answer}");
}

#[tokio::test]
async fn it_knows_when_its_caller_leaves() {
    let upstream = Upstream::open().await.unwrap();
    upstream.plays("m", Script::stream().then(Step::Silence));
    let caller = ask(&upstream, "m").await;
    soon(upstream.saw(|asks| asks.len() == 1)).await;
    assert!(upstream.asks()[0].left.is_none());
    drop(caller);
    soon(upstream.saw(|asks| asks[0].left.is_some())).await;
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let upstream = Upstream::open().await.unwrap();
    upstream.next("m", [Script::stream().then(Step::Reset)]);
    let outcome = soon(ask(&upstream, "m").await.read_to_end(&mut Vec::new())).await;
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(upstream.asks_of("m")[0].text(), r#"{"model":"m"}"#);
}

#[tokio::test]
async fn it_speaks_http_2_to_those_who_begin_so() {
    let upstream = Upstream::open().await.unwrap();
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(upstream.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let _connection = base::tasks::spawn("connection", async move { drop(connection.await) });
    let body = http_body_util::Full::new(bytes::Bytes::from_static(br#"{"model":"m","messages":[]}"#));
    let request = hyper::Request::post("http://x/v1/chat/completions").body(body).unwrap();
    let response = soon(sender.send_request(request)).await.unwrap();
    let answer = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert!(answer.windows(14).any(|part| part == b"Hello there.\","[..].as_ref()), "{answer:?}");
    assert_eq!(upstream.asks()[0].http, 2);
}
