//! The engine over HTTP/1.1, written out by hand so that it can also be wrong.
//!
//! In: a connection. Out: scripts played on it, one call after the other. Fails: never; a connection
//! that breaks has ended. Where a script waits, the caller's end is watched, so that the book knows
//! at once when it goes away.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Stage;
use super::book::{Came, End};
use super::script::{Head, Script, Step};

/// Plays until one side hangs up.
pub(super) async fn serve(stage: &Stage, stream: TcpStream, number: usize) {
    let mut guest = Guest { stream, number, held: BytesMut::new(), chunked: false };
    while let Ok(Some(came)) = guest.request().await {
        if came.method == "GET" {
            if guest.play(super::good::models()).await.is_err() {
                return;
            }
            continue;
        }
        let ask = stage.book.enter(came);
        let script = stage.script(&ask);
        match guest.play(script).await {
            Ok(goes_on) => {
                stage.book.ended(ask.number, End::Done);
                if !goes_on {
                    return;
                }
            }
            Err(_gone) => {
                stage.book.ended(ask.number, End::Left);
                return;
            }
        }
    }
}

struct Guest {
    stream: TcpStream,
    number: usize,
    held: BytesMut,
    chunked: bool,
}

impl Guest {
    /// The next request; `None` when there is no other.
    async fn request(&mut self) -> io::Result<Option<Came>> {
        let end = loop {
            if let Some(at) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.held.split_to(end)).into_owned();
        self.held.advance(4);
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let body = self.take(length.unwrap_or(0)).await?;
        Ok(Some(Came { method, path, headers, body, http: 1, connection: self.number }))
    }

    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        while self.held.len() < length {
            if self.stream.read_buf(&mut self.held).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.held.split_to(length).freeze())
    }

    /// Plays a script; `false` when that was the end of the connection, an error when the caller has gone.
    async fn play(&mut self, script: Script) -> io::Result<bool> {
        self.chunked = false;
        for step in script.into_steps() {
            match step {
                Step::Head(head) => self.head(&head).await?,
                Step::Body(bytes) => self.body(&bytes).await?,
                Step::Raw(bytes) => self.stream.write_all(&bytes).await?,
                Step::Pause(time) => self.watching(tokio::time::sleep(time)).await?,
                Step::Wait(gate) => self.watching(gate.pass()).await?,
                Step::Silence => self.watching(std::future::pending()).await?,
                Step::Forever(bytes, every) => self.forever(&bytes, every).await?,
                Step::Fin => {
                    self.stream.shutdown().await?;
                    return Ok(false);
                }
                Step::Reset => {
                    self.stream.set_zero_linger()?;
                    return Ok(false);
                }
            }
            // Lets the other side see each piece by itself.
            tokio::task::yield_now().await;
        }
        if self.chunked {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(true)
    }

    async fn head(&mut self, head: &Head) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, if head.status < 400 { "OK" } else { "No" });
        for (name, value) in &head.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        self.chunked = head.length.is_none();
        match head.length {
            Some(length) => drop(write!(text, "content-length: {length}\r\n\r\n")),
            None => text.push_str("transfer-encoding: chunked\r\n\r\n"),
        }
        self.stream.write_all(text.as_bytes()).await
    }

    async fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.chunked {
            return self.stream.write_all(bytes).await;
        }
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.stream.write_all(&framed).await
    }

    async fn forever(&mut self, bytes: &[u8], every: Duration) -> io::Result<()> {
        loop {
            self.body(bytes).await?;
            self.watching(tokio::time::sleep(every)).await?;
        }
    }

    /// Waits, but no longer than the caller does.
    async fn watching(&mut self, wait: impl Future<Output = ()>) -> io::Result<()> {
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.held) => if read? == 0 {
                    return Err(io::ErrorKind::BrokenPipe.into());
                },
                () = &mut wait => return Ok(()),
            }
        }
    }
}
