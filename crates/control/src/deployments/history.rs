//! Why a deployment is as it is.

use axum::Json;
use axum::extract::State;
use fleet::StepView;
use fleet::pipeline::Done;
use serde::Serialize;
use spec::deployment::Step;
use spec::{Name, Reason, Verb};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ours;
use crate::door::Admin;
use crate::error::Error;
use crate::query::Named;
use crate::shown::{ShownRollout, ShownScaling, Sight, state};
use crate::{House, view};

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(explain))
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
    rollout: ShownRollout,
    scaling: ShownScaling,
    #[serde(flatten)]
    decision: Option<fleet::Explained>,
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
/// Its pipeline, step by step, with the reason of each that is not done; how many instances there should be, with the numbers that
/// led to it; each instance with what it was created for; what keeps it from having another, and when that is tried again; and
/// what would happen if another were wanted now: where it would go, who would leave for it, and what that costs. The engine
/// room answers by the code that decides, on a copy of what it sees.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/explain", operation_id = "explain_deployment", tag = "deployments",
    params(("name" = String, Path, description = "Its name; a slash is written `%2F`")),
    responses((status = 200, description = "Why it is as it is", body = view::Explanation)))]
async fn explain(State(house): State<House>, admin: Admin, Named(name): Named) -> Result<Json<Explained>, Error> {
    let record = ours(&house, &admin, Verb::Get, &name).await?;
    let decision = house.fleet.explain(&name).await.ok(); // one that it has not seen yet has nothing to explain
    let sight = Sight::now(&house);
    let view = sight.view(&name);
    Ok(Json(Explained {
        decision,
        state: state(&record, view),
        reason: view.and_then(|view| view.reason.clone()),
        pipeline: record.spec.pipeline().to_owned(),
        steps: view.map(|view| view.steps.iter().map(ExplainedStep::from).collect()).unwrap_or_default(),
        memory: view.map(|view| view.memory).unwrap_or_default(),
        used: sight.snapshot.used,
        budget: sight.snapshot.budget,
        rollout: ShownRollout::of(&record, view),
        scaling: view.map(|view| ShownScaling::from(&view.scaling)).unwrap_or_default(),
        name,
    }))
}
