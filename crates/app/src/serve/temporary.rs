//! A server that lives only as long as the program that started it.
//!
//! In: a folder that is not there yet; a standard input that the other program holds open. Out: the
//! folder, gone when this is dropped; a leash that is let go when the input ends, which it does
//! however the other program ends. Fails: when the folder is there already, since what is in it would
//! be lost.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, Settings};
use crate::error::Error;

const PRIVATE: u32 = 0o700;

/// The folder of a temporary server.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    leash: CancellationToken,
}

impl Temporary {
    /// Makes it.
    pub fn make(path: PathBuf) -> Result<Self, Error> {
        match DirBuilder::new().mode(PRIVATE).create(&path) {
            Ok(()) => Ok(Self { path, leash: leash() }),
            Err(source) => Err(Error::DataDir { path, source }),
        }
    }

    /// Let go when standard input ends.
    pub(super) fn leash(&self) -> CancellationToken {
        self.leash.clone()
    }
}

fn leash() -> CancellationToken {
    let leash = CancellationToken::new();
    let let_go = leash.clone();
    // A read of standard input cannot be given up; the thread ends with the process.
    let watching = std::thread::Builder::new().name("leash".to_owned()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink()); // an input that breaks has ended
        let_go.cancel();
    });
    if let Err(error) = watching {
        tracing::error!(%error, "standard input cannot be watched");
        leash.cancel();
    }
    leash
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the temporary folder could not be removed");
        }
    }
}

impl Settings {
    /// The same machine with nothing to serve, nobody to tell and nothing to leave behind.
    pub(crate) fn for_a_while(self) -> Self {
        let Config { listen, data_dir, log, engines, memory, vram_budget_mb, vram_margin_mb, llama_bin, llama_threads, .. } = self.config;
        let machine = Config {
            listen,
            data_dir,
            log,
            engines,
            memory,
            vram_budget_mb,
            vram_margin_mb,
            llama_bin,
            llama_threads,
            ..Config::default()
        };
        Self { config: machine, ..self }
    }
}

#[cfg(test)]
mod tests;
