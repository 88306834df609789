//! A process that fetches is killed again and again: nothing wrong is ever seen, and what has come does not come again.
//!
//! The process is this very test program, asked for one test, which does nothing where nobody says what to fetch.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

const FOLDER: &str = "PENSTOCK_TEST_KILL_FOLDER";
const SOURCE: &str = "PENSTOCK_TEST_KILL_SOURCE";
/// Kills in one run of the test.
const KILLS: &str = "PENSTOCK_TEST_KILLS";
const USUAL_KILLS: u32 = 30;
/// Of one connection: between two notes of how far it is, with what is in the line.
const CHUNK_OF_ONE: u64 = 8 << 20;
/// Of several: what is under way at one time, and the same.
const CHUNK_OF_SEVERAL: u64 = (32 << 20) + CHUNK_OF_ONE;

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

    /// Whether it came to its end before it was killed.
    async fn lives_for(mut self, time: Duration) -> bool {
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            if let Some(status) = self.0.try_wait().expect("a status") {
                assert!(status.success(), "it failed by itself: {status}");
                return true;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.0.kill().expect("a kill");
        self.0.wait().expect("an end").success()
    }
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

/// Kills it until it comes to its end; tells how many it took.
async fn one_life(host: &FileHost, number: u32, kills: u32) -> u32 {
    let several = number % 2 == 1;
    let (len, rate, chunk) = if several { (80 * MB, 60 << 20, CHUNK_OF_SEVERAL) } else { (24 * MB, 60 << 20, CHUNK_OF_ONE) };
    let (name, bytes) = (format!("/life-{number}.gguf"), model(&format!("life {number}"), len));
    host.put(&name, HostedFile { rate: Some(rate), ..HostedFile::of(bytes.clone()) });
    let (dir, source) = (tempfile::tempdir().expect("a folder"), format!("{}{name}", host.url()));
    let (mut killed, mut sent) = (0, 0);
    host.asked();
    loop {
        let [low, high] = base::id::random_bytes::<2>();
        let time = Duration::from_millis(20 + u64::from(u16::from_be_bytes([high & 1, low])));
        let (last, before) = (killed + 1 > kills, host.sent(&name));
        let done = Victim::start(dir.path(), &source).lives_for(if last { Duration::from_mins(1) } else { time }).await;
        check(dir.path(), &bytes);
        // Where it went on, against what the last one had been sent.
        let gets = host.asked().into_iter().filter(|asked| asked.method == "GET");
        let first = gets.map(|asked| start_of(asked.range.as_deref())).min();
        if let Some(first) = first {
            assert!(first + chunk >= sent.min(len as u64), "it goes on at {first}, and {sent} had been sent");
            sent = first + host.sent(&name) - before;
        }
        if done {
            return killed;
        }
        assert!(!last, "it takes too long");
        killed += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_shows_nothing_wrong_and_goes_on_where_it_was() {
    let kills = variable(KILLS).and_then(|text| text.parse().ok()).unwrap_or(USUAL_KILLS);
    let host = FileHost::open().await.expect("a host");
    let (mut killed, mut lives) = (0, 0);
    while killed < kills {
        killed += one_life(&host, lives, kills - killed).await;
        lives += 1;
    }
    println!("killed {killed} times in {lives} lives");
}
