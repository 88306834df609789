//! A shell script in the place of a program.

use std::io::{Error, Result, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes `path` a program: `/bin/sh` with these lines.
///
/// # Errors
/// When the file cannot be written.
pub fn script(path: &Path, lines: &str) -> Result<()> {
    program(path, &format!("#!/bin/sh\n{lines}\n"))
}

/// Makes `path` a program of this text. A child writes it, so that this process never holds it open for
/// writing: what is forked meanwhile elsewhere would inherit that, and for as long the system refuses
/// to run the file (`ETXTBSY`).
///
/// # Errors
/// When the file cannot be written.
pub fn program(path: &Path, text: &str) -> Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = shell.spawn()?;
    if let Some(mut pipe) = writer.stdin.take() {
        pipe.write_all(text.as_bytes())?;
    }
    if writer.wait()?.success() { Ok(()) } else { Err(Error::other(format!("cannot write {}", path.display()))) }
}
