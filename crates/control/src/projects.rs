//! Projects: who shares what they may use.
//!
//! In: limits and budgets that hold for all tokens of a project together. Out: the project, and what its
//! tokens use now. Fails: on a name that is taken, and while tokens belong to what is to go.

use access::{NewProject, ProjectPatch, Reach, Use};
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use spec::{Event, EventKind, Invalid, Kind, Name, Project, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::{Json, from_value};
use crate::page::Page;
use crate::query::Named;
use crate::{House, view};

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, put, change, remove))
}

/// A project, and what its tokens use now.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub(crate) project: Project,
    pub(crate) usage: Use,
}

impl Shown {
    fn new(house: &House, project: Project) -> Self {
        Self { usage: house.access.use_of_project(&project.name).unwrap_or_default(), project }
    }
}

/// List projects
///
/// By name, with what their tokens use now: all of them, or those in which one has a part.
#[utoipa::path(get, path = "/api/v1/projects", operation_id = "list_projects", tag = "projects",
    responses((status = 200, description = "The projects", body = Page<view::Project>)))]
async fn list(State(house): State<House>, admin: Admin) -> Result<Answer<Page<Shown>>, Error> {
    let mut projects = house.access.list_projects().await?;
    if let Reach::Some { projects: theirs, .. } = admin.caller().reach(Verb::List, Kind::Projects)? {
        projects.retain(|project| theirs.contains(&project.name));
    }
    Ok(Answer(Page::whole(projects.into_iter().map(|project| Shown::new(&house, project)).collect())))
}

/// Make a project
///
/// Its limits and its budget hold from the next call of its tokens on; what they have used since the
/// hour, the day and the month began counts.
#[utoipa::path(post, path = "/api/v1/projects", operation_id = "create_project", tag = "projects", request_body = view::NewProject,
    responses((status = 201, description = "Made", body = view::Project)))]
async fn create(State(house): State<House>, admin: Admin, Json(wanted): Json<NewProject>) -> Result<Response, Error> {
    let project = house.access.create_project(wanted).await?;
    admin.after(&project);
    tell(&house, EventKind::ProjectCreated, &admin, &project.name).await;
    Ok((StatusCode::CREATED, Answer(Shown::new(&house, project))).into_response())
}

/// Read a project
#[utoipa::path(get, path = "/api/v1/projects/{name}", operation_id = "get_project", tag = "projects",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The project", body = view::Project)))]
async fn get(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Answer<Shown>, Error> {
    let project = house.access.get_project(&name).await?;
    match admin.caller().reach(Verb::Get, Kind::Projects)? {
        Reach::Some { projects, .. } if !projects.contains(&name) => return Err(access::Error::NoProject(name).into()),
        _ => {}
    }
    Ok(Answer(Shown::new(&house, project)))
}

/// Replace a project, or make it
///
/// The `name` may be left out of the body.
#[utoipa::path(put, path = "/api/v1/projects/{name}", operation_id = "replace_project", tag = "projects",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")), request_body = view::NewProject,
    responses((status = 200, description = "Replaced", body = view::Project), (status = 201, description = "Made", body = view::Project)))]
async fn put(State(house): State<House>, admin: Admin, Named(name): Named, Json(body): Json<Value>) -> Result<Response, Error> {
    let before = house.access.get_project(&name).await.ok();
    let (project, made) = house.access.put_project(named(body, &name)?).await?;
    if let Some(before) = &before {
        admin.before(before);
    }
    admin.after(&project);
    let (status, kind) = if made { (StatusCode::CREATED, EventKind::ProjectCreated) } else { (StatusCode::OK, EventKind::ProjectUpdated) };
    tell(&house, kind, &admin, &project.name).await;
    Ok((status, Answer(Shown::new(&house, project))).into_response())
}

/// Change a project
///
/// Holds from the next call of its tokens on; what is absent stays, `null` takes away.
#[utoipa::path(patch, path = "/api/v1/projects/{name}", operation_id = "change_project", tag = "projects",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")), request_body = view::ProjectPatch,
    responses((status = 200, description = "Changed", body = view::Project)))]
async fn change(
    State(house): State<House>,
    admin: Admin,
    Named(name): Named,
    Json(patch): Json<ProjectPatch>,
) -> Result<Answer<Shown>, Error> {
    let before = house.access.get_project(&name).await?;
    let project = house.access.patch_project(&name, patch).await?;
    admin.before(&before);
    admin.after(&project);
    tell(&house, EventKind::ProjectUpdated, &admin, &name).await;
    Ok(Answer(Shown::new(&house, project)))
}

/// Remove a project
///
/// Only one that no token belongs to: its tokens would be left without limits.
#[utoipa::path(delete, path = "/api/v1/projects/{name}", operation_id = "delete_project", tag = "projects",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<StatusCode, Error> {
    let before = house.access.get_project(&name).await?;
    house.access.delete_project(&name).await?;
    admin.before(&before);
    tell(&house, EventKind::ProjectDeleted, &admin, &name).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A project whose name is that of the path, whether it says so or not.
fn named(mut body: Value, name: &Name) -> Result<NewProject, Error> {
    if let Value::Object(fields) = &mut body {
        fields.entry("name").or_insert_with(|| json!(name));
    }
    let project: NewProject = from_value(body)?;
    if project.name == *name {
        return Ok(project);
    }
    let what = format!("`{}` is not the name in the path, `{name}`; a project keeps its name", project.name);
    Err(Invalid::one("name", what, "make another project, move the tokens to it, then remove this one").into())
}

async fn tell(house: &House, kind: EventKind, admin: &Admin, name: &Name) {
    let did = match kind {
        EventKind::ProjectCreated => "made",
        EventKind::ProjectDeleted => "removed",
        _ => "changed",
    };
    let message = format!("project `{name}` was {did} by token `{}`", admin.name());
    house.fleet.tell(Event::now(kind, admin.cause(), message)).await;
}
