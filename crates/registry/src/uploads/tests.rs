//! A process that takes a file which somebody sends is killed again and again: nothing wrong is ever seen, and of what it had read at most one chunk is
//! sent again.
//!
//! The process is this very test program, asked for one test, which does nothing where nobody says where. The file comes to it through a pair of sockets, of
//! which its sender keeps both ends: what is left in there when the process is gone is what it had not read.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use blobs::Blobs;
use store::Store;

use super::*;
use crate::Config;

const FOLDER: &str = "PENSTOCK_TEST_UPLOAD_FOLDER";
/// Kills in one run of the test.
const KILLS: &str = "PENSTOCK_TEST_KILLS";
const USUAL_KILLS: u32 = 12;
/// Longer than a chunk, so that one that begins anew is found out.
const LEN: u32 = 48 << 20;
const _: () = assert!(LEN as u64 > blobs::CHUNK);
const PIECE: usize = 64 << 10;
/// Between two pieces: some 60 MB come in a second.
const PACE: Duration = Duration::from_millis(1);
/// Longer than the whole of a file takes on a busy machine.
const WHOLE: Duration = Duration::from_mins(5);
/// Where the process says at which byte it goes on.
const OFFSET: &str = "offset";
const DIGEST: &str = "digest";

#[expect(clippy::disallowed_methods, reason = "what the parent of this process says")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn sender() -> Sender {
    Sender { who: "ann".to_owned(), may_have: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_takes_it() {
    let Some(folder) = variable(FOLDER).map(PathBuf::from) else { return };
    let store = Store::open(folder.join("penstock.db")).await.expect("a store");
    let kept = blobs::Config { reserve: ByteSize(0), ..blobs::Config::at(folder.join("blobs")) };
    let blobs = Blobs::open(kept).await.expect("blobs");
    let digest: Digest = fs::read_to_string(folder.join(DIGEST)).expect("what is sent").parse().expect("a digest");
    let registry = Registry::keeping(store, Config { base_dir: folder.clone(), ..Config::default() }, Some(blobs));
    let begun = registry.begin_upload(&sender(), &digest, LEN.into()).await.expect("begun");
    fs::write(folder.join("new"), begun.offset.to_string())
        .and_then(|()| fs::rename(folder.join("new"), folder.join(OFFSET)))
        .expect("told");
    if begun.offset == begun.length {
        return;
    }
    let mut receiving = registry.receive(&sender(), &digest, begun.offset).await.expect("open");
    let mut pipe = File::from(io::stdin().as_fd().try_clone_to_owned().expect("a pipe"));
    let mut piece = vec![0; PIECE];
    loop {
        match pipe.read(&mut piece).expect("bytes") {
            0 => break,
            read => receiving.append(Bytes::copy_from_slice(&piece[..read])).await.expect("taken"),
        }
    }
    receiving.end().await.expect("as far as it came");
}

struct Victim(Child);

impl Victim {
    fn start(folder: &Path, pipe: UnixStream) -> Self {
        let mut program = Command::new(std::env::current_exe().expect("this program"));
        program.args(["uploads::tests::the_process_that_takes_it", "--exact", "--quiet"]).env(FOLDER, folder);
        program.stdin(Stdio::from(OwnedFd::from(pipe))).stdout(Stdio::null()).stderr(Stdio::null());
        Self(program.spawn().expect("a process"))
    }

    fn has_ended(&mut self) -> bool {
        let status = self.0.try_wait().expect("a status");
        status.is_some_and(|status| {
            assert!(status.success(), "it failed by itself: {status}");
            true
        })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have come to its end
        let _ = self.0.wait();
    }
}

/// What became of one process.
struct Life {
    /// Where it went on, and how far it has read; nothing if it was killed before it could say.
    went: Option<(u64, u64)>,
    done: bool,
}

/// A process that lives for so long, and is sent the file from where it says.
fn one_life(folder: &Path, bytes: &[u8], time: Duration) -> Life {
    let _ = fs::remove_file(folder.join(OFFSET)); // the first one finds none
    let (mut mine, theirs) = UnixStream::pair().expect("a pipe");
    mine.set_nonblocking(true).expect("it does not wait");
    let mut left = theirs.try_clone().expect("its other end");
    let mut victim = Victim::start(folder, theirs);
    let until = Instant::now() + time;
    let (mut first, mut at, mut done) = (None, 0, false);
    while Instant::now() < until && !done {
        if first.is_none() {
            first = fs::read_to_string(folder.join(OFFSET)).ok().map(|text| text.parse::<usize>().expect("a number"));
            at = first.unwrap_or(0);
        } else if at < bytes.len() {
            match mine.write(&bytes[at..bytes.len().min(at + PIECE)]) {
                Ok(sent) => at += sent,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
            }
        } else {
            mine.shutdown(Shutdown::Write).expect("no more comes");
        }
        sleep(PACE);
        done = victim.has_ended();
    }
    drop(victim);
    left.set_nonblocking(true).expect("it does not wait");
    let (mut rest, mut unread, mut piece) = (true, 0, vec![0; PIECE]);
    while rest {
        let read = left.read(&mut piece).unwrap_or(0);
        (unread, rest) = (unread + read, read > 0);
    }
    Life { went: first.map(|first| (first as u64, (at - unread) as u64)), done }
}

/// Every name that can be seen is that of what is in the file.
fn check(folder: &Path, bytes: &[u8], is_done: bool) {
    let shelves = fs::read_dir(folder.join("blobs/sha256")).into_iter().flatten().flatten();
    let files: Vec<PathBuf> =
        shelves.flat_map(|shelf| fs::read_dir(shelf.path()).into_iter().flatten().flatten()).map(|file| file.path()).collect();
    assert!(files.len() <= 1 && (!is_done || files.len() == 1), "{files:?}");
    for file in files {
        assert_eq!(file.file_name().and_then(|name| name.to_str()), Some(Digest::of(bytes).hex()), "a name that nobody promised");
        assert!(fs::read(&file).expect("bytes") == bytes, "a file that is not whole can be seen");
    }
}

#[test]
fn killed_at_any_moment_it_shows_nothing_wrong_and_is_sent_at_most_one_chunk_again() {
    let kills: u32 = variable(KILLS).and_then(|text| text.parse().ok()).unwrap_or(USUAL_KILLS);
    let (mut killed, mut files, mut most) = (0, 0_u32, 0);
    while killed < kills {
        let bytes: Vec<u8> = (0..LEN).map(|n| ((n ^ files).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(DIGEST), Digest::of(&bytes).to_string()).expect("a note");
        let (mut came, mut done) = (0_u64, false);
        while !done {
            let [low, high] = base::id::random_bytes::<2>();
            let time = Duration::from_millis(20 + u64::from(u16::from_be_bytes([high & 1, low])));
            let is_last = killed >= kills;
            let life = one_life(folder.path(), &bytes, if is_last { WHOLE } else { time });
            check(folder.path(), &bytes, life.done);
            if let Some((first, read)) = life.went {
                let again = came.checked_sub(first).unwrap_or_else(|| panic!("it goes on at {first}, and {came} had come"));
                assert!(again < blobs::CHUNK, "it goes on at {first}, and {came} had come: {again} are sent again");
                (came, most) = (read, most.max(again));
            }
            assert!(life.done || !is_last, "it takes too long");
            done = life.done;
            killed += u32::from(!done);
        }
        files += 1;
    }
    println!("killed {killed} times while {files} files were sent; at most {} were sent again", ByteSize(most));
}
