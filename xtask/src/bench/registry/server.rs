//! The Penstock that is measured: one without a model, in a folder of its own, asked through its front door.
//!
//! In: the binary, the folder above, the connections of a pull. Out: how long an upload, a pull and an import took, from the first
//! request until the model has its version, which is when its bytes are on the disk. Fails: when it does not start, or refuses; with its
//! last lines. Holds: the process on its leash; its folder, which goes with it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bench::party::write;
use crate::http::{Call, send};
use crate::leash::{Leash, Order};
use crate::scratch::Scratch;

const START: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_mins(10);
const BLOCK: usize = 1 << 20;
const MODEL: &str = "bench";

/// A Penstock without a model.
pub(super) struct Server {
    leash: Leash,
    address: SocketAddr,
    _folder: Scratch,
}

impl Server {
    pub(super) fn start(binary: &Path, above: &Path, connections: u32) -> Result<Self> {
        let folder = Scratch::at(above.join("server"))?;
        let data = folder.path().join("data");
        let config = json!({
            "listen": "127.0.0.1:0", "data_dir": data, "auth": { "mode": "open" }, "log": { "level": "warn" },
            "outbound": { "allow": ["127.0.0.1"] }, "pull": { "connections": connections },
        });
        let config = write(folder.path(), "penstock.yaml", &config.to_string())?;
        let arguments = ["serve", "--config", &config];
        let leash = Leash::start(&Order { program: binary, arguments: &arguments, environment: &[], bare: false, folder: folder.path() })?;
        let begun = Instant::now();
        while begun.elapsed() < START {
            leash.expect_alive(LOOK_EVERY)?;
            if let Some(address) = fs::read_to_string(data.join("address")).ok().and_then(|text| text.trim().parse().ok()) {
                return Ok(Self { leash, address, _folder: folder });
            }
        }
        bail!("penstock did not start; its last lines:\n{}", leash.last_lines())
    }

    /// By tus, in one request; the digest that the sender promises is known before.
    pub(super) fn upload(&self, model: &Path, digest: &str) -> Result<Duration> {
        let (len, all) = (model.metadata()?.len(), format!("/api/v1/models/{MODEL}/versions/upload"));
        let begun = Instant::now();
        let begin = format!("upload-length: {len}\r\nupload-metadata: filename {},sha256 {}\r\n", base64("model.gguf"), base64(digest));
        self.tus("POST", &all, &begin, None)?;
        let piece = format!("upload-offset: 0\r\ncontent-type: application/offset+octet-stream\r\ncontent-length: {len}\r\n");
        self.tus("PATCH", &format!("{all}/{digest}"), &piece, Some(model))?;
        let files = json!({ "files": [{ "name": "model.gguf", "digest": format!("sha256:{digest}") }] });
        self.ask(&format!("/api/v1/models/{MODEL}/versions"), Some(&files))?;
        let took = begun.elapsed();
        self.expect(digest)?;
        Ok(took)
    }

    /// From a server on loopback.
    pub(super) fn pull(&self, source: &str, digest: &str) -> Result<Duration> {
        let begun = Instant::now();
        let operation = self.ask("/api/v1/models", Some(&json!({ "name": MODEL, "source": source })))?;
        let path = format!("/api/v1/operations/{}", operation["id"].as_str().context("no operation")?);
        while begun.elapsed() < PATIENCE {
            self.leash.expect_alive(LOOK_EVERY)?;
            let seen = self.ask(&path, None)?;
            match seen["state"].as_str() {
                Some("running") => {}
                Some("succeeded") => {
                    let took = begun.elapsed();
                    self.expect(digest)?;
                    return Ok(took);
                }
                _ => bail!("the pull failed: {seen}"),
            }
        }
        bail!("the pull did not end")
    }

    /// A file of the machine, of which Penstock keeps a copy.
    pub(super) fn import(&self, model: &Path, digest: &str) -> Result<Duration> {
        let begun = Instant::now();
        self.ask("/api/v1/models", Some(&json!({ "name": MODEL, "source": model, "keep": "copy" })))?;
        let took = begun.elapsed();
        self.expect(digest)?;
        Ok(took)
    }

    /// What came is what was sent.
    fn expect(&self, digest: &str) -> Result<()> {
        let model = self.ask(&format!("/api/v1/models/{MODEL}"), None)?.to_string();
        ensure!(model.contains(digest), "the model has another digest than {digest}: {model}");
        Ok(())
    }

    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string);
        let mut reply = send(self.address, Call { path, token: None, body: body.as_deref() })?;
        let text = reply.rest()?;
        ensure!((200..300).contains(&reply.status), "{path} was answered with {}: {text}\n{}", reply.status, self.leash.last_lines());
        serde_json::from_str(&text).with_context(|| format!("{path} was answered with {text}"))
    }

    fn tus(&self, method: &str, path: &str, headers: &str, body: Option<&Path>) -> Result<()> {
        let mut line = TcpStream::connect(self.address)?;
        line.set_nodelay(true)?;
        line.set_read_timeout(Some(PATIENCE))?;
        let (length, host) = (if body.is_some() { "" } else { "content-length: 0\r\n" }, self.address);
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ntus-resumable: 1.0.0\r\nconnection: close\r\n{length}{headers}\r\n");
        line.write_all(head.as_bytes())?;
        let sent = body.map_or(Ok(()), |path| pour(path, &mut line));
        let mut answer = String::new();
        BufReader::new(line).read_line(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path} was answered with {answer}; its last lines:\n{}", self.leash.last_lines());
        sent
    }
}

/// Through memory, as a client in any language does.
fn pour(path: &Path, line: &mut TcpStream) -> Result<()> {
    let (mut file, mut block) = (File::open(path)?, vec![0; BLOCK]);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        line.write_all(block.get(..read).unwrap_or_default())?;
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_in_base64() {
        for (text, wanted) in [("", ""), ("f", "Zg=="), ("go", "Z28="), ("foo", "Zm9v"), ("model.gguf", "bW9kZWwuZ2d1Zg==")] {
            assert_eq!(base64(text), wanted);
        }
    }
}
