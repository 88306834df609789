//! `penstock run`: talk to a model in the terminal.
//!
//! In: a model's name or file, and a question from the words, from standard input or from a person.
//! Out: the answer as it is made. It starts nothing that it was not asked to: a running server is
//! used; without one it runs one for itself, says so, and takes it down at the end.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

use super::chat::{Answer, ask};
use super::deploy::absolute;
use super::http::Server;
use super::look::path;
use super::out::{line, note, print};
use super::own::Own;
use super::{Failure, Globals};

/// What to talk to.
#[derive(Debug, Args)]
pub struct Run {
    /// A deployment, or a .gguf file
    model: String,
    /// The question; without it, standard input or a talk
    prompt: Vec<String>,
    /// What the model is told first
    #[arg(long)]
    system: Option<String>,
    /// Show tokens and speed after each answer
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(words: &Run, globals: &Globals) -> Result<(), Failure> {
    let running = Server::of(globals)?;
    let own = if running.answers() { None } else { Some(own(words, &running)?) };
    let server = match &own {
        Some(own) => own.server()?,
        None => running,
    };
    let model = model(&server, &words.model)?;
    let mut talk = Talk { server, model, messages: Vec::new(), verbose: words.verbose };
    if let Some(system) = &words.system {
        talk.messages.push(json!({ "role": "system", "content": system }));
    }
    if !words.prompt.is_empty() {
        return talk.turn(&words.prompt.join(" "));
    }
    if !std::io::stdin().is_terminal() {
        let mut question = String::new();
        std::io::stdin().read_to_string(&mut question).map_err(Failure::io("standard input cannot be read"))?;
        return talk.turn(question.trim());
    }
    talk.person()
}

fn own(words: &Run, running: &Server) -> Result<Own, Failure> {
    if !is_file(&words.model) {
        let what = format!("no server answers at {}, and `{}` is not a model file", running.url(), words.model);
        return Err(Failure::Misused { what, hint: "start one with `penstock serve`, or name a .gguf file".to_owned() });
    }
    note(&format!("no server answers at {}: running one for this talk", running.url()));
    Own::start()
}

fn is_file(model: &str) -> bool {
    let bare = model.strip_prefix("file:").unwrap_or(model);
    bare.to_ascii_lowercase().ends_with(".gguf") && Path::new(bare).exists()
}

/// The name to ask for; a file is put into service first, under its own name.
fn model(server: &Server, model: &str) -> Result<String, Failure> {
    if !is_file(model) {
        return Ok(model.to_owned());
    }
    let bare = model.strip_prefix("file:").unwrap_or(model);
    let stem = Path::new(bare).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let wish = json!({ "name": stem, "model": absolute(model) });
    match server.post("/api/v1/deployments", &wish) {
        Ok(_) => note(&format!("{stem}: put into service from {model}")),
        Err(Failure::Refused { status: 409, .. }) => {
            let served = server.get(&path(&stem))?["spec"]["model"].clone();
            if served != wish["model"] {
                note(&format!("{stem}: served already, from {}", super::out::text(&served)));
            }
        }
        Err(other) => return Err(other),
    }
    Ok(stem)
}

struct Talk {
    server: Server,
    model: String,
    messages: Vec<Value>,
    verbose: bool,
}

impl Talk {
    /// One question and its answer.
    fn turn(&mut self, question: &str) -> Result<(), Failure> {
        if question.is_empty() {
            return Err(Failure::Misused { what: "there is no question".to_owned(), hint: "write it after the model's name".to_owned() });
        }
        self.messages.push(json!({ "role": "user", "content": question }));
        let answer = self.ask();
        match answer {
            Ok(answer) => {
                line("")?;
                if self.verbose {
                    note(&answer.summary());
                }
                self.messages.push(json!({ "role": "assistant", "content": answer.text }));
                Ok(())
            }
            Err(failure) => {
                self.messages.pop();
                Err(failure)
            }
        }
    }

    fn ask(&self) -> Result<Answer, Failure> {
        let spinner = indicatif::ProgressBar::new_spinner().with_message(format!("{} is being asked", self.model));
        spinner.enable_steady_tick(TICK);
        let answer = ask(&self.server, &self.model, &self.messages, |piece| {
            spinner.finish_and_clear();
            print(piece).map(|()| true)
        });
        spinner.finish_and_clear();
        answer
    }

    /// A talk with a person, until they leave.
    fn person(&mut self) -> Result<(), Failure> {
        let failed = |error: ReadlineError| Failure::Broken(error.into());
        let mut editor = DefaultEditor::new().map_err(failed)?;
        note("ask something; /clear forgets the talk, /bye or Ctrl-D leaves");
        loop {
            let question = match editor.readline(">>> ") {
                Ok(question) => question,
                Err(ReadlineError::Eof) => return Ok(()),
                Err(ReadlineError::Interrupted) => continue,
                Err(error) => return Err(failed(error)),
            };
            match question.trim() {
                "" => {}
                "/bye" | "/exit" | "/quit" => return Ok(()),
                "/clear" => self.messages.retain(|message| message["role"] == "system"),
                "/help" | "/?" => note("/clear forgets the talk, /bye leaves"),
                question => {
                    let _ = editor.add_history_entry(question); // a full history is no reason to stop
                    if let Err(failure) = self.turn(question) {
                        super::out::complain(&failure);
                    }
                }
            }
        }
    }
}

const TICK: std::time::Duration = std::time::Duration::from_millis(100);
