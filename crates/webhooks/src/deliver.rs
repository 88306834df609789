//! The one task of a receiver: event after event, in order, until each is taken.
//!
//! In: the story in the store, from the receiver's place on. Out: posts; a place that moves on; how the receiver stands. Fails: never;
//! a store that cannot be read is tried again. Waits: for events, for the receiver, between tries. At least once: the place
//! is stored after the receiver has the event, so an end in between sends it again, under the same id.

use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, Timestamp};
use spec::{Cause, Event, EventKind, Name};
use store::{EventQuery, Store, WebhookPlace};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Tell;
use crate::config::Webhook;
use crate::envelope::{envelope, message_id};
use crate::post::{Post, Verdict};
use crate::sign::Key;
use crate::standing::{Failure, Shared, Standing, State};

/// Events that are read from the store at once.
const BATCH: u32 = 64;
/// Events that are passed over before that is written down; a start that reads them once more is cheap.
const UNSAVED: u64 = 500;
/// What was stored without ringing is seen within this time.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// A store that cannot be read.
const STORE_AGAIN: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };

/// Brings events to one receiver.
#[derive(Debug)]
pub(crate) struct Courier {
    webhook: Webhook,
    post: Post,
    store: Store,
    source: Arc<str>,
    place: WebhookPlace,
    /// The place as it is stored.
    saved: u64,
    /// How far the story was known to be.
    newest: u64,
    shared: Arc<Shared>,
}

/// What a courier hears of the house.
struct House {
    head: watch::Receiver<u64>,
    tell: Tell,
    over: CancellationToken,
}

/// Whether a courier goes on.
enum Next {
    On,
    End,
}

impl Courier {
    pub(crate) fn new(webhook: Webhook, keys: Vec<Key>, (place, newest): (WebhookPlace, u64), (store, source): (Store, Arc<str>)) -> Self {
        let standing = Standing {
            name: webhook.name.clone(),
            origin: webhook.origin(),
            state: if place.disabled.is_some() { State::Disabled } else { State::Idle },
            sent: place.sent,
            dropped: place.dropped,
            failed: 0,
            lag: newest.saturating_sub(place.after),
            lag_ms: 0,
            last_sent: None,
            last_failure: None,
            next_try: None,
            disabled: place.disabled.clone(),
        };
        let post = Post::new(&webhook.url, keys, webhook.timeout);
        Self { post, store, source, saved: place.after, newest, place, shared: Arc::new(Shared::new(standing)), webhook }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.webhook.name
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Until the house stops.
    pub(crate) async fn run(mut self, head: watch::Receiver<u64>, tell: Tell, over: CancellationToken) {
        let mut house = House { head, tell, over };
        let mut failures = 0_u32;
        while let Next::On = self.enabled(&mut house).await {
            match self.catch_up(&mut house).await {
                Ok(Next::On) => failures = 0,
                Ok(Next::End) => break,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(webhook = %self.webhook.name, error = base::chain(&error), "events could not be read for it; tried again");
                    tokio::select! { () = tokio::time::sleep(STORE_AGAIN.wait(failures)) => {} () = house.over.cancelled() => break }
                }
            }
        }
        if let Err(error) = self.save().await {
            tracing::warn!(webhook = %self.webhook.name, error = base::chain(&error), "how far it is could not be stored; the next start repeats some events");
        }
    }

    /// Waits while the receiver wants nothing.
    async fn enabled(&mut self, house: &mut House) -> Next {
        if self.place.disabled.is_none() {
            return Next::On;
        }
        loop {
            self.look_ahead(house);
            self.show(State::Disabled);
            tokio::select! {
                () = house.over.cancelled() => return Next::End,
                () = self.shared.resumed.notified() => break,
                () = self.hears_of_more(&mut house.head) => {}
            }
        }
        self.place.disabled = None;
        self.show(State::Sending);
        let message = format!("webhook `{}` is sent events again", self.webhook.name);
        (house.tell)(Event::now(EventKind::WebhookEnabled, Cause::Hand, message)).await;
        Next::On
    }

    /// Sends what there is, then waits for more.
    async fn catch_up(&mut self, house: &mut House) -> Result<Next, store::Error> {
        self.newest = self.store.newest_event().await?.max(*house.head.borrow_and_update());
        let query = EventQuery { after: Some(self.place.after), limit: BATCH, ..EventQuery::default() };
        let events = self.store.list_events(query).await?;
        if events.is_empty() {
            self.show(State::Idle);
            if house.over.is_cancelled() {
                return Ok(Next::End);
            }
            self.rest(house).await;
            return Ok(Next::On);
        }
        for event in events {
            self.shared.note().oldest = Some(event.at);
            self.count_missing(&event);
            let next = self.bring(&event, house).await?;
            if let Next::End = next {
                return Ok(next);
            }
            if self.place.disabled.is_some() {
                break;
            }
        }
        if self.place.after - self.saved >= UNSAVED {
            self.save().await?;
        }
        Ok(Next::On)
    }

    async fn rest(&mut self, house: &mut House) {
        tokio::select! {
            () = self.hears_of_more(&mut house.head) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = house.over.cancelled() => {}
        }
    }

    /// Until something happens; for ever once nothing can.
    async fn hears_of_more(&self, head: &mut watch::Receiver<u64>) {
        if head.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn look_ahead(&mut self, house: &mut House) {
        self.newest = self.newest.max(*house.head.borrow_and_update());
    }

    /// Events that the store no longer has were lost for this receiver.
    fn count_missing(&mut self, event: &Event) {
        let missing = event.id.saturating_sub(self.place.after + 1);
        if missing > 0 {
            self.drop_some(missing, "the story does not reach back so far");
        }
    }

    /// One event: passed over, taken, dropped; or the receiver wants no more, or the house stops.
    async fn bring(&mut self, event: &Event, house: &mut House) -> Result<Next, store::Error> {
        if !self.webhook.wants(event) {
            self.place.after = event.id;
            return Ok(Next::On);
        }
        let (id, body) = (message_id(event, &self.source), envelope(event, &self.source));
        let mut failures = 0_u32;
        loop {
            self.look_ahead(house);
            if self.newest.saturating_sub(event.id) >= self.webhook.queue {
                self.drop_some(1, "more events wait than `queue` allows");
                self.place.after = event.id;
                return Ok(Next::On);
            }
            self.show(if failures == 0 { State::Sending } else { State::Failing });
            let (what, pause) = match self.post.post(&id, &body).await {
                Verdict::Taken => return self.taken(event, failures).await,
                Verdict::Gone => return self.gone(house).await,
                Verdict::Failed(what, pause) => (what, pause),
            };
            failures = failures.saturating_add(1);
            let wait = self.webhook.retry.backoff().wait(failures).max(pause);
            self.failed(what, failures, wait);
            if Timestamp::now().since(event.at) > self.webhook.retry.give_up {
                self.drop_some(1, "it was not taken within `retry.give_up`");
                self.place.after = event.id;
                return Ok(Next::On);
            }
            if let Next::End = self.pause(wait, house).await {
                return Ok(Next::End);
            }
        }
    }

    /// Until the next try.
    async fn pause(&mut self, wait: Duration, house: &mut House) -> Next {
        let end = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                biased;
                () = house.over.cancelled() => return Next::End,
                () = self.shared.resumed.notified() => return Next::On,
                () = tokio::time::sleep_until(end) => return Next::On,
                () = self.hears_of_more(&mut house.head) => {}
            }
            self.look_ahead(house);
            self.show(State::Failing);
        }
    }

    async fn taken(&mut self, event: &Event, failures: u32) -> Result<Next, store::Error> {
        self.place.after = event.id;
        self.place.sent += 1;
        if failures > 0 {
            tracing::info!(webhook = %self.webhook.name, failures, "the webhook takes events again");
        }
        self.show(State::Sending);
        self.shared.note().standing.last_sent = Some(Timestamp::now());
        self.save().await?;
        Ok(Next::On)
    }

    async fn gone(&mut self, house: &House) -> Result<Next, store::Error> {
        let why = "its receiver answered 410: it wants no more events".to_owned();
        self.place.disabled = Some(why.clone());
        self.save().await?;
        self.show(State::Disabled);
        let name = &self.webhook.name;
        tracing::warn!(webhook = %name, "the webhook is disabled: its receiver answered 410");
        let message = format!("webhook `{name}` is disabled: {why}; `penstock webhook resume {name}` tries it again");
        (house.tell)(Event::now(EventKind::WebhookDisabled, Cause::Webhook { name: name.to_string() }, message)).await;
        Ok(Next::On)
    }

    fn failed(&mut self, what: String, tries: u32, wait: Duration) {
        if tries == 1 {
            tracing::warn!(webhook = %self.webhook.name, error = what, "the webhook did not take an event; events wait for it");
        }
        let now = Timestamp::now();
        let mut noted = self.shared.note();
        noted.standing.failed += 1;
        noted.standing.last_failure = Some(Failure { at: now, what, tries });
        noted.standing.next_try = Some(now.plus(wait));
        noted.standing.state = State::Failing;
    }

    fn drop_some(&mut self, count: u64, why: &'static str) {
        self.place.dropped += count;
        tracing::warn!(webhook = %self.webhook.name, count, why, "events were dropped for the webhook");
    }

    /// Says how it stands.
    fn show(&self, state: State) {
        let mut noted = self.shared.note();
        let standing = &mut noted.standing;
        standing.state = state;
        (standing.sent, standing.dropped) = (self.place.sent, self.place.dropped);
        standing.disabled.clone_from(&self.place.disabled);
        standing.lag = self.newest.saturating_sub(self.place.after);
        if state != State::Failing {
            standing.next_try = None;
        }
        if standing.lag == 0 {
            noted.oldest = None;
        }
    }

    async fn save(&mut self) -> Result<(), store::Error> {
        self.store.put_webhook(&self.place).await?;
        self.saved = self.place.after;
        Ok(())
    }
}
