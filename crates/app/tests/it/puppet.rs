//! An engine that does as it is told: speaks for ever, falls silent, or notes when it is left.

use std::net::SocketAddr;
use std::time::Duration;

use base::tasks::{self, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the world sees of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Calls that have begun.
    pub(crate) calls: u32,
    /// Calls whose caller went away before the end.
    pub(crate) left: u32,
}

/// A remote server that answers every call with words until `words` have been said.
pub(crate) struct Puppet {
    address: SocketAddr,
    pub(crate) seen: watch::Receiver<Seen>,
    _task: Task,
}

/// Between two words.
const BEAT: Duration = Duration::from_millis(5);
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

impl Puppet {
    pub(crate) async fn new(words: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, seen) = watch::channel(Seen::default());
        let task = tasks::spawn("puppet", async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::spawn("puppet-call", call(stream, words, tell.clone())).detach();
            }
        });
        Self { address, seen, _task: task }
    }

    /// A deployment of it, under the name `puppet`.
    pub(crate) fn deployment(&self) -> String {
        format!("deployments:\n  - name: puppet\n    url: http://{}/v1\n", self.address)
    }

    /// Waits until it has seen this.
    pub(crate) async fn saw(&mut self, is: impl FnMut(&Seen) -> bool) {
        tokio::time::timeout(crate::stage::PATIENCE, self.seen.wait_for(is)).await.expect("in time").expect("the puppet lives");
    }
}

async fn call(mut stream: TcpStream, words: usize, tell: watch::Sender<Seen>) {
    let Ok(ask) = read(&mut stream).await else { return };
    if ask.starts_with("GET") {
        drop(whole(&mut stream, r#"{"object":"list","data":[]}"#).await);
        return;
    }
    tell.send_modify(|seen| seen.calls += 1);
    let done = if ask.contains(r#""stream":true"#) { speak(&mut stream, words).await } else { think(&mut stream, words).await };
    if done.is_err() {
        tell.send_modify(|seen| seen.left += 1);
    }
}

/// Head and body, as they came.
async fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = String::new();
    let mut piece = vec![0; 65_536];
    loop {
        let count = stream.read(&mut piece).await?;
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0) {
            return Ok(text);
        }
    }
}

async fn whole(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// Takes a beat; fails when the caller has left.
async fn beat(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut more = [0];
    tokio::select! {
        read = stream.read(&mut more) => if read? == 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) },
        () = tokio::time::sleep(BEAT) => Ok(()),
    }
}

/// Says nothing until all is said.
async fn think(stream: &mut TcpStream, words: usize) -> std::io::Result<()> {
    for _ in 0..words {
        beat(stream).await?;
    }
    let said = "word ".repeat(words);
    let answer = format!(
        r#"{{"id":"1","object":"chat.completion","created":0,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{said}"}},"finish_reason":"stop"}}]}}"#
    );
    whole(stream, &answer).await
}

async fn speak(stream: &mut TcpStream, words: usize) -> std::io::Result<()> {
    stream.write_all(HEAD.as_bytes()).await?;
    for _ in 0..words {
        let chunk = r#"{"id":"1","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}"#;
        stream.write_all(format!("data: {chunk}\n\n").as_bytes()).await?;
        beat(stream).await?;
    }
    let last =
        r#"{"id":"1","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    stream.write_all(format!("data: {last}\n\ndata: [DONE]\n\n").as_bytes()).await
}
