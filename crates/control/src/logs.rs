//! Logs: what the engines say.
//!
//! In: an instance, or a deployment, whose instances are told apart by their ids at the beginning of
//! each line. Out: plain text, or server-sent events with a line each for those who accept them; with
//! `follow` it goes on, also to instances that start later. Fails: 404 where there is no log; a log
//! that breaks off later ends with a line that says so. Holds: nothing; pulled by the client.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use access::Caller;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use base::Fault as _;
use bytes::Bytes;
use fleet::{LogsFrom, Snapshot};
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use spec::{Deployment, Instance, InstanceId, Kind, Name, Phase, Verb};
use tokio::sync::watch::Receiver;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::deployments::stored;
use crate::door::Admin;
use crate::error::Error;
use crate::query::{Ident, LogQuery, Named, Query};
use crate::standing::Standing;
use crate::{House, belongs, watch};

/// So many digits tell the instances of a deployment apart.
const SHORT_ID: usize = 8;

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(of_instance)).routes(routes!(of_deployment))
}

/// Read the log of an instance
///
/// Plain text; server-sent events with a line each if the client accepts `text/event-stream`.
#[utoipa::path(get, path = "/api/v1/instances/{id}/logs", operation_id = "instance_logs", tag = "instances",
    params(("id" = String, Path, description = "Its id"), LogQuery),
    responses((status = 200, description = "The log", content((String = "text/plain"), (String = "text/event-stream")))))]
async fn of_instance(
    State(house): State<House>,
    admin: Admin,
    Ident(id): Ident,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, Error> {
    let log = house.fleet.logs(&InstanceId::new(id), from(&query)).await?;
    let pieces = log.map(|piece| piece.unwrap_or_else(|error| broke_off(&error.public())));
    Ok(respond(pieces.boxed(), &headers, admin.standing(&house)))
}

/// Read the logs of a deployment
///
/// Of those of its instances that live; of the last one if none does. With `follow=1` it goes on with
/// the instances that start later.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/logs", operation_id = "deployment_logs", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`"), LogQuery),
    responses((status = 200, description = "The logs", content((String = "text/plain"), (String = "text/event-stream")))))]
async fn of_deployment(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, Error> {
    let record = stored(&house, &name).await?;
    belongs::may(&admin, Verb::Get, (Kind::Logs, record.spec.project.as_ref()), || Error::not_found("deployment", &name))?;
    let (tick, standing) = (house.fleet.watch(), admin.standing(&house).and(reads_still(&house, &record.spec)));
    let mut logs = Logs { house, name, follow: query.follow, tick, seen: BTreeSet::new(), open: SelectAll::new() };
    logs.open_new(from(&query)).await?;
    if logs.seen.is_empty() && !query.follow {
        return Err(Error::NoInstance(logs.name));
    }
    Ok(respond(logs.stream().boxed(), &headers, standing))
}

/// Whether they may read the logs of this deployment, to whatever project it may have gone.
fn reads_still(house: &House, spec: &Deployment) -> impl Fn(&Caller) -> Result<(), access::Error> + use<> {
    let (house, name, first) = (Arc::clone(house), spec.name.clone(), spec.project.clone());
    move |caller| {
        let snapshot = house.fleet.snapshot();
        let project = snapshot.deployments.get(&name).map_or(first.as_ref(), |view| view.record.spec.project.as_ref());
        caller.may_within(Verb::Get, Kind::Logs, project.map(Name::as_str))
    }
}

fn from(query: &LogQuery) -> LogsFrom {
    LogsFrom { tail: query.tail, follow: query.follow }
}

/// The logs of a deployment's instances.
struct Logs {
    house: House,
    name: Name,
    follow: bool,
    tick: Receiver<Arc<Snapshot>>,
    seen: BTreeSet<InstanceId>,
    open: SelectAll<BoxStream<'static, (InstanceId, Bytes)>>,
}

impl Logs {
    fn stream(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut logs| async move { logs.next().await.map(|piece| (piece, logs)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                Some((id, piece)) = self.open.next(), if !self.open.is_empty() => {
                    return Some(if self.seen.len() > 1 { label(&id, &piece) } else { piece });
                }
                changed = self.tick.changed(), if self.follow => changed.ok()?,
                else => return None,
            }
            // What starts while we follow is told from its first line.
            if let Err(error) = self.open_new(LogsFrom { tail: None, follow: true }).await {
                tracing::debug!(deployment = %self.name, error = base::chain(&error), "a log could not be opened");
            }
        }
    }

    async fn open_new(&mut self, from: LogsFrom) -> Result<(), Error> {
        let snapshot = Arc::clone(&self.tick.borrow_and_update());
        for id in told(&snapshot.instances, &self.name) {
            if self.seen.contains(&id) {
                continue;
            }
            let log = match self.house.fleet.logs(&id, from).await {
                Ok(log) => log,
                Err(error) if error.kind() == base::Kind::NotFound => continue, // not started yet, or gone
                Err(error) => return Err(error.into()),
            };
            self.seen.insert(id.clone());
            let pieces = log.map(move |piece| (id.clone(), piece.unwrap_or_else(|error| broke_off(&error.public()))));
            self.open.push(pieces.boxed());
        }
        Ok(())
    }
}

/// Those that live, oldest first; the youngest of the others if none does.
fn told(instances: &[Instance], deployment: &Name) -> Vec<InstanceId> {
    let mut ours: Vec<&Instance> = instances.iter().filter(|instance| instance.deployment == *deployment).collect();
    ours.sort_by_key(|instance| instance.created_at);
    let living: Vec<InstanceId> = ours
        .iter()
        .filter(|instance| !matches!(instance.phase, Phase::Failed | Phase::Stopped))
        .map(|instance| instance.id.clone())
        .collect();
    if living.is_empty() { ours.last().map(|instance| instance.id.clone()).into_iter().collect() } else { living }
}

/// Each line with the beginning of the instance's id before it.
fn label(id: &InstanceId, piece: &[u8]) -> Bytes {
    let short = id.as_str().get(..SHORT_ID).unwrap_or(id.as_str());
    let mut text = String::new();
    for line in String::from_utf8_lossy(piece).lines() {
        text.push_str(short);
        text.push_str(" | ");
        text.push_str(line);
        text.push('\n');
    }
    Bytes::from(text)
}

fn broke_off(why: &str) -> Bytes {
    Bytes::from(format!("-- the log breaks off here: {why}\n"))
}

fn respond(pieces: BoxStream<'static, Bytes>, headers: &HeaderMap, standing: Standing) -> Response {
    let wants_events = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/event-stream"));
    if wants_events {
        return watch::respond(pieces.flat_map(|piece| stream::iter(lines(&piece))), standing);
    }
    let pieces = watch::allowed(pieces, standing, |error| broke_off(&error.public())).map(Ok::<_, Infallible>);
    let mut response = Body::from_stream(pieces).into_response();
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn lines(piece: &[u8]) -> Vec<Event> {
    // A carriage return would end a field of the event.
    String::from_utf8_lossy(piece).lines().map(|line| Event::default().event("line").data(line.replace('\r', " "))).collect()
}
