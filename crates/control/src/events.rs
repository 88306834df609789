//! Events: the story of what happened.
//!
//! In: where the reader is in it. Out: a page; or a stream that goes on where the reader left off.
//! Fails: on a bad cursor. Bounded: the store keeps the newest hundred thousand. The store is the
//! truth here; what the fleet broadcasts only says that it is time to look.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State;
use axum::response::sse;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::HeaderMap;
use serde_json::json;
use spec::{Event, EventKind, Invalid, Kind, Name, Verb, suggest};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::page::{Page, limit};
use crate::query::{EventQuery, Query};
use crate::{House, view, watch};

const LAST_EVENT_ID: &str = "last-event-id";
/// Events that a stream reads from the store at once.
const BATCH: u32 = 500;

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Read the story
///
/// Oldest first; without `after`, the newest `limit`.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "list_events", tag = "events",
    params(EventQuery, ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, for a stream that was cut off")),
    responses((status = 200, description = "A page of events, or the stream of them; `next` continues the page",
        content((Page<view::Event> = "application/json"), (String = "text/event-stream")))))]
async fn list(State(house): State<House>, admin: Admin, headers: HeaderMap, Query(query): Query<EventQuery>) -> Result<Response, Error> {
    let which = Which::of(&query, &admin)?;
    let most = u32::try_from(limit(query.limit)?).unwrap_or(u32::MAX);
    if !query.watch {
        return Ok(Json(page(&house, &which, query.after, most).await?).into_response());
    }
    // Listen first, read second: nothing falls between.
    let bell = house.fleet.events();
    let newest = if query.limit.is_some() { most } else { 0 };
    let after = match query.after.or(last_event_id(&headers)?) {
        // Who knows more than there is read it before the database was put back: they hear what comes next.
        Some(id) => id.min(house.store.newest_event().await?),
        None => before_newest(&house, &which, newest).await?,
    };
    let audit = which.but.is_none();
    let standing = admin.standing(&house).and(move |caller| if audit { caller.may(Verb::List, Kind::Audit) } else { Ok(()) });
    let story = Story { house, which, after, bell, queue: VecDeque::new(), looked: false };
    Ok(watch::respond(story.stream(), standing))
}

async fn page(house: &House, which: &Which, after: Option<u64>, most: u32) -> Result<Page<Event>, Error> {
    let newest_first = after.is_none();
    let query = store::EventQuery { after, limit: most, newest_first, ..which.query() };
    let mut items = house.store.list_events(query).await?;
    if newest_first {
        items.reverse();
    }
    let full = items.len() == most as usize;
    let next = items.last().filter(|_| full && !newest_first).map(|event| event.id.to_string());
    Ok(Page { items, next })
}

/// The id after which the newest `count` events lie; with 0, only what comes next.
async fn before_newest(house: &House, which: &Which, count: u32) -> Result<u64, Error> {
    let those = if count > 0 { which.query() } else { store::EventQuery::default() };
    let query = store::EventQuery { limit: count.max(1), newest_first: true, ..those };
    let newest = house.store.list_events(query).await?;
    let oldest_of_them = newest.last().map_or(0, |event| event.id);
    Ok(if count == 0 { oldest_of_them } else { oldest_of_them.saturating_sub(1) })
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wrong = || Invalid::one(LAST_EVENT_ID, "not the id of an event", "send the `id:` of the last event that came");
    id.map(Some).ok_or_else(|| wrong().into())
}

/// Which events somebody may see and wants to.
#[derive(Debug, Clone)]
struct Which {
    deployment: Option<Name>,
    kinds: Vec<EventKind>,
    but: Option<EventKind>,
}

impl Which {
    /// Who changed what is told to who asks for it and may see it: in the whole story each change would stand twice.
    fn of(query: &EventQuery, admin: &Admin) -> Result<Self, Error> {
        let deployment = query.deployment.as_deref().map(Name::parse).transpose()?;
        let words = query.kind.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
        let kinds = words.map(kind).collect::<Result<Vec<_>, _>>()?;
        let asked = kinds.contains(&EventKind::Audit);
        if asked {
            admin.may(Verb::List, Kind::Audit)?;
        }
        let but = (!asked).then_some(EventKind::Audit);
        Ok(Self { deployment, kinds, but })
    }

    fn query(&self) -> store::EventQuery {
        store::EventQuery { deployment: self.deployment.clone(), kinds: self.kinds.clone(), but: self.but, ..store::EventQuery::default() }
    }
}

fn kind(word: &str) -> Result<EventKind, Error> {
    let all = EventKind::ALL.map(EventKind::as_str);
    EventKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        let hint = suggest(word, all).map_or_else(|| format!("use some of {}", all.join(", ")), |meant| format!("did you mean `{meant}`?"));
        Invalid::one("kind", format!("`{word}` is no kind of event"), hint).into()
    })
}

struct Story {
    house: House,
    which: Which,
    after: u64,
    bell: Receiver<Event>,
    queue: VecDeque<Event>,
    looked: bool,
}

impl Story {
    fn stream(self) -> impl Stream<Item = sse::Event> + Send {
        stream::unfold(self, |mut story| async move {
            let event = story.next().await?;
            let told = watch::event("event", &json!(event)).id(event.id.to_string());
            Some((told, story))
        })
    }

    /// The next event; none when the fleet is gone or the store cannot be read.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.looked {
                self.wait().await?;
            }
            let query = store::EventQuery { after: Some(self.after), limit: BATCH, ..self.which.query() };
            self.queue = self.house.store.list_events(query).await.ok()?.into();
            self.after = self.queue.back().map_or(self.after, |event| event.id);
            // A full batch may have more behind it: look again before waiting.
            self.looked = self.queue.len() < BATCH as usize;
        }
    }

    /// Until something happened; all that has rung by then counts as one.
    async fn wait(&mut self) -> Option<()> {
        match self.bell.recv().await {
            Err(RecvError::Closed) => return None,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
        }
        while self.bell.try_recv().is_ok() {}
        Some(())
    }
}
