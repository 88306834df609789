//! Hears of changes from every keeper at once.
//!
//! In: the folder of an instance whose keeper answers. Out: a tick at each change of its state and
//! at its end. Fails: never; a keeper that cannot be heard is tried again at the next list. Holds:
//! one connection and one task for each keeper; they stand for "somebody wants this instance" and
//! end with the runtime.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::tasks::{self, Task};
use spec::InstanceId;
use tokio::sync::watch;

use super::talk::Talk;
use crate::folder::Folder;
use crate::protocol::Ask;

/// All open connections.
#[derive(Debug)]
pub(super) struct Watches {
    ticks: watch::Sender<u64>,
    open: Mutex<HashMap<InstanceId, Task>>,
}

impl Watches {
    pub(super) fn new() -> Self {
        Self { ticks: watch::Sender::new(0), open: Mutex::default() }
    }
    /// For those who want to know.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }
    /// Something has changed.
    pub(super) fn tick(&self) {
        tick(&self.ticks);
    }
    /// Watches this keeper, unless it is watched already.
    pub(super) fn watch(&self, folder: &Folder, answer: Duration) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, task| !task.is_finished());
        open.entry(folder.id().clone()).or_insert_with(|| {
            let (folder, ticks) = (folder.clone(), self.ticks.clone());
            tasks::spawn("keeper watch", async move { hear(&folder, answer, &ticks).await })
        });
    }
}

async fn hear(folder: &Folder, answer: Duration, ticks: &watch::Sender<u64>) {
    let talk = Talk { folder, answer };
    let Ok((_, mut line)) = talk.open(&Ask::Subscribe).await else { return };
    // What happened before this connection stood is in the first answer.
    tick(ticks);
    while let Ok(Some(_)) = talk.next(&mut line).await {
        tick(ticks);
    }
    tick(ticks);
}

fn tick(ticks: &watch::Sender<u64>) {
    ticks.send_modify(|count| *count += 1);
}
