//! `/v1/responses`: made, fetched, gone on with, cancelled and deleted.
//!
//! In: a request in the terms of the Responses API, and the response that it goes on with. Out: a response object or its
//! events. The call becomes a chat and goes the same walk; what is to be kept is kept when its answer ends.

mod background;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use wire::responses::{self, Object};

use super::chat;
use crate::Gateway;
use crate::call::{Call, Face, Manner};
use crate::choose;
use crate::count;
use crate::error::Error;
use crate::http::Raw;
use crate::identify::identify;
use crate::kept::{Story, Ticket, owner};
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
    let request = responses::Request::parse(&raw.body)?;
    let ticket = ticket(gateway, &raw, &request).await?;
    let (background, copy) = (request.is_background(), ticket.clone());
    let (call, prompts) = scan(gateway, raw, move |_, raw| read(raw, &request, ticket)).await?;
    if background {
        return background::start(gateway, call, prompts, &copy).await;
    }
    Ok(carry(gateway.clone(), call, prompts).await)
}

fn read(raw: Raw, request: &responses::Request, ticket: Ticket) -> Result<Call, Error> {
    let body = request.chat(&request.model, ticket.items.iter())?;
    chat(raw, body, (Face::OpenAi, Manner::Response(Box::new(ticket))), request.wants_stream())
}

/// The new response, with the conversation that it goes on with.
async fn ticket(gateway: &Gateway, raw: &Raw, request: &responses::Request) -> Result<Ticket, Error> {
    const DIGITS: usize = 32;
    let id = format!("resp_{}", base::id::random_hex(DIGITS));
    let owner = owner(&raw.caller);
    let mut items = match &request.previous_response_id {
        None => Vec::new(),
        Some(previous) => match gateway.kept().get(previous, &owner).await {
            Err(Error::UnknownResponse { id }) => return Err(Error::UnknownPrevious { id }),
            story => story?.conversation(),
        },
    };
    let own = items.len();
    items.extend(request.items()?);
    name_items(&id, &mut items, own);
    Ok(Ticket {
        kept: gateway.kept().clone(),
        owner: owner.into(),
        created: raw.arrival.at,
        object: Object::new(request, &id, raw.arrival.at.as_secs()),
        id,
        items: items.into(),
        own,
        stored: request.is_stored(),
        background: request.is_background(),
    })
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

/// What is kept of one, for who may see it.
async fn story(gateway: &Gateway, headers: &HeaderMap, id: &str) -> Result<(Story, String), Error> {
    let owner = owner(&*identify(gateway.access(), headers)?);
    Ok((gateway.kept().get(id, &owner).await?, owner))
}

/// What may be asked of a kept one; any words can be read as these.
type Ways = Query<HashMap<String, String>>;

fn bad(param: &'static str, problem: &'static str) -> Error {
    Error::Wire(wire::Error::Value { param, problem: problem.into() })
}

/// Fetches one.
pub(super) async fn get(State(gateway): State<Gateway>, headers: HeaderMap, id: Id, Query(ways): Ways) -> Response {
    let fetched = async {
        let (story, _) = story(&gateway, &headers, &text(id)).await?;
        match ways.get("stream").map(String::as_str) {
            None | Some("false") => Ok(story.response.to_string().into()),
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
        let (story, _) = story(&gateway, &headers, &text(id)).await?;
        let limit = ways.get("limit").map(|limit| limit.parse::<usize>()).transpose();
        let page = limit.map_err(|_not_a_number| bad("limit", "must be a number from 1 to 100"))?.unwrap_or(PAGE).clamp(1, MOST);
        let mut items: Vec<Value> = story.items.into_iter().skip(story.own).collect();
        if ways.get("order").is_none_or(|order| order != "asc") {
            items.reverse();
        }
        let start = ways.get("after").and_then(|after| items.iter().position(|item| item["id"] == after.as_str())).map_or(0, |at| at + 1);
        let rest = items.get(start..).unwrap_or_default();
        Ok(responses::list_of_items(rest.get(..page).unwrap_or(rest), rest.len() > page))
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
        let (mut story, owner) = story(&gateway, &headers, &id).await?;
        if story.response["background"] != true {
            return Err(Error::NotBackground { id });
        }
        if ["queued", "in_progress"].iter().any(|status| story.response["status"] == *status) {
            gateway.kept().end(&id).await;
            story = gateway.kept().get(&id, &owner).await?;
        }
        Ok(story.response.to_string().into())
    };
    answer(cancelled.await)
}

/// Tokens of a request that is not sent.
pub(super) async fn input_tokens(State(gateway): State<Gateway>, request: Request) -> Response {
    let counted = async {
        let raw = receive(&gateway, request).await?;
        let request = responses::Request::parse(&raw.body)?;
        let ticket = ticket(&gateway, &raw, &request).await?;
        let body = request.chat(&request.model, ticket.items.iter())?;
        let caller = Arc::clone(&raw.caller);
        let call = chat(raw, body, (Face::OpenAi, Manner::Plain), false)?;
        let entry = choose::find(gateway.board(), &caller, &call.ask)?;
        let tokens = count::count(gateway.counts(), &entry, call.body).await;
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
