//! A server for one verb: started by `run` when none answers, and gone with it.
//!
//! In: this binary. Out: a server on a free loopback port with a data directory of its own. Fails:
//! with the server's own words. Holds: the process, on a leash: its standard input is a pipe from
//! here. However this program ends, also by a signal, the pipe closes, and the server ends its
//! engines and removes its directory. It sits in a process group of its own, so that Ctrl-C does not
//! reach it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Failure;
use super::http::{Server, address_of, token_of};

/// A server of our own.
#[derive(Debug)]
pub(crate) struct Own {
    child: Child,
    dir: PathBuf,
    server: Option<Server>,
}

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

impl Own {
    /// Starts it and waits until it answers.
    pub(crate) fn start() -> Result<Self, Failure> {
        let failed = || Failure::io("a server of our own cannot be started");
        let dir = std::env::temp_dir().join(format!("penstock-run-{}", base::id::random_hex(12)));
        let program = std::env::current_exe().map_err(failed())?;
        let child = Command::new(program)
            .args(["serve", "--temporary", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir)
            // It makes its own, in its directory.
            .env_remove("PENSTOCK_ADMIN_TOKEN")
            .env_remove("PENSTOCK_MASTER_KEY")
            .env_remove("PENSTOCK_MASTER_KEY_FILE")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        let mut own = Self { child, dir, server: None };
        own.await_address()?;
        Ok(own)
    }
    /// The server.
    pub(crate) fn server(&self) -> Result<Server, Failure> {
        self.server.clone().ok_or_else(|| Failure::Failed { what: "our own server has no address".to_owned(), hint: String::new() })
    }

    fn await_address(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + START;
        while Instant::now() < until {
            if let Ok(Some(_)) = self.child.try_wait() {
                let mut words = String::new();
                let _ = self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut words)); // what can be read
                return Err(ended(&words));
            }
            if let Some(url) = address_of(&self.dir) {
                let server = Server::at(&url, token_of(&self.dir))?;
                if server.alive().is_ok() {
                    self.drain_words();
                    self.server = Some(server);
                    return Ok(());
                }
            }
            std::thread::sleep(LOOK);
        }
        Err(Failure::Failed { what: "our own server did not answer in time".to_owned(), hint: "try `penstock serve`".to_owned() })
    }

    /// Its log must not fill the pipe.
    fn drain_words(&mut self) {
        if let Some(pipe) = self.child.stderr.take() {
            std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(drop));
        }
    }
}

/// Its own words about why it ended.
fn ended(words: &str) -> Failure {
    let said = |start: &str| words.lines().find_map(|line| line.strip_prefix(start)).map(|line| line.trim().to_owned());
    let what = said("error:").unwrap_or_else(|| words.trim().to_owned());
    Failure::Failed {
        what: format!("our own server could not be started: {what}"),
        hint: said("hint:").unwrap_or_else(|| "try `penstock serve`".to_owned()),
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.child.stdin.take()); // the leash
        let until = Instant::now() + END;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill(); // it had its time
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir); // usually gone already
    }
}
