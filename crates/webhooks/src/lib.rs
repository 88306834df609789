//! Life of an event on its way to a receiver:
//!
//! a receiver is named in the [`config`], with the events that it wants; its secret becomes a key ([`sign`]). What happens is in the
//! store already, and each receiver has a place in that story: its one task (`deliver`) reads on from there, puts an event into
//! an envelope (`envelope`), signs it, posts it (`post`), and only then moves its place. While the receiver fails the task waits, longer each time;
//! the events wait in the store, up to a bound. How each receiver stands can be read at any time ([`standing`]).
//! Nothing here is ever waited for by whoever tells the story. From: CloudEvents 1.0, Standard Webhooks 1.0.

mod error;

pub mod config;
pub mod sign;
pub mod standing;

mod deliver;

mod envelope;
mod post;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::Secret;
use base::tasks::{self, Task};
use futures_util::future::{BoxFuture, join_all};
use spec::{Event, Name};
use store::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use config::{Retry, Topic, Webhook};
pub use error::Error;
pub use standing::{Standing, State};

use deliver::Courier;
use standing::Shared;

/// For what is left at the end.
const LAST: std::time::Duration = std::time::Duration::from_secs(3);

/// Adds an event to the story.
pub type Tell = Arc<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;

/// Receivers whose places are known; nothing is sent yet.
#[derive(Debug)]
pub struct Webhooks {
    couriers: Vec<Courier>,
    store: Store,
}

/// Receivers that are being sent to.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    over: CancellationToken,
    bell: Task,
    tasks: Vec<Task>,
}

/// How the receivers stand; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    receivers: Arc<BTreeMap<Name, Arc<Shared>>>,
}

impl Webhooks {
    /// Reads the secrets, and finds each receiver's place in the story; a new one begins with what happens next. Done before anything
    /// else happens, so that it is told of the start as well. `secret` finds a secret by the name of its variable.
    pub async fn open(store: &Store, wanted: &[Webhook], secret: &dyn Fn(&str) -> Option<Secret>) -> Result<Self, Error> {
        let source: Arc<str> = format!("urn:penstock:{}", store.installation_id().await?).into();
        let mut places: BTreeMap<String, store::WebhookPlace> =
            store.list_webhooks().await?.into_iter().map(|place| (place.name.clone(), place)).collect();
        let newest = store.newest_event().await?;
        let mut couriers = Vec::new();
        for webhook in wanted {
            let keys = webhook.keys(secret)?;
            let place = webhook.place(places.remove(webhook.name.as_str()), newest);
            store.put_webhook(&place).await?;
            couriers.push(Courier::new(webhook.clone(), keys, (place, newest), (store.clone(), Arc::clone(&source))));
        }
        for name in places.keys() {
            store.remove_webhook(name).await?;
        }
        Ok(Self { couriers, store: store.clone() })
    }

    /// Sends from now on. `events` only says that something happened; what it was is read from the store.
    pub fn start(self, events: broadcast::Receiver<Event>, tell: &Tell) -> Running {
        let over = CancellationToken::new();
        let (newest, head) = watch::channel(0);
        let receivers = self.couriers.iter().map(|courier| (courier.name().clone(), courier.shared())).collect();
        let bell = tasks::spawn("webhook-bell", ring(events, self.store, newest));
        let run = |courier: Courier| tasks::spawn("webhook", courier.run(head.clone(), Arc::clone(tell), over.clone()));
        let tasks = self.couriers.into_iter().map(run).collect();
        Running { handle: Handle { receivers: Arc::new(receivers) }, over, bell, tasks }
    }
}

/// Says how far the story is. One that is missed is made up for by the next, and by a look every now and then.
async fn ring(mut events: broadcast::Receiver<Event>, store: Store, newest: watch::Sender<u64>) {
    loop {
        let last = match events.recv().await {
            Ok(event) => event.id,
            Err(RecvError::Lagged(_)) => store.newest_event().await.unwrap_or(0),
            Err(RecvError::Closed) => return,
        };
        newest.send_if_modified(|known| {
            let is_newer = last > *known;
            *known = last.max(*known);
            is_newer
        });
    }
}

impl Running {
    /// How the receivers stand.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What has happened is still sent, if that can be done soon; the rest is sent after the next start.
    pub async fn end(self) {
        self.over.cancel();
        drop(self.bell);
        let all = join_all(self.tasks.into_iter().map(Task::join));
        if tokio::time::timeout(LAST, all).await.is_err() {
            tracing::warn!("the last events were not taken by every webhook; they are sent after the next start");
        }
    }
}

impl Handle {
    /// How each of them stands, by name.
    pub fn all(&self) -> Vec<Standing> {
        self.receivers.values().map(|shared| shared.standing()).collect()
    }

    /// How one of them stands.
    pub fn get(&self, name: &Name) -> Option<Standing> {
        self.receivers.get(name).map(|shared| shared.standing())
    }

    /// Tries it at once: also one that said it wants no more. `false` when there is none of this name.
    pub fn resume(&self, name: &Name) -> bool {
        let Some(shared) = self.receivers.get(name) else { return false };
        if !matches!(shared.standing().state, State::Idle | State::Sending) {
            shared.resumed.notify_one();
        }
        true
    }
}

/// A secret file counts from the folder of the config.
pub fn read_secret(path: &Path) -> std::io::Result<Secret> {
    Ok(Secret::new(std::fs::read_to_string(path)?.trim()))
}

/// Wakes whoever waits to try again.
pub(crate) type Resumed = Notify;

#[cfg(test)]
mod tests;
