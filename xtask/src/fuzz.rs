//! Feeds a reader with broken input, to see that it refuses instead of failing.
//!
//! In: for how long. Out: success when every input was read or refused. Fails: with the input that
//! broke the reader, as the room's own fuzz binary tells it.

use anyhow::Result;

use crate::site::Site;
use crate::{say, shell};

/// Runs the GGUF reader's fuzzer.
pub(crate) fn gguf(site: &Site, seconds: u32) -> Result<()> {
    say::step(&format!("feeding the GGUF reader with broken files for {seconds} s"));
    let mut fuzz = site.cargo();
    fuzz.args(["run", "-p", "gguf", "--bin", "gguf-fuzz", "--", "--seconds", &seconds.to_string()]);
    shell::run(&mut fuzz)
}
