//! What the program says when it is started like this.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::process::{Process, penstock};
use crate::stage::{Stage, until};

/// A verb, started where the server of this test was, with a folder for temporary files of its own.
pub(super) fn verb(stage: &Stage, words: &[&str]) -> Command {
    let mut command = penstock(stage);
    command.env("TMPDIR", stage.folder()).args(words);
    command
}

pub(super) fn output(stage: &Stage, words: &[&str]) -> Output {
    verb(stage, words).output().expect("penstock")
}

pub(super) fn following(stage: &Stage, words: &[&str]) -> Child {
    verb(stage, words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("penstock")
}

/// The lines that it says, as they come.
pub(super) fn lines(child: &mut Child) -> Receiver<String> {
    let said = BufReader::new(child.stdout.take().expect("a pipe"));
    let (tell, told) = channel();
    std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

pub(super) fn ended(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Verb after verb.
pub(super) struct Terminal<'a> {
    stage: &'a Stage,
    said: String,
}

impl<'a> Terminal<'a> {
    pub(super) fn of(stage: &'a Stage) -> Self {
        Self { stage, said: String::new() }
    }
    /// Standard error first: it is what a person is told beside the output.
    pub(super) fn does(&mut self, words: &[&str]) {
        let output = output(self.stage, words);
        let shown: Vec<String> =
            words.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() }).collect();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let err: String = err.split_inclusive('\n').filter(|line| !is_progress(line.trim_end())).collect();
        let text = format!("$ penstock {}\n{err}{out}[{}]\n\n", shown.join(" "), ended(&output));
        self.said.push_str(&self.redacted(&text));
    }
    pub(super) fn transcript(self) -> String {
        self.said
    }

    /// Without what differs from run to run and from machine to machine.
    fn redacted(&self, text: &str) -> String {
        let models = PathBuf::from(crate::stage::tiny());
        let models = models.parent().expect("a folder").display().to_string();
        let text = text.replace(&self.stage.folder().display().to_string(), "DIR").replace(&models, "MODELS");
        text.lines().map(line).collect()
    }
}

/// How far something is: which of the states are seen is a matter of luck.
fn is_progress(line: &str) -> bool {
    const STATES: [&str; 8] = ["pending", "cold", "starting", "loading", "warming", "ready", "draining", "being changed"];
    line.split_once(": ").is_some_and(|(_, state)| STATES.iter().any(|known| state == *known || state.starts_with(&format!("{known},"))))
}

/// Waits until the server has read the model and found nothing else to do.
pub(super) async fn at_rest(server: &Process, name: &str) {
    let path = format!("/api/v1/deployments/{name}");
    until("it is at rest", async || {
        let reply = server.client.get(&path).await.text;
        (serde_json::from_str::<Value>(&reply).ok()?["status"]["state"] == "cold").then_some(())
    })
    .await;
}

/// Columns that are as wide as their widest number are set apart by two spaces.
fn line(text: &str) -> String {
    let indent = text.len() - text.trim_start().len();
    let mut cells: Vec<String> = Vec::new();
    for cell in text.trim_start().split("  ").map(str::trim).filter(|cell| !cell.is_empty()) {
        let words: Vec<String> = cell.split(' ').map(word).collect();
        let size = |words: &[String]| words.len() == 2 && ["B", "KiB", "MiB", "GiB"].contains(&words[1].as_str());
        cells.push(if size(&words) { "SIZE".to_owned() } else { words.join(" ") });
    }
    format!("{}{}\n", " ".repeat(indent), cells.join("  "))
}

fn word(text: &str) -> String {
    let bare = text.trim_matches(|c: char| "(),;:'\"`".contains(c));
    let is = |test: fn(char) -> bool| !bare.is_empty() && bare.chars().all(test);
    let becomes = match bare {
        _ if bare.starts_with("psk_") => "TOKEN",
        _ if bare.starts_with("sha256:") => "DIGEST",
        _ if bare.contains('T') && bare.ends_with('Z') && bare.starts_with("20") => "TIME",
        _ if bare.strip_suffix('s').is_some_and(|age| !age.is_empty() && age.chars().all(|c| c.is_ascii_digit())) => "AGE",
        _ if [8, 16].contains(&bare.len()) && is(|c| c.is_ascii_hexdigit()) && bare.chars().any(|c| c.is_ascii_digit()) => "ID",
        _ if bare.len() > 2 && is(|c| c.is_ascii_digit()) => "NUMBER",
        _ => match bare.find("127.0.0.1:") {
            Some(at) => {
                let rest = bare[at..].trim_start_matches("127.0.0.1:").trim_start_matches(|c: char| c.is_ascii_digit());
                return text.replace(bare, &format!("{}127.0.0.1:PORT{rest}", &bare[..at]));
            }
            None => return text.to_owned(),
        },
    };
    text.replace(bare, becomes)
}

/// The doctor's checks and how they ended; how much memory a machine has is its own affair.
pub(super) fn verdicts(output: &Output) -> Vec<(&'static str, &'static str)> {
    const CHECKS: [&str; 5] = ["config", "llama-server", "data directory", "server", "token"];
    const VERDICTS: [&str; 3] = ["ok", "warn", "fail"];
    let known = |all: &[&'static str], word: &Value| all.iter().find(|known| *word == **known).copied();
    let all: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let items = all["items"].as_array().expect("a list");
    items.iter().filter_map(|item| Some((known(&CHECKS, &item["check"])?, known(&VERDICTS, &item["verdict"])?))).collect()
}

/// An address where nobody listens.
pub(super) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Somebody else's server: tells the head of the first request, and refuses it.
pub(super) fn listener() -> (u16, Receiver<String>) {
    answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// A server that gives each request this answer and hangs up.
pub(super) fn answering(answer: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).expect("a body");
            stream.write_all(answer.as_bytes()).expect("a reader");
            if tell.send(head).is_err() {
                return;
            }
        }
    });
    (port, heard)
}
