//! `/v1/responses`: made, fetched, gone on with, cancelled and deleted.
//!
//! In: a request in the terms of the Responses API, and the response that it goes on with. Out: a response object or its
//! events. The call becomes a chat and goes the same walk; what is to be kept is kept when its answer ends. Fails: also where the
//! whole conversation is larger than a body may be.

mod background;

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use base::Timestamp;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use store::KeptResponse;
use wire::responses::{self, Object};

use super::chat;
use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::choose;
use crate::count;
use crate::error::Error;
use crate::http::Raw;
use crate::identify::identify;
use crate::kept::{Kept, Story, Ticket, aside, conversation_bytes, owner};
use crate::walk::{carry, receive, refused, scan};

/// Makes one.
pub(super) async fn create(State(gateway): State<Gateway>, request: Request) -> Response {
    match begin(&gateway, request).await {
        Ok(response) => response,
        Err(error) => refused(&error, Face::OpenAi),
    }
}

async fn begin(gateway: &Gateway, request: Request) -> Result<Response, Error> {
    let raw = receive(gateway, request).await?;
    let Heard { mut ticket, body, streamed } = hear(gateway, &raw).await?;
    ticket.surely = ticket.items.is_none() || gateway.kept().room().await;
    let (background, copy) = (ticket.background, ticket.clone());
    let manner = Manner::Response(Box::new(ticket));
    let (call, prompts) = scan(gateway, Raw { body, ..raw }, move |_, raw| written(raw, manner, streamed)).await?;
    if background {
        return background::start(gateway, call, prompts, &copy).await;
    }
    Ok(carry(gateway.clone(), call, prompts).await)
}

/// The call of a body that has been written as a chat.
fn written(raw: Raw, manner: Manner, streamed: bool) -> Result<Call, Error> {
    let body = raw.body.clone();
    chat(raw, body, (Face::OpenAi, manner), streamed)
}

/// What a request asks for, together with the conversation that it goes on with.
struct Heard {
    ticket: Ticket,
    /// As a chat.
    body: Bytes,
    streamed: bool,
}

async fn hear(gateway: &Gateway, raw: &Raw) -> Result<Heard, Error> {
    let new = raw.body.len();
    let text = raw.body.clone();
    let request = aside(new, move || Ok(responses::Request::parse(&text)?)).await?;
    let owner = owner(&raw.caller);
    let previous = match &request.previous_response_id {
        None => None,
        Some(id) => Some(gateway.kept().find(id, &owner).await.map_err(as_previous)?),
    };
    let (kept, at, limit) = (gateway.kept().clone(), raw.arrival.at, gateway.config().max_body_bytes);
    let much = new + previous.as_ref().map_or(0, |previous| previous.body.len());
    let work = move || {
        let items = previous.map_or(Ok(Vec::new()), |previous| conversation(&previous, new, limit))?;
        begun(items, &request, Maker { kept, owner, at })
    };
    aside(much, work).await
}

fn as_previous(error: Error) -> Error {
    match error {
        Error::UnknownResponse { id } => Error::UnknownPrevious { id },
        other => other,
    }
}

/// What was said up to now; with what is new it may be as long as the body that could hold it all.
fn conversation(previous: &KeptResponse, new: usize, limit: usize) -> Result<Vec<Value>, Error> {
    if previous.body.len() + new > limit {
        let bytes = conversation_bytes(previous) + new;
        if bytes > limit {
            return Err(Error::LongConversation { bytes, limit });
        }
    }
    Ok(Story::read(previous).map_err(as_previous)?.conversation())
}

/// For whom a response is made, and when.
struct Maker {
    kept: Kept,
    owner: String,
    at: Timestamp,
}

/// The new response, which goes on with these items.
fn begun(mut items: Vec<Value>, request: &responses::Request, maker: Maker) -> Result<Heard, Error> {
    const DIGITS: usize = 32;
    let id = format!("resp_{}", base::id::random_hex(DIGITS));
    let own = items.len();
    items.extend(request.items()?);
    name_items(&id, &mut items, own);
    let body = request.chat(&request.model, &items)?;
    let told = if request.is_stored() { Some(to_raw_value(&items).map_err(wire::Error::Shape)?.into()) } else { None };
    let ticket = Ticket {
        kept: maker.kept,
        owner: maker.owner.into(),
        created: maker.at,
        object: Object::new(request, &id, maker.at.as_secs()),
        id,
        items: told,
        own,
        surely: false,
        background: request.is_background(),
    };
    Ok(Heard { ticket, body, streamed: request.wants_stream() })
}

/// Gives items that came without an id one, by which a list of them can be paged.
fn name_items(id: &str, items: &mut [Value], own: usize) {
    let digits = id.trim_start_matches("resp_");
    for (at, item) in items.iter_mut().enumerate().skip(own) {
        if let Value::Object(item) = item
            && !item.get("id").is_some_and(Value::is_string)
        {
            item.insert("id".to_owned(), format!("in_{digits}{at:02}").into());
        }
    }
}

/// The id in a path; what cannot be decoded is none of ours.
type Id = Result<Path<String>, PathRejection>;

fn text(id: Id) -> String {
    id.map(|Path(id)| id).unwrap_or_default()
}

/// What is made of one that is kept, for who may see it.
async fn story<T: Send + 'static>(
    gateway: &Gateway,
    headers: &HeaderMap,
    id: Id,
    make: impl FnOnce(Story) -> T + Send + 'static,
) -> Result<T, Error> {
    let owner = owner(&*identify(gateway.access(), headers)?);
    gateway.kept().get(&text(id), &owner, make).await
}

/// What may be asked of a kept one; any words can be read as these.
type Ways = Query<HashMap<String, String>>;

fn bad(param: &'static str, problem: &'static str) -> Error {
    Error::Wire(wire::Error::Value { param, problem: problem.into() })
}

/// Fetches one.
pub(super) async fn get(State(gateway): State<Gateway>, headers: HeaderMap, id: Id, Query(ways): Ways) -> Response {
    let fetched = async {
        let response = story(&gateway, &headers, id, |story| story.response.to_string()).await?;
        match ways.get("stream").map(String::as_str) {
            None | Some("false") => Ok(response.into()),
            Some("true") => {
                Err(Error::NotHere { what: "the stream of a kept response", instead: "fetch it without `stream` and look at its `status`" })
            }
            Some(_) => Err(bad("stream", "must be `true` or `false`")),
        }
    };
    answer(fetched.await)
}

/// Its own input items, a page at a time; the last ones first unless asked otherwise.
pub(super) async fn input_items(State(gateway): State<Gateway>, headers: HeaderMap, id: Id, Query(ways): Ways) -> Response {
    const PAGE: usize = 20;
    const MOST: usize = 100;
    let listed = async {
        let limit = ways.get("limit").map(|limit| limit.parse::<usize>()).transpose();
        let list = move |story: Story| {
            let page = limit.map_err(|_not_a_number| bad("limit", "must be a number from 1 to 100"))?.unwrap_or(PAGE).clamp(1, MOST);
            let mut items: Vec<Value> = story.items.into_iter().skip(story.own).collect();
            if ways.get("order").is_none_or(|order| order != "asc") {
                items.reverse();
            }
            let start =
                ways.get("after").and_then(|after| items.iter().position(|item| item["id"] == after.as_str())).map_or(0, |at| at + 1);
            let rest = items.get(start..).unwrap_or_default();
            Ok(responses::list_of_items(rest.get(..page).unwrap_or(rest), rest.len() > page))
        };
        story(&gateway, &headers, id, list).await?
    };
    answer(listed.await)
}

/// Forgets one.
pub(super) async fn delete(State(gateway): State<Gateway>, headers: HeaderMap, id: Id) -> Response {
    let deleted = async {
        let id = text(id);
        let owner = owner(&*identify(gateway.access(), &headers)?);
        gateway.kept().delete(&id, &owner).await?;
        Ok(json!({ "id": id, "object": "response", "deleted": true }).to_string().into())
    };
    answer(deleted.await)
}

/// Ends one that is made in the background; one that has ended stays as it is.
pub(super) async fn cancel(State(gateway): State<Gateway>, headers: HeaderMap, id: Id) -> Response {
    let cancelled = async {
        let id = text(id);
        let owner = owner(&*identify(gateway.access(), &headers)?);
        let mut response = gateway.kept().get(&id, &owner, |story| story.response).await?;
        if response["background"] != true {
            return Err(Error::NotBackground { id });
        }
        if ["queued", "in_progress"].iter().any(|status| response["status"] == *status) {
            gateway.kept().end(&id).await;
            response = gateway.kept().get(&id, &owner, |story| story.response).await?;
        }
        Ok(response.to_string().into())
    };
    answer(cancelled.await)
}

/// Tokens of a request that is not sent.
pub(super) async fn input_tokens(State(gateway): State<Gateway>, request: Request) -> Response {
    let counted = async {
        let raw = receive(&gateway, request).await?;
        let Heard { body, .. } = hear(&gateway, &raw).await?;
        let (call, _) = scan(&gateway, Raw { body, ..raw }, |_, raw| written(raw, Manner::Plain, false)).await?;
        let entry = choose::find(gateway.board(), &call.caller, &call.ask)?;
        let tokens = count::count(&gateway, &call.caller, &entry, call.body.clone()).await;
        Ok(json!({ "object": "response.input_tokens", "input_tokens": tokens }).to_string().into())
    };
    answer(counted.await)
}

fn answer(body: Result<Bytes, Error>) -> Response {
    match body {
        Ok(body) => json_answer(body),
        Err(error) => refused(&error, Face::OpenAi),
    }
}

fn json_answer(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
