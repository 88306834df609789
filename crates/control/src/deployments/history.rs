//! Why a deployment is as it is, and what it was before.

use axum::Json;
use axum::extract::State;
use fleet::StepView;
use fleet::pipeline::Done;
use serde::Serialize;
use spec::deployment::Step;
use spec::{Name, Reason, Revision};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::stored;
use crate::error::Error;
use crate::page::Page;
use crate::query::Named;
use crate::shown::{Sight, state};
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(explain)).routes(routes!(revisions))
}

#[derive(Debug, Serialize)]
struct Explained {
    name: Name,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    pipeline: String,
    steps: Vec<ExplainedStep>,
    memory: base::ByteSize,
    used: base::ByteSize,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<base::ByteSize>,
}

#[derive(Debug, Serialize)]
struct ExplainedStep {
    step: Step,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

impl From<&StepView> for ExplainedStep {
    fn from(view: &StepView) -> Self {
        let (state, reason) = match &view.done {
            Done::Yes => ("done", None),
            Done::No(reason) => ("open", Some(reason.clone())),
            Done::Impossible(reason) => ("impossible", Some(reason.clone())),
        };
        Self { step: view.step, state, reason }
    }
}

/// Explain a deployment
///
/// Its pipeline, step by step, with the reason of each that is not done, and its memory.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/explain", operation_id = "explain_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "Why it is as it is", body = view::Explanation)))]
async fn explain(State(house): State<House>, Named(name): Named) -> Result<Json<Explained>, Error> {
    let record = stored(&house, &name).await?;
    let sight = Sight::now(&house);
    let view = sight.view(&name);
    Ok(Json(Explained {
        state: state(&record, view),
        reason: view.and_then(|view| view.reason.clone()),
        pipeline: record.spec.pipeline().to_owned(),
        steps: view.map(|view| view.steps.iter().map(ExplainedStep::from).collect()).unwrap_or_default(),
        memory: view.map(|view| view.memory).unwrap_or_default(),
        used: sight.snapshot.used,
        budget: sight.snapshot.budget,
        name,
    }))
}

/// List the revisions of a deployment
///
/// Newest first; the newest fifty are kept, and those that an instance still runs.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/revisions", operation_id = "list_revisions", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "The revisions", body = Page<view::Revision>)))]
async fn revisions(State(house): State<House>, Named(name): Named) -> Result<Json<Page<Revision>>, Error> {
    stored(&house, &name).await?;
    Ok(Json(Page::whole(house.store.list_revisions(&name).await?)))
}
