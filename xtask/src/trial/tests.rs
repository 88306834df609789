//! The question and its answer against canned streams.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Subject, Trial, ask, config_text};
use crate::http::tests::canned;
use crate::scratch::Scratch;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

fn answer(events: &str) -> anyhow::Result<(Answer, Vec<String>)> {
    let reply: &'static str = Box::leak(format!("{HEAD}{events}").into_boxed_str());
    let (address, _server) = canned(reply);
    let mut pieces = Vec::new();
    let answer = ask(address, Some("psk_1"), |piece| pieces.push(piece.to_owned()))?;
    Ok((answer, pieces))
}

#[test]
fn the_pieces_of_a_stream_make_the_answer() {
    let (answer, pieces) = answer(concat!(
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}],\"usage\":null}\n\n",
        ": ping\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"It is \"}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Paris.\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\ndata: [DONE]\n\n",
    ))
    .unwrap();
    assert_eq!(pieces, ["It is ", "Paris."]);
    assert_eq!((answer.text.as_str(), answer.tokens), ("It is Paris.", 3));
    assert!(answer.first > Duration::ZERO);
    answer.check().unwrap();
}

#[test]
fn a_stream_that_breaks_is_an_error() {
    let error = answer("data: {\"error\":{\"message\":\"engine died\"}}\n\n").unwrap_err().to_string();
    assert!(error.contains("engine died"), "{error}");
    let error = answer("data: {\"choices\":[{\"delta\":{\"content\":\"It\"}}]}\n\n").unwrap_err().to_string();
    assert!(error.contains("without [DONE], after `It`"), "{error}");
}

#[test]
fn a_wrong_answer_is_refused() {
    let wrong = Answer { text: "The capital of France is Rome.".to_owned(), ..Answer::default() };
    assert!(wrong.check().unwrap_err().to_string().contains("does not name Paris"));
}

#[test]
fn speed_counts_the_whole_call() {
    let answer = Answer { tokens: 10, first: Duration::from_millis(5), rest: Duration::from_millis(15), ..Answer::default() };
    assert!((answer.speed() - 500.0).abs() < 0.01);
}

#[test]
fn a_path_with_odd_characters_stays_one_yaml_string() {
    let text = config_text(Path::new("/a \"b\": c.gguf"), Path::new("/data"));
    assert!(text.contains(r#"model: "file:/a \"b\": c.gguf""#), "{text}");
    assert!(text.contains("data_dir: \"/data\"\n"), "{text}");
}

/// A program in the place of Penstock; `$data` is its data folder.
fn stand_in(dir: &Scratch, script: &str) -> PathBuf {
    dir.program("penstock", &format!("data=$(dirname \"$3\")/data; mkdir \"$data\"\n{script}"))
}

fn start(dir: &Scratch, script: &str) -> anyhow::Result<Trial> {
    let binary = stand_in(dir, script);
    Trial::start(Subject { binary: &binary, model: Path::new("/tiny.gguf"), engine: Some(Path::new("/llama-server")) })
}

/// Says where it listens, then runs until it is told to stop.
fn ready_then(address: SocketAddr, at_the_end: &str) -> String {
    format!("trap '{at_the_end}' TERM; echo psk_2 > $data/admin-token; echo {address} > $data/address; while :; do sleep 0.05; done")
}

#[test]
fn a_server_that_is_ready_is_stopped_cleanly_and_its_folder_is_gone() {
    let dir = Scratch::new("stand-in").unwrap();
    let (address, ready) = canned("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready");
    let trial = start(&dir, &ready_then(address, "exit 0")).unwrap();
    assert!(ready.join().unwrap().starts_with("GET /readyz "));
    assert_eq!((trial.address(), trial.token.as_deref()), (address, Some("psk_2")));
    let folder = trial.folder.path().to_path_buf();
    trial.stop().unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_server_that_does_not_start_is_an_error_with_its_last_words() {
    let dir = Scratch::new("stand-in").unwrap();
    let error = format!("{:#}", start(&dir, "echo \"engine $PENSTOCK_LLAMA_SERVER is missing\"; exit 2").unwrap_err());
    assert!(error.contains("status 2") && error.contains("engine /llama-server is missing"), "{error}");
}

#[test]
fn a_server_that_ends_badly_when_asked_to_stop_is_an_error() {
    let dir = Scratch::new("stand-in").unwrap();
    let (address, _ready) = canned("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready");
    let trial = start(&dir, &ready_then(address, "echo could not flush; exit 1")).unwrap();
    let error = trial.stop().unwrap_err().to_string();
    assert!(error.contains("ended with status Some(1)") && error.contains("could not flush"), "{error}");
}
