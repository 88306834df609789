//! `penstock run`: with a server and without one, asked by a script and by a person.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ECHO;
use super::said::{answering, ended, output, verb};
use crate::process::Process;
use crate::stage::{PATIENCE, Stage, lazy, tiny, until};

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_answers_from_words_and_from_a_pipe() {
    let Some(stage) = Stage::with_engine() else { return };
    let _server = Process::start(&stage, &lazy()).await;
    let words = output(&stage, &["run", "tiny", QUESTION, "--verbose"]);
    assert_eq!(String::from_utf8_lossy(&words.stdout), ANSWER, "{words:?}");
    let numbers = String::from_utf8_lossy(&words.stderr).into_owned();
    assert!(numbers.contains("tokens out") && numbers.contains("tokens/s"), "{numbers}");
    let json = output(&stage, &["run", "tiny", QUESTION, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((json["answer"].as_str(), json["finish_reason"].as_str()), (Some(ANSWER.trim()), Some("stop")));
    let mut piped = verb(&stage, &["run", "tiny"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("penstock");
    writeln!(piped.stdin.take().expect("a pipe"), "{QUESTION}").expect("a reader");
    let piped = piped.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&piped.stdout), ANSWER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_words_is_misuse() {
    let stage = Stage::new();
    let _server = Process::start(&stage, ECHO).await;
    let nothing = output(&stage, &["run", "parrot"]);
    assert_eq!((ended(&nothing), String::from_utf8_lossy(&nothing.stderr).lines().next()), (2, Some("error: there is no question")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_talks_at_a_terminal() {
    let stage = Stage::new();
    let _server = Process::start(&stage, ECHO).await;
    if !std::path::Path::new("/usr/bin/script").exists() {
        println!("skipped: no script, which makes a terminal");
        return;
    }
    let mut command = verb(&stage, &[]);
    let program = command.get_program().to_string_lossy().into_owned();
    let variables: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = std::process::Command::new("/usr/bin/script");
    command.args(["-qec", &format!("{program} run parrot"), "/dev/null"]).env_clear().envs(variables).env("TERM", "xterm");
    let mut talk = command.current_dir(stage.folder()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
    let (mut keys, mut screen) = (talk.stdin.take().expect("a pipe"), Screen::of(talk.stdout.take().expect("a pipe")));
    screen.shows("/bye or Ctrl-D leaves");
    for (typed, shown) in
        [("polly wants this", "\npolly wants this\r\n"), ("/help", "Ctrl-C    ends an answer"), ("/clear", "the talk is forgotten")]
    {
        screen.shows(">>> ");
        writeln!(keys, "{typed}").expect("a reader");
        screen.shows(shown);
    }
    screen.shows(">>> ");
    writeln!(keys, "/bye").expect("a reader");
    assert!(talk.wait().expect("an end").success());
}

/// What a terminal shows, piece by piece.
struct Screen {
    pieces: Receiver<Vec<u8>>,
    seen: String,
}

impl Screen {
    fn of(mut shown: ChildStdout) -> Self {
        let (tell, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = shown.read(&mut piece) {
                if tell.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { pieces, seen: String::new() }
    }
    /// Waits for these words, and forgets what stood before them. The spinner's line is wiped.
    fn shows(&mut self, words: &str) {
        const WIPE: &str = "\u{1b}[2K";
        while !self.seen.contains(words) {
            let piece = self.pieces.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("waited for {words:?}, saw {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&piece).replace(WIPE, "\n"));
        }
        self.seen = self.seen.split_once(words).expect("it is there").1.to_owned();
    }
}

#[test]
fn an_answer_that_breaks_off_ends_with_a_failure() {
    let stage = Stage::new();
    let (port, _heard) = answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"choices\":[{\"delta\":{\"content\":\"The capital\"}}]}\n\n",
    );
    let broken = output(&stage, &["run", "x", QUESTION, "--server", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(String::from_utf8_lossy(&broken.stdout), "The capital\n");
    assert_eq!((ended(&broken), String::from_utf8_lossy(&broken.stderr).lines().next()), (1, Some("error: the answer broke off")));
}

#[test]
fn an_error_in_the_middle_of_an_answer_is_told_and_ends_with_a_failure() {
    let stage = Stage::new();
    let (port, _heard) = answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         data: {\"choices\":[{\"delta\":{\"content\":\"The\"}}]}\n\ndata: {\"error\":{\"message\":\"the engine ended\"}}\n\n",
    );
    let broken = output(&stage, &["run", "x", QUESTION, "--server", &format!("http://127.0.0.1:{port}")]);
    assert_eq!((ended(&broken), String::from_utf8_lossy(&broken.stderr).trim()), (1, "error: the engine ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_served_for_one_talk_and_nothing_is_left_behind() {
    let Some(stage) = Stage::with_engine() else { return };
    let alone = output(&stage, &["run", &tiny(), QUESTION]);
    assert_eq!(String::from_utf8_lossy(&alone.stdout), ANSWER, "{alone:?}");
    assert!(String::from_utf8_lossy(&alone.stderr).starts_with("no server answers at http://127.0.0.1:8080: running one for this talk"));
    assert_eq!(left(&stage), Vec::<String>::new());
}

#[test]
fn a_file_that_is_no_model_is_refused_and_nothing_is_left_behind() {
    let stage = Stage::new();
    std::fs::write(stage.folder().join("letter.gguf"), "Dear model,\n").expect("a file");
    let refused = output(&stage, &["run", "letter.gguf", QUESTION]);
    assert_eq!(ended(&refused), 2, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a usable model"), "{refused:?}");
    assert_eq!(left(&stage), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_that_is_killed_takes_its_server_and_engine_along() {
    let Some(stage) = Stage::with_engine() else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let mut talk = verb(&stage, &["run", &tiny()]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("penstock");
        until("its engine runs", async || engine_runs(&stage).then_some(())).await;
        end(&mut talk, signal);
        until("nothing is left", async || left(&stage).is_empty().then_some(())).await;
    }
}

fn end(talk: &mut Child, signal: Signal) {
    kill(Pid::from_raw(talk.id().cast_signed()), signal).expect("it lives");
    talk.wait().expect("a child of ours");
}

fn engine_runs(stage: &Stage) -> bool {
    processes(stage).iter().any(|words| words.contains("llama-server") && words.contains("e.sock"))
}

/// Folders and processes of a server that `run` started here.
fn left(stage: &Stage) -> Vec<String> {
    let names =
        std::fs::read_dir(stage.folder()).expect("a folder").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("penstock-run-")).chain(processes(stage)).collect()
}

/// The command lines of processes that work in this test's folder.
fn processes(stage: &Stage) -> Vec<String> {
    let here = stage.folder().join("penstock-run-").display().to_string();
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let words = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    words.map(|words| String::from_utf8_lossy(&words).replace('\0', " ")).filter(|words| words.contains(&here)).collect()
}
