//! What the person at the terminal sees.
//!
//! In: headings, notes, progress. Out: lines on stderr; on a terminal one line that is rewritten,
//! else a line every ten seconds, so that a log stays short. stdout carries only results.
//! Fails: never; a closed terminal is no reason to stop. Holds: the clock, to space the lines.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often progress is told where lines cannot be rewritten.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How often a line is rewritten on a terminal.
const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// A rewritten line is cut to this width, so that it does not wrap.
const WIDTH: usize = 100;

/// A step begins.
pub(crate) fn step(text: &str) {
    line(&format!("==> {text}"));
}

/// Something worth knowing within a step.
pub(crate) fn note(text: &str) {
    line(&format!("    {text}"));
}

/// One line on stderr, as it is.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One line of result on stdout.
pub(crate) fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Text on stdout without a line end, shown at once.
pub(crate) fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}");
    let _ = out.flush();
}

/// `4.2 s`, `3 min 12 s`.
pub(crate) fn took(time: Duration) -> String {
    const MINUTE_SECS: u64 = 60;
    if time.as_secs() < MINUTE_SECS {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", time.as_secs() / MINUTE_SECS, time.as_secs() % MINUTE_SECS)
    }
}

/// `14.3 MB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Progress of one long piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    rewrites: bool,
    shown: Option<Instant>,
    open: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        Self { rewrites: std::io::stderr().is_terminal(), shown: None, open: false }
    }

    /// Shows how far the work is, if it is time to.
    pub(crate) fn tell(&mut self, text: &str) {
        let every = if self.rewrites { REDRAW_EVERY } else { LOG_EVERY };
        if self.shown.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let text: String = text.chars().take(WIDTH).collect();
        if self.rewrites {
            self.open = true;
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K    {text}");
        } else {
            note(&text);
        }
    }

    /// Wipes the rewritten line, so that other text may be printed.
    pub(crate) fn clear(&mut self) {
        if self.open {
            self.open = false;
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
