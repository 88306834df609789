//! Just enough of HTTP/1.1 to try a server on loopback, line by line as it streams.
//!
//! In: an address and a request. Out: the status and the body's lines. Fails: when the server is
//! not there, closes early, or is silent for too long. From: RFC 9112 (chunked coding, section 7.1).
//! Own code, so that xtask, the first thing a newcomer compiles, stays small.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A server that says nothing for so long is stuck.
const SILENCE: Duration = Duration::from_mins(1);
/// No line of ours is longer.
const LINE_BYTES: u64 = 1 << 20;
/// No reply that we ask for has more header lines.
const HEADER_LINES: usize = 100;

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    /// With a body it is a POST of JSON, else a GET.
    pub(crate) body: Option<&'a str>,
}

/// The status, and the body as it comes.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Box<dyn BufRead>,
}

/// Sends the call; returns when the header has come.
pub(crate) fn send(address: SocketAddr, call: Call<'_>) -> Result<Reply> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("nobody listens at {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(head(address, call).as_bytes())?;
    stream.write_all(call.body.unwrap_or_default().as_bytes())?;
    let mut reader = BufReader::new(stream);
    let status = status(&line(&mut reader)?)?;
    let body = body(reader)?;
    Ok(Reply { status, body })
}

impl Reply {
    /// The next line of the body; none at its end.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        let mut text = String::new();
        let n = (&mut self.body).take(LINE_BYTES).read_line(&mut text).context("the reply broke off")?;
        Ok((n > 0).then(|| text.trim_end().to_owned()))
    }

    /// All that is left of the body, up to a line's bound.
    pub(crate) fn rest(&mut self) -> Result<String> {
        let mut text = String::new();
        (&mut self.body).take(LINE_BYTES).read_to_string(&mut text).context("the reply broke off")?;
        Ok(text)
    }
}

fn head(address: SocketAddr, call: Call<'_>) -> String {
    let method = if call.body.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n", call.path);
    if let Some(token) = call.token {
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    if let Some(body) = call.body {
        let _ = write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    head
}

fn status(line: &str) -> Result<u16> {
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    code.and_then(|code| code.parse().ok()).with_context(|| format!("not an HTTP reply: `{line}`"))
}

/// Reads the header and chooses how the body ends.
fn body(mut reader: BufReader<TcpStream>) -> Result<Box<dyn BufRead>> {
    let mut length = None;
    let mut chunked = false;
    for _ in 0..HEADER_LINES {
        let header = line(&mut reader)?;
        if header.is_empty() {
            return Ok(match (chunked, length) {
                (true, _) => Box::new(BufReader::new(Chunked { inner: reader, left: 0, ended: false })),
                (false, Some(length)) => Box::new(reader.take(length)),
                (false, None) => Box::new(reader),
            });
        }
        let (name, value) = header.split_once(':').with_context(|| format!("not a header: `{header}`"))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.trim().parse().context("content-length is no number")?),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    bail!("the reply has more than {HEADER_LINES} header lines")
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    let n = reader.by_ref().take(LINE_BYTES).read_line(&mut text).context("no reply came")?;
    if n == 0 {
        bail!("the server closed without a reply");
    }
    Ok(text.trim_end().to_owned())
}

/// A body in chunks; an end without the last chunk is an error.
struct Chunked<R> {
    inner: R,
    left: u64,
    ended: bool,
}

impl<R: BufRead> Chunked<R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let mut size = String::new();
        (&mut self.inner).take(LINE_BYTES).read_line(&mut size)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))?;
        self.ended = self.left == 0;
        Ok(())
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let n = self.inner.read(&mut into[..most])?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        if self.left == 0 {
            let mut end = [0; 2];
            self.inner.read_exact(&mut end)?;
        }
        Ok(n)
    }
}

#[cfg(test)]
pub(crate) mod tests;
