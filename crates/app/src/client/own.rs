//! A server for one verb: started by `run` when none answers, and gone with it.
//!
//! In: this binary. Out: a server on a free loopback port with a data directory of its own. Fails:
//! with the server's own words. Holds: the process; dropping it ends the server and its engines.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Failure;
use super::http::{Server, token_of};

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
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir)
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
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
            if let Ok(Some(status)) = self.child.try_wait() {
                let mut words = String::new();
                let _ = self.child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut words)); // what can be read
                return Err(Failure::Failed {
                    what: format!("our own server ended with {status}: {}", words.trim()),
                    hint: "try `penstock serve`".to_owned(),
                });
            }
            if let Ok(address) = std::fs::read_to_string(self.dir.join("address")) {
                let server = Server::at(&format!("http://{}", address.trim().trim_start_matches("http://")), token_of(&self.dir))?;
                if server.answers() {
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

impl Drop for Own {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM); // it may have ended
        }
        let until = Instant::now() + END;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill(); // it had its time
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
