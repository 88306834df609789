//! A talk: questions and answers that know of each other.
//!
//! In: questions, one by one or from a person at a terminal. Out: answers as they are made. Fails: as
//! the answer does; the question is then forgotten, so that it can be asked again. Ctrl-C ends the
//! answer, not the talk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::json;

use super::chat::{Answer, Question, ask, broke_off};
use super::look::near;
use super::out::{answer, complain, foreign, line, note};
use super::{Failure, Output};

/// A talk with one model.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) question: Question,
    pub(crate) verbose: bool,
    pub(crate) output: Output,
    interrupted: Arc<AtomicBool>,
}

/// Pieces that are made and not yet printed.
const AHEAD: usize = 256;
/// Between two looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// What comes from the thread that asks.
enum Said {
    Piece(String),
    End(Result<Answer, Failure>),
}

impl Talk {
    pub(crate) fn new(question: Question, verbose: bool, output: Output) -> Self {
        Self { question, verbose, output, interrupted: Arc::default() }
    }

    /// One question and its answer.
    pub(crate) fn turn(&mut self, words: &str) -> Result<(), Failure> {
        if words.is_empty() {
            return Err(Failure::Misused { what: "there is no question".to_owned(), hint: "write it after the model's name".to_owned() });
        }
        self.question.messages.push(json!({ "role": "user", "content": words }));
        match self.ask() {
            Ok(said) => {
                self.show(&said)?;
                if said.text.is_empty() {
                    self.question.messages.pop();
                } else {
                    self.question.messages.push(json!({ "role": "assistant", "content": said.text }));
                }
                Ok(())
            }
            Err(failure) => {
                self.question.messages.pop();
                Err(failure)
            }
        }
    }

    /// What is left to show when all pieces are printed.
    fn show(&self, said: &Answer) -> Result<(), Failure> {
        match self.output {
            Output::Table => line("")?,
            other => answer(other, &said.document(&self.question.model), |_| String::new())?,
        }
        if said.finish_reason == "length" {
            note("the answer was cut: the model's context is full, or a limit on tokens was reached");
        }
        if self.verbose {
            note(&said.summary());
        }
        Ok(())
    }

    /// The answer; what there is of it when it was interrupted.
    fn ask(&self) -> Result<Answer, Failure> {
        let (tell, said) = sync_channel(AHEAD);
        let server = self.question.server.apart();
        let (question, began) = (Question { server: server.clone(), ..self.question.clone() }, Instant::now());
        let asking = std::thread::Builder::new().name("ask".to_owned()).spawn(move || tell_all(&question, &tell));
        asking.map_err(Failure::io("a thread cannot be started"))?;
        let spinner = spinner(&self.question.model);
        let mut cut_short = String::new();
        let ended = loop {
            if self.interrupted.swap(false, Ordering::Relaxed) {
                server.hang_up();
                spinner.finish_and_clear();
                return Ok(Answer { text: cut_short, whole: began.elapsed(), ..Answer::default() });
            }
            match said.recv_timeout(LOOK) {
                Ok(Said::Piece(piece)) => {
                    spinner.finish_and_clear();
                    cut_short.push_str(&piece);
                    if self.output == Output::Table {
                        foreign(&piece)?;
                    }
                }
                Ok(Said::End(ended)) => break ended,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Err(broke_off()),
            }
        };
        spinner.finish_and_clear();
        if ended.is_err() && !cut_short.is_empty() && self.output == Output::Table {
            line("")?; // the complaint stands on a line of its own
        }
        ended
    }

    /// A talk with a person, until they leave.
    pub(crate) fn person(&mut self) -> Result<(), Failure> {
        let failed = |error: ReadlineError| Failure::Broken(error.into());
        let mut editor = DefaultEditor::new().map_err(failed)?;
        listen(Arc::clone(&self.interrupted))?;
        note("ask something; /help shows what else can be said, /bye or Ctrl-D leaves");
        loop {
            let words = match editor.readline(">>> ") {
                Ok(words) => words,
                Err(ReadlineError::Eof) => return Ok(()),
                Err(ReadlineError::Interrupted) => {
                    note("/bye or Ctrl-D leaves");
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            self.interrupted.store(false, Ordering::Relaxed);
            match words.trim() {
                "" => {}
                "/bye" | "/exit" | "/quit" => return Ok(()),
                "/clear" => self.forget(),
                "/verbose" => self.verbose = !self.verbose,
                "/help" | "/?" => note(HELP),
                unknown if unknown.starts_with('/') && !unknown.contains(' ') => note(HELP),
                words => {
                    let _ = editor.add_history_entry(words); // a full history is no reason to stop
                    if let Err(failure) = self.turn(words) {
                        complain(&near(&self.question.server, &self.question.model, failure));
                    }
                }
            }
        }
    }

    fn forget(&mut self) {
        self.question.messages.retain(|message| message["role"] == "system");
        note("the talk is forgotten");
    }
}

const HELP: &str = "\
/clear    forgets the talk
/verbose  shows tokens and speed after each answer, or no longer
/bye      leaves (or Ctrl-D)
Ctrl-C    ends an answer";

/// Asks, and tells how it goes until nobody listens any more.
fn tell_all(question: &Question, tell: &SyncSender<Said>) {
    let ended = ask(question, |piece| tell.send(Said::Piece(piece.to_owned())).map_err(|_nobody_listens| broke_off()));
    let _ = tell.send(Said::End(ended)); // interrupted: nobody waits for the end
}

fn spinner(model: &str) -> ProgressBar {
    const TICK: Duration = Duration::from_millis(100);
    let spinner = ProgressBar::new_spinner().with_message(format!("waiting for {model}"));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TICK);
    spinner
}

/// From now on Ctrl-C ends an answer, not this program.
fn listen(interrupted: Arc<AtomicBool>) -> Result<(), Failure> {
    let failed = || Failure::io("Ctrl-C cannot be listened for");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed())?;
    let entered = runtime.enter();
    let mut presses = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map_err(failed())?;
    drop(entered);
    let listening = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            while presses.recv().await.is_some() {
                interrupted.store(true, Ordering::Relaxed);
            }
        });
    });
    listening.map(drop).map_err(failed())
}
