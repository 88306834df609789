//! Starts a keeper that outlives us.
//!
//! In: a folder and an order. Out: a keeper whose socket stands. Fails: with the keeper's own words;
//! then nothing is left behind. Holds: the wait for the keeper's word, at most `config.start`; a task
//! that reaps the keeper when it ends, so that it never becomes a zombie of ours.

use std::fs;
use std::process::Stdio;

use base::tasks;
use spec::Order;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::{Config, look};
use crate::folder::{self, Folder};
use crate::keeper::setup::READY;
use crate::{Error, environment};

/// A keeper that cannot come up says a line or two.
const MOST_WORDS: u64 = 4096;

/// Writes the order and starts its keeper; returns when the keeper can be asked.
pub(super) async fn keeper(config: &Config, folder: &Folder, order: &Order) -> Result<(), Error> {
    let (ours, theirs) = (folder.clone(), order.clone());
    let prepared = tasks::blocking("write an order", move || {
        ours.create()?;
        ours.write_order(&theirs)?;
        folder::private_file(&ours.keeper_log()).map_err(Error::io("create", ours.keeper_log()))
    });
    let log = prepared.await.unwrap_or_else(|| Err(Error::NotFound(folder.id().clone())))?;
    let mut child = match spawn(config, folder, log) {
        Ok(child) => child,
        Err(source) => {
            clear(folder).await;
            return Err(Error::Io { what: "start", path: config.own.clone(), source });
        }
    };
    let said = match child.stdout.take() {
        Some(stdout) => timeout(config.start, first_words(stdout)).await.ok(),
        None => None,
    };
    if said.as_deref() == Some(READY) {
        tasks::spawn("keeper reaper", reap(child)).detach();
        return Ok(());
    }
    Err(failed(config, folder, child, said.is_none()).await)
}

fn spawn(config: &Config, folder: &Folder, log: fs::File) -> std::io::Result<Child> {
    Command::new(&config.own)
        .arg("keep")
        .arg(folder.path())
        .env_clear()
        .envs(environment::passed())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

async fn first_words(stdout: ChildStdout) -> String {
    let mut words = String::new();
    // What cannot be read was not said.
    let _ = BufReader::new(stdout).take(MOST_WORDS).read_line(&mut words).await;
    words.trim_end().to_owned()
}

async fn failed(config: &Config, folder: &Folder, mut child: Child, late: bool) -> Error {
    let _ = child.start_kill();
    let _ = child.wait().await;
    let words = fs::read_to_string(folder.keeper_log()).unwrap_or_default();
    clear(folder).await;
    let words = match (words.trim(), late) {
        (_, true) => format!("it said nothing for {:?}", config.start),
        ("", false) => "it ended without a word".to_owned(),
        (words, false) => words.to_owned(),
    };
    Error::Keeper { id: folder.id().clone(), words }
}

/// Unless another keeper has the place.
async fn clear(folder: &Folder) {
    if let Err(error) = look::bury(folder.clone()).await {
        tracing::warn!(error = base::chain(&error), "cannot clear away a failed start");
    }
}

async fn reap(mut keeper: Child) {
    if let Ok(status) = keeper.wait().await
        && !status.success()
    {
        tracing::warn!(%status, "a keeper ended badly");
    }
}
