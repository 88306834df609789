//! How fast do models come in, beside a plain copy with SHA-256 on the same disk?
//!
//! In: the site and the choice. Out: a table and JSON under `bench/results/`. The same file is copied and hashed by this program, sent to Penstock in one
//! request, and pulled by Penstock from a server of this program on loopback; in turn, round after round, medians. All lie on the same
//! disk, and each ends only when its bytes are on it. Fails: when a part does not start, or what came is not what was sent.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::check::{self, Check};
use super::figures::median;
use super::party::write;
use crate::http::{Call, send};
use crate::leash::{Leash, Order};
use crate::scratch::Scratch;
use crate::site::Site;
use crate::{digest, dist, say, shell};

const START: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_mins(10);
const BLOCK: usize = 1 << 20;
/// Of the speed of a plain copy with SHA-256.
const SHARE: f64 = 0.8;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// The size of the model, in MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    size: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Connections of a pull
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// This Penstock instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What was found; MiB for each second.
#[derive(Debug, Serialize)]
struct Findings {
    date: String,
    mib: u64,
    rounds: u32,
    copy: f64,
    upload: f64,
    pull: f64,
    check: Check,
}

/// Measures and writes the results.
pub(crate) fn run(site: &Site, jobs: usize, choice: &Choice) -> Result<()> {
    let binary = match &choice.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => dist::build(site, jobs)?,
    };
    // Not in the system's temporary folder, which may be memory.
    let folder = Scratch::at(site.target().join("bench-registry"))?;
    let (mut copy, mut upload, mut pull) = (Vec::new(), Vec::new(), Vec::new());
    let host = host()?;
    for round in 0..choice.rounds {
        let model = model(site, folder.path(), choice.size, round)?;
        say::step(&format!("round {}", round + 1));
        copy.push(speed(choice, plain(&model, &folder.path().join("copy"))?));
        let server = Server::start(&binary, folder.path(), choice)?;
        upload.push(speed(choice, server.upload(&model)?));
        drop(server);
        let server = Server::start(&binary, folder.path(), choice)?;
        pull.push(speed(choice, server.pull(&model, host)?));
    }
    let date = shell::text(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned();
    let (copy, upload, pull) = (median(&copy), median(&upload), median(&pull));
    let check = check::measure(site, jobs)?;
    tell(site, &Findings { date, mib: choice.size, rounds: choice.rounds, copy, upload, pull, check })
}

#[expect(clippy::cast_precision_loss, reason = "a rate that is shown to people")]
fn speed(choice: &Choice, took: Duration) -> f64 {
    choice.size as f64 / took.as_secs_f64()
}

/// The small model with bytes behind it, which differ in each round.
fn model(site: &Site, folder: &Path, mib: u64, round: u32) -> Result<PathBuf> {
    let path = folder.join(format!("model-{round}.gguf"));
    fs::copy(site.root.join("models/tiny.gguf"), &path).context("the small model cannot be copied")?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut file = File::options().append(true).open(&path)?;
    let mut left = (mib << 20).saturating_sub(file.metadata()?.len());
    let mut seed = u64::from(round) + 1;
    let mut block = vec![0_u8; BLOCK];
    while left > 0 {
        for eight in block.chunks_exact_mut(8) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            eight.copy_from_slice(&seed.to_le_bytes());
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        file.write_all(block.get(..take).unwrap_or_default())?;
        left -= take as u64;
    }
    file.sync_all()?;
    Ok(path)
}

/// A plain copy, on the disk, and then the digest.
fn plain(model: &Path, copy: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let (mut from, mut to) = (File::open(model)?, File::create(copy)?);
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            break;
        }
        to.write_all(block.get(..read).unwrap_or_default())?;
    }
    to.sync_all()?;
    digest::of_file(copy)?;
    let took = begun.elapsed();
    fs::remove_file(copy)?;
    Ok(took)
}

/// A Penstock without a model.
struct Server {
    leash: Leash,
    address: SocketAddr,
    _folder: Scratch,
}

impl Server {
    fn start(binary: &Path, above: &Path, choice: &Choice) -> Result<Self> {
        let folder = Scratch::at(above.join("server"))?;
        let data = folder.path().join("data");
        let config = json!({
            "listen": "127.0.0.1:0", "data_dir": data, "auth": { "mode": "open" }, "log": { "level": "warn" },
            "outbound": { "allow": ["127.0.0.1"] }, "pull": { "connections": choice.connections },
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

    /// In one request; its digest is known before.
    fn upload(&self, model: &Path) -> Result<Duration> {
        let (digest, len) = (digest::of_file(model)?, model.metadata()?.len());
        let all = "/api/v1/models/bench/versions/upload";
        let begun = Instant::now();
        let begin = format!("upload-length: {len}\r\nupload-metadata: filename {},sha256 {}\r\n", base64("model.gguf"), base64(&digest));
        self.tus("POST", all, &begin, None)?;
        let piece = format!("upload-offset: 0\r\ncontent-type: application/offset+octet-stream\r\ncontent-length: {len}\r\n");
        self.tus("PATCH", &format!("{all}/{digest}"), &piece, Some(model))?;
        Ok(begun.elapsed())
    }

    fn tus(&self, method: &str, path: &str, headers: &str, body: Option<&Path>) -> Result<()> {
        let mut line = TcpStream::connect(self.address)?;
        line.set_nodelay(true)?;
        line.set_read_timeout(Some(PATIENCE))?;
        let length = if body.is_some() { "" } else { "content-length: 0\r\n" };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\ntus-resumable: 1.0.0\r\nconnection: close\r\n{length}{headers}\r\n");
        line.write_all(head.as_bytes())?;
        if let Some(path) = body {
            let mut file = File::open(path)?;
            let mut block = vec![0; BLOCK];
            loop {
                let read = file.read(&mut block)?;
                if read == 0 {
                    break;
                }
                line.write_all(block.get(..read).unwrap_or_default())?;
            }
        }
        let mut answer = String::new();
        BufReader::new(line).read_line(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path} was answered with {answer}; its last lines:\n{}", self.leash.last_lines());
        Ok(())
    }

    fn pull(&self, model: &Path, host: SocketAddr) -> Result<Duration> {
        let begun = Instant::now();
        let source = format!("http://{host}{}", model.display());
        let body = json!({ "name": "bench", "source": source }).to_string();
        let mut reply = send(self.address, Call { path: "/api/v1/models", token: None, body: Some(&body) })?;
        let operation: Value = serde_json::from_str(&reply.rest()?)?;
        let path = format!("/api/v1/operations/{}", operation["id"].as_str().context("no operation")?);
        while begun.elapsed() < PATIENCE {
            self.leash.expect_alive(LOOK_EVERY)?;
            let mut reply = send(self.address, Call { path: &path, token: None, body: None })?;
            let seen: Value = serde_json::from_str(&reply.rest()?)?;
            match seen["state"].as_str() {
                Some("running") => {}
                Some("succeeded") => return Ok(begun.elapsed()),
                _ => bail!("the pull failed: {seen}"),
            }
        }
        bail!("the pull did not end")
    }
}

/// Gives out files by their paths, whole or in ranges, to as many as ask; it ends with this program.
fn host() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for line in listener.incoming().flatten() {
            // A client that leaves is no news.
            std::thread::spawn(move || drop(serve(line)));
        }
    });
    Ok(address)
}

fn serve(line: TcpStream) -> Result<()> {
    line.set_nodelay(true)?;
    let mut reader = BufReader::new(line.try_clone()?);
    let mut writer = line;
    loop {
        let (mut first, mut range) = (String::new(), None);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("range: bytes=") {
                range = text.split_once('-').map(|(first, last)| (first.to_owned(), last.to_owned()));
            }
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let (from, to) = match &range {
            Some((first, last)) => (first.parse()?, last.parse::<u64>().map_or(len, |last| last + 1)),
            None => (0, len),
        };
        let status = if range.is_some() {
            format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{len}", to - 1)
        } else {
            "200 OK".to_owned()
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{len}\"\r\naccept-ranges: bytes\r\n\r\n", to - from);
        writer.write_all(head.as_bytes())?;
        if method == "GET" {
            file.seek(SeekFrom::Start(from))?;
            std::io::copy(&mut file.take(to - from), &mut writer)?;
        }
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

fn tell(site: &Site, found: &Findings) -> Result<()> {
    let row = |what: &str, speed: f64| {
        let share = speed / found.copy;
        let holds = if share >= SHARE { "yes" } else { "**no**" };
        format!("| {what} | at least {SHARE} | {share:.2} | {speed:.0} MiB/s | {holds} |\n")
    };
    let mut page =
        format!("# The registry, measured\n\n{}; a model of {} MiB, {} rounds, medians.\n\n", found.date, found.mib, found.rounds);
    page.push_str("| beside a plain copy with SHA-256 on the same disk | wanted | found | speed | holds |\n|---|---|---|---|---|\n");
    page.push_str(&row("upload", found.upload));
    page.push_str(&row("pull", found.pull));
    let _ = write!(page, "\nThe plain copy with SHA-256: {:.0} MiB/s.\n", found.copy);
    page.push_str(&found.check.rows());
    let folder = site.root.join("bench/results");
    fs::create_dir_all(&folder)?;
    let day = found.date.split(' ').next().unwrap_or_default();
    fs::write(folder.join(format!("{day}-registry.md")), &page)?;
    fs::write(folder.join(format!("{day}-registry.json")), serde_json::to_string_pretty(found)? + "\n")?;
    say::result(&page);
    Ok(())
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

    #[test]
    fn files_are_given_out_whole_and_in_ranges() {
        let folder = Scratch::new("host").unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "0123456789").unwrap();
        let ask = |head: String| {
            let mut line = TcpStream::connect(host().unwrap()).unwrap();
            line.write_all(head.as_bytes()).unwrap();
            line.shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            line.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask(format!("GET {} HTTP/1.1\r\n\r\n", path.display())).ends_with("\r\n\r\n0123456789"));
        let range = ask(format!("GET {} HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n", path.display()));
        assert!(range.starts_with("HTTP/1.1 206") && range.contains("bytes 2-4/10") && range.ends_with("\r\n\r\n234"), "{range}");
        assert!(!ask(format!("HEAD {} HTTP/1.1\r\n\r\n", path.display())).contains("0123"));
    }
}
