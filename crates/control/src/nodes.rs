//! Machines, who holds what of their memory, and what is set aside there for work that is not ours.
//!
//! In: a machine's name; how many bytes of which device are wanted, for whom and how long. Out: what the fleet saw in
//! its last turn; allocations, as soon as they count. Fails: 404 for unknown names, 409 when so much is not free now,
//! 507 when it never will be.

use axum::Json as Answer;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use base::{ByteSize, Timestamp};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use spec::{Allocation, AllocationId, Invalid};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::Json;
use crate::page::Page;
use crate::query::Ident;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(allocations, allocate)).routes(routes!(release))
}

/// A machine as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    name: String,
    cores: u32,
    devices: Vec<fleet::DeviceView>,
    used: ByteSize,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<ByteSize>,
    allocations: Vec<Allocation>,
}

/// What is wanted to be set aside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    bytes: ByteSize,
    #[serde(default)]
    device: Option<String>,
    holder: String,
    #[serde(default)]
    expires: Option<String>,
}

/// List nodes
///
/// The machines, their devices, and who holds how much of each.
#[utoipa::path(get, path = "/api/v1/nodes", operation_id = "list_nodes", tag = "instances",
    responses((status = 200, description = "The nodes", body = Page<view::Node>)))]
async fn list(State(house): State<House>) -> Answer<Page<Shown>> {
    Answer(Page::whole(all(&house)))
}

/// Read a node
#[utoipa::path(get, path = "/api/v1/nodes/{name}", operation_id = "get_node", tag = "instances",
    params(("name" = String, Path, description = "Its host name")),
    responses((status = 200, description = "The node", body = view::Node)))]
async fn get(State(house): State<House>, Ident(name): Ident) -> Result<Answer<Shown>, Error> {
    find(&house, &name).map(Answer)
}

/// List allocations of a node
///
/// What is set aside for work that is not Penstock's.
#[utoipa::path(get, path = "/api/v1/nodes/{name}/allocations", operation_id = "list_allocations", tag = "instances",
    params(("name" = String, Path, description = "The node")),
    responses((status = 200, description = "The allocations, oldest first", body = Page<view::Allocation>)))]
async fn allocations(State(house): State<House>, Ident(name): Ident) -> Result<Answer<Page<Allocation>>, Error> {
    Ok(Answer(Page::whole(find(&house, &name)?.allocations)))
}

/// Set memory aside
///
/// For work that is not Penstock's: models are placed as if it were used. Nothing is unloaded for it: what is not free now is refused with 409, what
/// never will be with 507. What others come to use of the device from now on is taken to be this work, and is not counted twice.
#[utoipa::path(post, path = "/api/v1/nodes/{name}/allocations", operation_id = "create_allocation", tag = "instances",
    params(("name" = String, Path, description = "The node")), request_body = view::NewAllocation,
    responses((status = 201, description = "Set aside", body = view::Allocation,
        headers(("Location" = String, description = "The allocation")))))]
async fn allocate(State(house): State<House>, admin: Admin, Ident(name): Ident, Json(wanted): Json<Wanted>) -> Result<Response, Error> {
    let wanted = check(wanted, name, &admin)?;
    let made = house.fleet.allocate(wanted).await?;
    admin.after(&made);
    let mut response = (StatusCode::CREATED, Answer(&made)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/nodes/{}/allocations/{}", made.node, made.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// Give memory back
#[utoipa::path(delete, path = "/api/v1/nodes/{name}/allocations/{id}", operation_id = "delete_allocation", tag = "instances",
    params(("name" = String, Path, description = "The node"), ("id" = String, Path, description = "The allocation")),
    responses((status = 204, description = "Given back")))]
async fn release(State(house): State<House>, admin: Admin, OfNode(name, id): OfNode) -> Result<StatusCode, Error> {
    let id = AllocationId::new(id);
    let held = find(&house, &name)?.allocations.into_iter().find(|held| held.id == id);
    house.fleet.release(&name, &id, admin.cause()).await?;
    if let Some(held) = &held {
        admin.before(held);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The `{name}` and the `{id}` of the path.
struct OfNode(String, String);

impl<S: Send + Sync> FromRequestParts<S> for OfNode {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let not_text = |_| Invalid::one("path", "a segment is not UTF-8 text", "percent-encode the name as UTF-8");
        let Path((name, id)) = Path::<(String, String)>::from_request_parts(parts, state).await.map_err(not_text)?;
        Ok(Self(name, id))
    }
}

fn all(house: &House) -> Vec<Shown> {
    let snapshot = house.fleet.snapshot();
    let shown = |seen: &fleet::NodeView| Shown {
        name: seen.node.name.clone(),
        cores: seen.node.cores,
        devices: seen.devices.clone(),
        used: seen.held,
        budget: snapshot.budget,
        allocations: seen.allocations.clone(),
    };
    snapshot.nodes.iter().map(shown).collect()
}

fn find(house: &House, name: &str) -> Result<Shown, Error> {
    all(house).into_iter().find(|node| node.name == name).ok_or_else(|| Error::not_found("node", name))
}

fn check(wanted: Wanted, node: String, admin: &Admin) -> Result<fleet::Wanted, Error> {
    const LONGEST_HOLDER: usize = 128;
    if wanted.bytes.0 == 0 {
        return Err(Invalid::one("bytes", "0 sets nothing aside", "write a number of bytes, or 512MiB").into());
    }
    let holder = wanted.holder.trim().to_owned();
    if holder.is_empty() || holder.len() > LONGEST_HOLDER || holder.chars().any(char::is_control) {
        return Err(
            Invalid::one("holder", "not a name of 1 to 128 characters", "say for whom it is, in words that others understand").into()
        );
    }
    let expires_at = wanted.expires.as_deref().map(expiry).transpose()?;
    Ok(fleet::Wanted { node, device: wanted.device, bytes: wanted.bytes, holder, expires_at, cause: admin.cause() })
}

/// A point in time, or how long from now.
fn expiry(text: &str) -> Result<Timestamp, Error> {
    let now = Timestamp::now();
    let at = text.parse().ok().or_else(|| base::clock::human::parse(text).map(|time| now.plus(time)));
    match at.filter(|at| *at > now) {
        Some(at) => Ok(at),
        None => Err(Invalid::one("expires", format!("`{text}` is not a time to come"), "write 30m, 2h or 2026-01-31T12:00:00Z").into()),
    }
}
