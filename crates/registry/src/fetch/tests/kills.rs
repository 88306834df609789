//! A process that fetches is killed again and again: nothing wrong is ever seen, and of what came at most one chunk comes again.
//!
//! The process is this very test program, asked for one test, which does nothing where nobody says what to fetch. What came is what the process
//! has read: before it is killed it is halted, and what the host has sent and the system still holds for it does not count.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::ranges;
use super::*;

const FOLDER: &str = "PENSTOCK_TEST_KILL_FOLDER";
const SOURCE: &str = "PENSTOCK_TEST_KILL_SOURCE";
/// Kills in one run of the test.
const KILLS: &str = "PENSTOCK_TEST_KILLS";
const USUAL_KILLS: u32 = 30;
/// In `/proc/net/tcp`: a connection that both ends have open.
const ESTABLISHED: &str = "01";

#[expect(clippy::disallowed_methods, reason = "what the parent of this process says")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let (Some(folder), Some(source)) = (variable(FOLDER), variable(SOURCE)) else { return };
    let store = Store::open(Path::new(&folder).join("penstock.db")).await.expect("a store");
    let kept = blobs::Config { reserve: base::ByteSize(0), ..blobs::Config::at(Path::new(&folder).join("blobs")) };
    let config = Config { base_dir: folder.into(), ..Config::default() };
    let registry = Registry::keeping(store, config, Some(Blobs::open(kept).await.expect("blobs")));
    registry.resolve(&Source::parse(&source).expect("a source")).await.expect("a version");
}

struct Victim(Child);

impl Victim {
    fn start(folder: &Path, source: &str) -> Self {
        let mut program = Command::new(std::env::current_exe().expect("this program"));
        program.args(["fetch::tests::kills::the_process_that_is_killed", "--exact", "--quiet"]);
        program.env(FOLDER, folder).env(SOURCE, source).stdout(Stdio::null()).stderr(Stdio::null());
        Self(program.spawn().expect("a process"))
    }

    /// Whether it came to its end before it was killed, and what it has read by then of what this file's host has sent.
    async fn lives_for(mut self, time: Duration, (host, name): (&FileHost, &str)) -> (bool, u64) {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            if let Some(status) = self.0.try_wait().expect("a status") {
                assert!(status.success(), "it failed by itself: {status}");
                return (true, host.sent(name));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        testkit::halt(self.0.id()).expect("it stands still");
        // In this order: what is sent in between is held, and so never counts as read.
        let sent = host.sent(name);
        let read = sent.saturating_sub(held(host.port()));
        self.0.kill().expect("a kill");
        (self.0.wait().expect("an end").success(), read)
    }
}

/// Bytes that the system holds between a host at this port and those who read from it.
fn held(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the system's connections");
    let at_port = |address: &str| address.split(':').nth(1).is_some_and(|text| u16::from_str_radix(text, 16) == Ok(port));
    let queue = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| words.get(3) == Some(&ESTABLISHED))
        .map(|words| {
            let (to_send, to_read) = words.get(4).and_then(|queues| queues.split_once(':')).unzip();
            match (at_port(words[1]), at_port(words[2])) {
                (true, _) => queue(to_send),
                (_, true) => queue(to_read),
                _ => 0,
            }
        })
        .sum()
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it has ended, unless the test failed
        let _ = self.0.wait();
    }
}

/// Every name that can be seen is that of what is in the file.
fn check(folder: &Path, whole: &Bytes) {
    let wanted = Digest::of(whole);
    for file in files_below(&folder.join("blobs/sha256")) {
        assert_eq!(file.file_name().unwrap().to_str().unwrap(), wanted.hex(), "a name that nobody promised");
        assert_eq!(Digest::of(&std::fs::read(&file).unwrap()), wanted, "a file that is not whole can be seen");
    }
    for file in files_below(&folder.join("blobs/links")).into_iter().filter(|file| file.extension().is_some_and(|e| e == "gguf")) {
        assert_eq!(Digest::of(&std::fs::read(&file).unwrap()), wanted, "a link to a file that is not whole");
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// `bytes=FIRST-`.
fn start_of(range: Option<&str>) -> u64 {
    range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()).unwrap_or(0)
}

/// Kills it until it comes to its end; tells how many it took, and how many bytes came again at most.
async fn one_life(host: &FileHost, number: u32, kills: u32) -> (u32, u64) {
    let several = number % 2 == 1;
    let (len, chunk) = if several { (80 * MB, ranges::CHUNK) } else { (40 * MB, blobs::CHUNK) };
    let rate = 60 << 20;
    let (name, bytes) = (format!("/life-{number}.gguf"), model(&format!("life {number}"), len));
    host.put(&name, HostedFile { rate: Some(rate), ..HostedFile::of(bytes.clone()) });
    let (dir, source) = (tempfile::tempdir().expect("a folder"), format!("{}{name}", host.url()));
    let (mut killed, mut came, mut most) = (0, 0_u64, 0);
    host.asked();
    loop {
        let [low, high] = base::id::random_bytes::<2>();
        let time = Duration::from_millis(20 + u64::from(u16::from_be_bytes([high & 1, low])));
        let (last, before) = (killed + 1 > kills, host.sent(&name));
        let victim = Victim::start(dir.path(), &source);
        let (done, read) = victim.lives_for(if last { Duration::from_mins(5) } else { time }, (host, &name)).await;
        check(dir.path(), &bytes);
        // Where it went on, against what the last one had read.
        let gets = host.asked().into_iter().filter(|asked| asked.method == "GET");
        let first = gets.map(|asked| start_of(asked.range.as_deref())).min();
        if let Some(first) = first {
            let again = came.saturating_sub(first);
            assert!(again < chunk, "it goes on at {first}, and {came} had come: {again} come again");
            most = most.max(again);
            came = first + read.saturating_sub(before);
        }
        if done {
            return (killed, most);
        }
        assert!(!last, "it takes too long");
        killed += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_shows_nothing_wrong_and_goes_on_where_it_was() {
    let kills = variable(KILLS).and_then(|text| text.parse().ok()).unwrap_or(USUAL_KILLS);
    let host = FileHost::open().await.expect("a host");
    let (mut killed, mut lives, mut again) = (0, 0, [0, 0]);
    while killed < kills {
        let (more, most) = one_life(&host, lives, kills - killed).await;
        let connections = usize::from(lives % 2 == 1);
        again[connections] = most.max(again[connections]);
        (killed, lives) = (killed + more, lives + 1);
    }
    let [one, several] = again.map(base::ByteSize);
    println!("killed {killed} times in {lives} lives; at most {one} of one connection came again, {several} of several");
}
