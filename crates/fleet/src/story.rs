//! The story so far: events on their way to the log, the store and those who listen.
//!
//! In: events of one turn. Out: stored in one batch, then sent to listeners with their numbers.
//! Fails: a store that cannot take them is logged; the turn goes on, since serving matters more.

use spec::{Event, EventKind, Phase};
use tokio::sync::broadcast;

use crate::seam::Store;

/// Events that a slow listener may lag behind before it loses the oldest.
const LAG: usize = 1024;

/// Collects events and hands them on.
#[derive(Debug)]
pub(crate) struct Story {
    store: Store,
    pending: Vec<Event>,
    listeners: broadcast::Sender<Event>,
}

impl Story {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, pending: Vec::new(), listeners: broadcast::Sender::new(LAG) }
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
        let mut events = std::mem::take(&mut self.pending);
        match self.store.append_events(&events).await {
            Ok(ids) => events.iter_mut().zip(ids).for_each(|(event, id)| event.id = id),
            Err(error) => tracing::error!(error = base::chain(&error), lost = events.len(), "events could not be stored"),
        }
        for event in events {
            let _ = self.listeners.send(event); // nobody listens: fine
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
