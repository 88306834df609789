//! Listens to the story of the engine room: the last error for `/status`, and `events_file`.
//!
//! In: events. Out: the last failure; a line of JSON for each event in the file. Fails: at the
//! start, when the file cannot be opened; later a line that cannot be written is logged and lost.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base::tasks::{self, Task};
use spec::{Event, Phase};
use store::Store;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::rooms::Rooms;
use crate::config::Settings;
use crate::error::Error;

/// The listener.
#[derive(Debug)]
pub(super) struct Story {
    /// What failed last.
    pub(super) last_error: Arc<Mutex<Option<String>>>,
    over: CancellationToken,
    task: Task,
}

impl Story {
    /// What has happened until now is still written; then it is over.
    pub(super) async fn end(self) {
        self.over.cancel();
        self.task.join().await;
    }
}

/// Puts events into the story that happen before there is anybody to listen.
pub(super) async fn tell_at_start(store: &Store, events: Vec<Event>) -> Result<(), store::Error> {
    for event in &events {
        tracing::info!(deployment = event.deployment.as_ref().map(ToString::to_string), "{}", event.message);
    }
    store.append_events(&events).await.map(drop)
}

/// Begins to listen.
pub(super) fn tell(rooms: &Rooms, settings: &Settings) -> Result<Story, Error> {
    let file = settings.config.events_file.as_ref().map(|path| {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|source| Error::Write { path: path.clone(), source })
    });
    let (last_error, over) = (Arc::default(), CancellationToken::new());
    let listener = Listener { events: rooms.fleet.events(), file: file.transpose()?, last_error: Arc::clone(&last_error) };
    let task = tasks::spawn("story", listener.listen(over.clone()));
    Ok(Story { last_error, over, task })
}

struct Listener {
    events: Receiver<Event>,
    file: Option<File>,
    last_error: Arc<Mutex<Option<String>>>,
}

impl Listener {
    async fn listen(mut self, over: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                next = self.events.recv() => next,
                () = over.cancelled() => return,
            };
            match next {
                Ok(event) => self.hear(&event),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "events came faster than they could be written"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        let failed = event.phase.is_some_and(|(_, to)| to == Phase::Failed);
        if let Some(reason) = event.reason.as_ref().filter(|_| failed) {
            let whose = event.deployment.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{whose}{}", reason.message));
        }
        if let Some(file) = &mut self.file {
            append(file, event);
        }
    }
}

fn append(file: &mut File, event: &Event) {
    let line = serde_json::to_string(event).map(|line| format!("{line}\n"));
    let written = line.map_err(std::io::Error::from).and_then(|line| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        tracing::warn!(%error, "an event could not be written to events_file");
    }
}
