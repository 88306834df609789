//! The story so far: events on their way to the log, the store and those who listen.
//!
//! In: events of one turn. Out: stored in one batch, then sent to listeners with their numbers.
//! Fails: what a store cannot take is kept for the next turn, up to a number; the turn goes on, since serving matters more. A store that
//! took a batch and could not say so has it twice.

use spec::{Event, EventKind, Phase};
use tokio::sync::broadcast;

use crate::seam::Store;

/// Events that a slow listener may lag behind before it loses the oldest.
const LAG: usize = 1024;
/// Events that are kept for a store that takes none; then the oldest are lost. All of them stand in the log.
const MOST_KEPT: usize = 4096;

/// Collects events and hands them on.
#[derive(Debug)]
pub(crate) struct Story {
    store: Store,
    pending: Vec<Event>,
    /// The last batch could not be stored.
    fails: bool,
    listeners: broadcast::Sender<Event>,
}

impl Story {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, pending: Vec::new(), fails: false, listeners: broadcast::Sender::new(LAG) }
    }
    pub(crate) fn listeners(&self) -> broadcast::Sender<Event> {
        self.listeners.clone()
    }
    pub(crate) fn tell(&mut self, event: Event) {
        log(&event);
        self.pending.push(event);
    }
    /// Stores what was told since the last time, then sends it on.
    pub(crate) async fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.store.append_events(&self.pending).await {
            Ok(ids) => {
                for (mut event, id) in std::mem::take(&mut self.pending).into_iter().zip(ids) {
                    event.id = id;
                    let _ = self.listeners.send(event); // nobody listens: fine
                }
                self.fails = false;
            }
            Err(error) => {
                if !self.fails {
                    tracing::error!(error = base::chain(&error), "events could not be stored; they are kept for the next turns");
                }
                self.fails = true;
                self.keep_the_newest();
            }
        }
    }

    fn keep_the_newest(&mut self) {
        let lost = self.pending.len().saturating_sub(MOST_KEPT);
        if lost > 0 {
            self.pending.drain(..lost);
            tracing::error!(lost, "the store takes no events; the oldest stand only in this log");
        }
    }
}

fn log(event: &Event) {
    let deployment = event.deployment.as_ref().map(ToString::to_string);
    let instance = event.instance.as_ref().map(ToString::to_string);
    let cause = event.cause.to_string();
    let reason = event.reason.as_ref().map(|reason| reason.message.as_str());
    let failed = matches!((event.kind, event.phase), (EventKind::InstancePhase, Some((_, Phase::Failed))));
    if failed {
        tracing::warn!(deployment, instance, cause, reason, "{}", event.message);
    } else {
        tracing::info!(deployment, instance, cause, reason, "{}", event.message);
    }
}

#[cfg(test)]
mod tests;
