//! The fake engine as a process: how it is asked for its flags, how it loads, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gguf::sample::Sample;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fake-engine");
const PATIENCE: Duration = Duration::from_mins(2);

/// One engine in a folder of its own; dropping it kills it.
struct Engine {
    child: Child,
    socket: PathBuf,
    folder: TempDir,
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Engine {
    fn start(does: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (model, socket) = (folder.path().join("m.gguf"), folder.path().join("e.sock"));
        std::fs::write(&model, Sample::llama().header()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--model").arg(&model).arg("--host").arg(&socket).args(["--alias", "m", "--ctx-size", "64"]);
        command.env_clear().envs(does.iter().map(|(what, value)| (format!("FAKE_ENGINE_{what}"), value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, socket, folder }
    }
    /// The status of a GET, once the socket is there.
    fn get(&self, path: &str) -> u16 {
        let mut stream = until("it listens", || UnixStream::connect(&self.socket).ok());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        status(&mut stream)
    }
    /// A stream under way.
    fn stream(&self) -> UnixStream {
        const BODY: &str = r#"{"messages":[{"role":"user","content":"count"}],"stream":true}"#;
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let length = BODY.len();
        write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{BODY}").unwrap();
        assert_eq!(status(&mut stream), 200);
        stream
    }
    fn term(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    }
    fn ended(&mut self) -> ExitStatus {
        until("it has ended", || self.child.try_wait().unwrap())
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn status(stream: &mut UnixStream) -> u16 {
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    String::from_utf8_lossy(&first).rsplit(' ').next().unwrap().parse().unwrap()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn said(flag: &str) -> String {
    let output = Command::new(PROGRAM).arg(flag).env_clear().output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_says_its_version_and_its_flags_and_refuses_what_it_does_not_know() {
    assert!(said("--version").starts_with("version: "));
    assert!(said("--help").contains("-m, --model FNAME"));
    let refused = Command::new(PROGRAM).arg("--not-a-flag").output().unwrap();
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b"error: invalid argument: --not-a-flag\n"[..]));
    let mut engine = Engine::start(&[("CRASH_AT_TOKN", "3")]);
    assert_eq!(engine.ended().code(), Some(2), "a fault that is not played would not be noticed");
}

#[test]
fn it_answers_503_while_it_loads_and_term_kills_it_then() {
    let mut engine = Engine::start(&[("LOAD", "1m")]);
    assert_eq!((engine.get("/health"), engine.get("/v1/models")), (503, 503));
    engine.term();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&engine.ended()), Some(Signal::SIGTERM as i32));
}

#[test]
fn term_ends_it_when_nobody_is_answered_and_a_second_one_when_somebody_is() {
    let mut idle = Engine::start(&[]);
    until("it is up", || (idle.get("/health") == 200).then_some(()));
    idle.term();
    assert_eq!(idle.ended().code(), Some(0), "{}", idle.log());

    let mut busy = Engine::start(&[("TOKENS", "1000"), ("TOKENS_PER_SECOND", "20")]);
    until("it is up", || (busy.get("/health") == 200).then_some(()));
    let _stream = busy.stream();
    busy.term();
    until("it has heard", || busy.log().contains("cleaning up").then_some(()));
    assert!(busy.child.try_wait().unwrap().is_none(), "it hangs, as llama-server does");
    busy.term();
    assert_eq!(busy.ended().code(), Some(1), "{}", busy.log());
}
