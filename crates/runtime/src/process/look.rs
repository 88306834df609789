//! What the folder of an instance says when no keeper answers.
//!
//! In: a folder. Out: how its engine ended, or that its keeper lives and is only slow. Fails: when
//! the folder cannot be read. Holds: the keeper's place in the folder while it acts, so that no
//! keeper starts at the same time. Whoever holds the place knows that there is no keeper; that, and
//! not a process id, is the proof. One look at a time, so that two of them do not take each other
//! for a keeper.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use base::{Timestamp, tasks};
use spec::{Exit, Seen, SeenState};

use super::unseen;
use crate::folder::{Facts, Folder};
use crate::{Error, proc};

const KEEPER_DIED: &str = "the keeper of this instance was killed, and the engine with it";
const NEVER_STARTED: &str = "Penstock ended before the keeper of this instance was started";
const SIGKILL: i32 = 9;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What an earlier launch has left.
#[derive(Debug, Clone, Copy)]
pub(super) enum Before {
    /// A keeper that lives.
    Kept,
    /// An engine that has ended.
    Ended {
        /// The fence of its order.
        fence: u64,
    },
    /// An order that nobody has carried out.
    Ordered {
        /// Its fence.
        fence: u64,
    },
    /// Nothing.
    Nothing,
}

/// The folders of all instances.
pub(super) async fn folders(dir: PathBuf) -> Result<Vec<Folder>, Error> {
    off("list instances", move || Folder::all(&dir)).await
}

/// What stands in the way of a launch.
pub(super) async fn before(folder: Folder) -> Result<Before, Error> {
    off("look at an old order", move || {
        if !folder.path().is_dir() {
            return Ok(Before::Nothing);
        }
        let Some(_place) = folder.lock() else { return Ok(Before::Kept) };
        let Some(order) = folder.order()? else { return Ok(Before::Nothing) };
        let started = folder.facts()?.is_some() || folder.exit()?.is_some();
        Ok(if started { Before::Ended { fence: order.fence } } else { Before::Ordered { fence: order.fence } })
    })
    .await
}

/// How the instance is, as far as its folder says; `None` when there is none.
pub(super) async fn without_keeper(folder: Folder) -> Result<Option<Seen>, Error> {
    off("look at a folder", move || {
        let Some(order) = folder.order()? else { return Ok(None) };
        let facts = folder.facts()?;
        let exit = match (folder.exit()?, folder.lock()) {
            (Some(exit), _) => exit,
            (None, Some(place)) => lost(&folder, facts.as_ref(), &place)?,
            (None, None) => return Ok(folder.path().is_dir().then(|| unseen(order, SeenState::Running, facts.as_ref(), 0))),
        };
        let lines = exit.last_lines.len();
        Ok(Some(unseen(order, SeenState::Exited(exit), facts.as_ref(), lines)))
    })
    .await
}

/// Removes the folder of an instance that has no keeper, and what may be left of its engine. False
/// when it has a keeper.
pub(super) async fn bury(folder: Folder) -> Result<bool, Error> {
    off("bury an instance", move || {
        if !folder.path().is_dir() {
            return Ok(true);
        }
        let Some(_place) = folder.lock() else { return Ok(!folder.path().is_dir()) };
        proc::kill_tagged(folder.id());
        folder.remove()?;
        Ok(true)
    })
    .await
}

/// Removes a folder that holds no order: of a launch that had not yet begun, or an end that was nearly done, when
/// Penstock was killed; or one that cannot be understood, as a loss of power leaves it. It stays while somebody has its place.
pub(super) fn sweep(folder: &Folder) {
    let swept = match (folder.order(), folder.lock()) {
        (Ok(None), Some(_place)) => folder.remove(),
        (Err(error @ Error::Garbled { .. }), Some(_place)) => {
            tracing::warn!(instance = %folder.id(), error = base::chain(&error), "an instance's folder is of no use and goes; nobody keeps it");
            proc::kill_tagged(folder.id());
            folder.remove()
        }
        _ => return,
    };
    if let Err(error) = swept {
        tracing::warn!(instance = %folder.id(), error = base::chain(&error), "an empty folder could not be removed; the next start tries again");
    }
}

/// The exit of an engine whose keeper is gone without a word; written down, so that it stays the same.
fn lost(folder: &Folder, facts: Option<&Facts>, _place: &File) -> Result<Exit, Error> {
    proc::kill_tagged(folder.id());
    let (last_lines, at) = (Vec::new(), Timestamp::now());
    let mut exit = Exit { code: None, signal: None, asked: false, spawn_error: None, last_lines, at, lost: facts.is_some() };
    if exit.lost {
        exit.signal = Some(SIGKILL);
        exit.last_lines.push(KEEPER_DIED.to_owned());
    } else {
        exit.spawn_error = Some(NEVER_STARTED.to_owned());
    }
    folder.write_exit(&exit)?;
    Ok(exit)
}

async fn off<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let alone = move || {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    };
    let done = tasks::blocking(name, alone).await;
    done.unwrap_or_else(|| Err(Error::Io { what: name, path: "instances".into(), source: io::ErrorKind::Interrupted.into() }))
}
