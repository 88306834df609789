//! Penstock as a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Client;
use crate::stage::{Stage, until};

/// The program under test.
pub(crate) fn penstock(stage: &Stage) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.env_clear().envs(stage.variables()).current_dir(stage.folder()).stdin(Stdio::null());
    command
}

/// A server; dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(stage: &Stage, config: &str) -> Self {
        Self::start_with(stage, config, &[]).await
    }

    pub(crate) async fn start_with(stage: &Stage, config: &str, variables: &[(&str, &str)]) -> Self {
        Self::begin(stage, &stage.write_config(config), &[], variables).await
    }

    /// With a file of any format, and flags.
    pub(crate) async fn start_as(stage: &Stage, file: &Path, flags: &[String]) -> Self {
        Self::begin(stage, file, flags, &[]).await
    }

    async fn begin(stage: &Stage, file: &Path, flags: &[String], variables: &[(&str, &str)]) -> Self {
        let log = stage.folder().join("log");
        let address = stage.data_dir().join("address");
        // One that was killed has left its address behind.
        drop(std::fs::remove_file(&address));
        let out = File::create(&log).expect("a log");
        let mut command = penstock(stage);
        command.args(["serve", "--config"]).arg(file).args(flags).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(out).spawn().expect("penstock");
        let address: SocketAddr = until("it listens", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("it ended with {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::fs::read_to_string(&address).ok()?.trim().parse().ok()
        })
        .await;
        Self { child, log, address, client: Client::new(address, stage.token()) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("it lives");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("it has ended", async || child.try_wait().expect("a child of ours")).await
    }

    /// All that it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
