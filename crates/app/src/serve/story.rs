//! Listens to the story of the engine room: the last errors for `/status`, and `events_file`.
//!
//! In: events. Out: the last failure of each deployment, up to a bound; a line of JSON for each event in the file, from the first one of this start on. What happened before
//! there was anybody to listen, or faster than it could be heard, is read from the store. Fails: at the start, when the file
//! cannot be opened; later a line that cannot be written is logged and lost.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use base::tasks::{self, Task};
use gateway::StatusError;
use spec::{Event, Phase};
use store::{EventQuery, Store};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::rooms::Rooms;
use crate::config::Settings;
use crate::error::Error;

/// What failed, the newest last.
pub(super) type LastErrors = Arc<Mutex<VecDeque<StatusError>>>;

/// The listener.
#[derive(Debug)]
pub(super) struct Story {
    /// What failed, the newest last.
    pub(super) last_errors: LastErrors,
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
pub(super) async fn tell(rooms: &Rooms, settings: &Settings) -> Result<Story, Error> {
    let file = settings.config.events_file.as_ref().map(|path| {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.map_err(|source| Error::Write { path: path.clone(), source })
    });
    let (last_errors, over) = (Arc::default(), CancellationToken::new());
    let (store, heard) = (rooms.store.clone(), rooms.before);
    // Listens before it looks back, so that nothing falls between the two.
    let mut listener =
        Listener { events: rooms.fleet.events(), store, heard, file: file.transpose()?, last_errors: Arc::clone(&last_errors) };
    listener.look_back().await?;
    let task = tasks::spawn("story", listener.listen(over.clone()));
    Ok(Story { last_errors, over, task })
}

struct Listener {
    events: Receiver<Event>,
    store: Store,
    /// The last one that was heard, or read.
    heard: u64,
    file: Option<File>,
    last_errors: LastErrors,
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
                // One that could not be stored has no number.
                Ok(event) if event.id == 0 || event.id > self.heard => self.hear(&event),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    if let Err(error) = self.look_back().await {
                        tracing::warn!(missed, error = base::chain(&error), "events came faster than they could be written");
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// What the store has and was not heard.
    async fn look_back(&mut self) -> Result<(), store::Error> {
        const AT_ONCE: u32 = 500;
        loop {
            let query = EventQuery { after: Some(self.heard), limit: AT_ONCE, ..EventQuery::default() };
            let events = self.store.list_events(query).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                self.hear(event);
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        self.heard = self.heard.max(event.id);
        let failed = event.phase.is_some_and(|(_, to)| to == Phase::Failed);
        if let Some(reason) = event.reason.as_ref().filter(|_| failed) {
            let model_id = event.deployment.as_ref().map(ToString::to_string).unwrap_or_default();
            let whose = if model_id.is_empty() { String::new() } else { format!("{model_id}: ") };
            let message = format!("{whose}{}", reason.message);
            note(&mut self.last_errors.lock().unwrap_or_else(PoisonError::into_inner), StatusError { model_id, message });
        }
        if let Some(file) = &mut self.file {
            append(file, event);
        }
    }
}

/// One of each deployment.
fn note(last: &mut VecDeque<StatusError>, error: StatusError) {
    const MOST: usize = 256;
    last.retain(|other| other.model_id != error.model_id);
    if last.len() >= MOST {
        last.pop_front();
    }
    last.push_back(error);
}

fn append(file: &mut File, event: &Event) {
    let line = serde_json::to_string(event).map(|line| format!("{line}\n"));
    let written = line.map_err(std::io::Error::from).and_then(|line| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        tracing::warn!(%error, "an event could not be written to events_file");
    }
}
