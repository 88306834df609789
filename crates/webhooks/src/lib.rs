//! Life of an event on its way to a receiver:
//!
//! a receiver is named in the [`config`], with the events that it wants; its secret becomes a key ([`sign`]). What happens is in the
//! store already, and each receiver has a place in that story: its one task (`deliver`) reads on from there, puts an event into
//! an envelope (`envelope`), signs it, posts it (`post`), and only then moves its place. While the receiver fails the task waits, longer each time;
//! the events wait in the store, up to a bound. Who is wanted may change at any time ([`Running::change`]). How each receiver stands can be read at any time ([`standing`]).
//! Nothing here is ever waited for by whoever tells the story. From: CloudEvents 1.0, Standard Webhooks 1.0.

mod error;

pub mod config;
pub mod sign;
pub mod standing;

mod deliver;

mod envelope;
mod post;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use base::Secret;
use base::tasks::{self, Task};
use futures_util::future::{BoxFuture, join_all};
use spec::{Event, Name};
use store::{Store, WebhookPlace};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use config::{Retry, Topic, Webhook};
pub use error::Error;
pub use standing::{Standing, State};

use deliver::Courier;
use sign::Key;
use standing::Shared;

/// For what is left at the end.
const LAST: std::time::Duration = std::time::Duration::from_secs(3);

/// Adds an event to the story.
pub type Tell = Arc<dyn Fn(Event) -> BoxFuture<'static, ()> + Send + Sync>;

/// Finds a secret by the name of its variable.
pub type FindSecret<'a> = &'a (dyn Fn(&str) -> Option<Secret> + Sync);

/// Receivers whose places are known; nothing is sent yet.
#[derive(Debug)]
pub struct Webhooks {
    couriers: Vec<(Sealed, Courier)>,
    store: Store,
    source: Arc<str>,
}

/// A receiver as it is wanted, and what events for it are signed with.
#[derive(Debug, Clone, PartialEq)]
struct Sealed {
    webhook: Webhook,
    keys: Vec<Key>,
}

/// Receivers that are being sent to.
pub struct Running {
    handle: Handle,
    store: Store,
    source: Arc<str>,
    head: watch::Receiver<u64>,
    tell: Tell,
    bell: Task,
    underway: BTreeMap<Name, Underway>,
}

/// One receiver that is being sent to.
#[derive(Debug)]
struct Underway {
    sealed: Sealed,
    over: CancellationToken,
    task: Task,
}

/// How the receivers stand; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    receivers: Arc<RwLock<BTreeMap<Name, Arc<Shared>>>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("underway", &self.underway).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Reads the secrets, and finds each receiver's place in the story; a new one begins with what happens next. Done before anything
    /// else happens, so that it is told of the start as well. `secret` finds a secret by the name of its variable.
    pub async fn open(store: &Store, wanted: &[Webhook], secret: FindSecret<'_>) -> Result<Self, Error> {
        let source: Arc<str> = format!("urn:penstock:{}", store.installation_id().await?).into();
        let wanted = sealed(wanted, secret)?;
        let names: BTreeSet<String> = wanted.iter().map(|sealed| sealed.webhook.name.to_string()).collect();
        let couriers = couriers(store, &source, wanted).await?;
        forget_all_but(store, &names).await?;
        Ok(Self { couriers, store: store.clone(), source })
    }

    /// Sends from now on. `events` only says that something happened; what it was is read from the store.
    pub fn start(self, events: broadcast::Receiver<Event>, tell: &Tell) -> Running {
        let (newest, head) = watch::channel(0);
        let bell = tasks::spawn("webhook-bell", ring(events, self.store.clone(), newest));
        let (store, source, tell) = (self.store, self.source, Arc::clone(tell));
        let mut running = Running { handle: Handle::default(), store, source, head, tell, bell, underway: BTreeMap::new() };
        running.send(self.couriers);
        running
    }
}

/// What they are signed with; nothing is begun where that is not known of one of them.
fn sealed(wanted: &[Webhook], secret: FindSecret<'_>) -> Result<Vec<Sealed>, Error> {
    wanted.iter().map(|webhook| Ok(Sealed { keys: webhook.keys(secret)?, webhook: webhook.clone() })).collect()
}

/// Those who go on where their receivers are in the story.
async fn couriers(store: &Store, source: &Arc<str>, wanted: Vec<Sealed>) -> Result<Vec<(Sealed, Courier)>, Error> {
    let mut places: BTreeMap<String, WebhookPlace> =
        store.list_webhooks().await?.into_iter().map(|place| (place.name.clone(), place)).collect();
    let newest = store.newest_event().await?;
    let mut couriers = Vec::new();
    for one in wanted {
        let place = one.webhook.place(places.remove(one.webhook.name.as_str()), newest);
        store.put_webhook(&place).await?;
        let courier = Courier::new(one.webhook.clone(), one.keys.clone(), (place, newest), (store.clone(), Arc::clone(source)));
        couriers.push((one, courier));
    }
    Ok(couriers)
}

/// Receivers that nobody wants any more have no place in the story.
async fn forget_all_but(store: &Store, names: &BTreeSet<String>) -> Result<(), Error> {
    for place in store.list_webhooks().await?.into_iter().filter(|place| !names.contains(&place.name)) {
        store.remove_webhook(&place.name).await?;
    }
    Ok(())
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

    /// From now on these are wanted: new ones begin with what happens next, changed ones go on where they were, those that are
    /// gone are forgotten, and nobody else notices; secrets are read again. Fails when one has no secret, and then nothing is changed.
    pub async fn change(&mut self, wanted: &[Webhook], secret: FindSecret<'_>) -> Result<(), Error> {
        let wanted = sealed(wanted, secret)?;
        let stays = |name: &Name, one: &Underway| wanted.iter().any(|sealed| sealed.webhook.name == *name && *sealed == one.sealed);
        let ended: Vec<(Name, Underway)> = self.underway.extract_if(.., |name, one| !stays(name, one)).collect();
        for (name, one) in ended {
            one.over.cancel();
            // What is under way is still sent, if that can be done soon; else it is sent again, under the same id.
            if tokio::time::timeout(LAST, one.task.join()).await.is_err() {
                tracing::warn!(webhook = %name, "it was being sent an event when it changed; it is sent that again");
            }
            self.handle.receivers.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        }
        let names = wanted.iter().map(|sealed| sealed.webhook.name.to_string()).collect();
        let fresh = wanted.into_iter().filter(|sealed| !self.underway.contains_key(&sealed.webhook.name)).collect();
        let couriers = couriers(&self.store, &self.source, fresh).await?;
        self.send(couriers);
        forget_all_but(&self.store, &names).await
    }

    fn send(&mut self, couriers: Vec<(Sealed, Courier)>) {
        for (sealed, courier) in couriers {
            let (name, over) = (courier.name().clone(), CancellationToken::new());
            self.handle.receivers.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), courier.shared());
            let task = tasks::spawn("webhook", courier.run(self.head.clone(), Arc::clone(&self.tell), over.clone()));
            self.underway.insert(name, Underway { sealed, over, task });
        }
    }

    /// What has happened is still sent, if that can be done soon; the rest is sent after the next start.
    pub async fn end(self) {
        drop(self.bell);
        let all = self.underway.into_values().map(|one| {
            one.over.cancel();
            one.task.join()
        });
        if tokio::time::timeout(LAST, join_all(all)).await.is_err() {
            tracing::warn!("the last events were not taken by every webhook; they are sent after the next start");
        }
    }
}

impl Handle {
    fn shared(&self, name: &Name) -> Option<Arc<Shared>> {
        self.receivers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// How each of them stands, by name.
    pub fn all(&self) -> Vec<Standing> {
        self.receivers.read().unwrap_or_else(PoisonError::into_inner).values().map(|shared| shared.standing()).collect()
    }

    /// How one of them stands.
    pub fn get(&self, name: &Name) -> Option<Standing> {
        self.shared(name).map(|shared| shared.standing())
    }

    /// Tries it at once: also one that said it wants no more. `false` when there is none of this name.
    pub fn resume(&self, name: &Name) -> bool {
        let Some(shared) = self.shared(name) else { return false };
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
