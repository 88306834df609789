//! Streams of what changes, as server-sent events.
//!
//! In: a way to list something, and a tick. Out: `snapshot` with all items, then `added`, `changed`
//! and `removed` with one item each. Fails: never; ends when the client goes, when it may listen no more, or when the server stops.
//! Holds: one serialised copy of the list for each watcher. From: Kubernetes' watch, made simpler.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base::Fault as _;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::error::Error;
use crate::standing::Standing;

/// A silent stream says so often that it lives, so that no proxy closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Whether a listener may still listen is looked at before each piece, and so often while nothing comes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Changes of so long a time are told together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Resolves when the server begins to stop, or its owner is gone.
pub(crate) async fn closed(mut closing: watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}

/// What comes for as long as they may listen who began to; then what is said last, and why. Ends when the server stops.
pub(crate) fn allowed<T: Send + 'static>(
    pieces: impl Stream<Item = T> + Send + 'static,
    standing: Standing,
    last: fn(&Error) -> T,
) -> impl Stream<Item = T> + Send {
    let closing = standing.house().closing.clone();
    let mut look = tokio::time::interval(LOOK_AGAIN);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listens = stream::unfold(Some((pieces.boxed(), standing, look)), move |listener| async move {
        let (mut pieces, standing, mut look) = listener?;
        loop {
            let piece = tokio::select! {
                piece = pieces.next() => Some(piece?),
                _ = look.tick() => None,
            };
            match (standing.check(), piece) {
                (Err(error), _) => return Some((last(&error), None)),
                (Ok(()), Some(piece)) => return Some((piece, Some((pieces, standing, look)))),
                (Ok(()), None) => {}
            }
        }
    });
    listens.take_until(Box::pin(closed(closing)))
}

/// An answer of server-sent events. Why it ends early is said in a comment, which no reader takes for an event.
pub(crate) fn respond(events: impl Stream<Item = Event> + Send + 'static, standing: Standing) -> Response {
    let last = |error: &Error| Event::default().comment(format!("ended: {}", error.public().replace(['\r', '\n'], " ")));
    let events = allowed(events, standing, last).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here")).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// One item of a list, by the key that stays the same while the item changes.
pub(crate) type Keyed = (String, Value);

/// The list now, and from then on what becomes of its items.
pub(crate) fn changes<T: Send + Sync + 'static>(
    tick: watch::Receiver<T>,
    list: impl Fn() -> Vec<Keyed> + Send + 'static,
) -> impl Stream<Item = Event> + Send {
    let watcher = Watcher { tick, list, told: None, queue: VecDeque::new() };
    stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|event| (event, watcher)) })
}

struct Watcher<T, F> {
    tick: watch::Receiver<T>,
    list: F,
    told: Option<BTreeMap<String, Value>>,
    queue: VecDeque<Event>,
}

impl<T, F: Fn() -> Vec<Keyed>> Watcher<T, F> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.told.is_some() {
                self.tick.changed().await.ok()?;
                tokio::time::sleep(TOGETHER).await;
                self.tick.mark_unchanged();
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let items = (self.list)();
        match self.told.take() {
            None => {
                let all: Vec<&Value> = items.iter().map(|(_, item)| item).collect();
                self.queue.push_back(event("snapshot", &json!({"items": all})));
            }
            Some(told) => self.queue.extend(differences(told, &items)),
        }
        self.told = Some(items.into_iter().collect());
    }
}

fn differences(mut told: BTreeMap<String, Value>, items: &[Keyed]) -> Vec<Event> {
    let mut events = Vec::new();
    for (key, item) in items {
        match told.remove(key) {
            None => events.push(event("added", item)),
            Some(before) if before != *item => events.push(event("changed", item)),
            Some(_) => {}
        }
    }
    events.extend(told.values().map(|item| event("removed", item)));
    events
}

/// An event with a JSON document in it, which has no line breaks.
pub(crate) fn event(name: &'static str, item: &Value) -> Event {
    Event::default().event(name).data(item.to_string())
}
