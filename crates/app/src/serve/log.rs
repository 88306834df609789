//! The log of a server process, the first lines that a person sees, and the access log.

pub(super) mod access;

mod line;

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::config::{Format, Log, Settings};

/// Rooms of others that say more than anybody wants to know.
const QUIET: &str = "sqlx=warn,hyper=warn,hyper_util=warn,h2=warn,rustls=warn";

/// Starts logging to standard error.
pub fn start(log: &Log) {
    let level = log.level.as_str();
    let filter = EnvFilter::new(format!("{level},{QUIET}"));
    let terminal = std::io::stderr().is_terminal();
    let text = match log.format {
        Format::Text => true,
        Format::Json => false,
        Format::Auto => terminal,
    };
    // A log that nobody reads any more must not take the server down: complaints about it would.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // The first one stands; a second is asked for only by tests.
    let started =
        if text { builder.with_ansi(terminal).with_target(false).try_init() } else { builder.json().flatten_event(true).try_init() };
    drop(started);
}

/// Says where things are.
pub(super) fn greet(url: &str, settings: &Settings) {
    let mut out = std::io::stderr().lock();
    let config = settings.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    let lines = format!(
        "penstock is listening on {url}\n  console   {url}/\n  api docs  {url}/docs\n  data      {}\n  config    {config}\n",
        settings.data_dir().display()
    );
    // Nobody reads a standard error that is closed.
    let _ = out.write_all(lines.as_bytes());
}
