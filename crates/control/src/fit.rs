//! Whether a model would fit, where, and who would leave for it.
//!
//! In: an entry of the config's `deployments`, of which all but the model may be left out; or the name of a deployment, and what
//! would be different. Out: what the engine room would decide about one more instance of it now. Nothing is stored, nothing is
//! started. Fails: with all that is wrong with the spec, and with what is wrong with its model.

use std::sync::Arc;

use axum::extract::State;
use fleet::Trial;
use serde_json::{Value, json};
use spec::{Deployment, Invalid, Kind, Name, Revision, Source};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::door::Admin;
use crate::error::Error;
use crate::json::{Json, from_value, merge};
use crate::{House, belongs, view};

/// The name of what is only asked about.
const NAMELESS: &str = "fit";

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(fit))
}

/// Ask whether a model would fit
///
/// Where it would go, who would leave for it and what that costs, as the engine room would decide about one more instance now. The
/// body is a DeploymentSpec; with the `name` of a deployment, what is absent is as that has it. Nothing is stored or started; a model that
/// lies on another machine is fetched, which takes what registering it takes.
#[utoipa::path(post, path = "/api/v1/fit", operation_id = "fit", tag = "deployments",
    request_body(content((Object = "application/json")), description = "Some fields of a DeploymentSpec: `model`, or the `name` of a deployment"),
    responses((status = 200, description = "What would happen", body = view::Trial)))]
async fn fit(State(house): State<House>, admin: Admin, Json(asked): Json<Value>) -> Result<axum::Json<Trial>, Error> {
    let (spec, stored) = whole(&house, asked).await?;
    spec.check()?;
    if let Some(source) = spec.model.as_ref().filter(|source| stored.as_ref() != Some(*source)) {
        belongs::check_source(&house, &admin, source).await?;
        if source.is_remote() {
            // It is fetched to be looked at, as for a model that is registered.
            belongs::may_make(&admin, Kind::Models, spec.project.as_ref())?;
        }
    }
    let version = match spec.model.as_ref().filter(|_| spec.engine().needs_model()) {
        Some(source) => Some(house.registry.resolve(source).await.map_err(|source| Error::Model { field: "model", source })?),
        None => None,
    };
    let revision = Arc::new(Revision { number: 0, spec, version });
    Ok(axum::Json(house.fleet.fit(&revision).await?))
}

/// What was asked, over the deployment that it names; with the model that this has.
async fn whole(house: &House, asked: Value) -> Result<(Deployment, Option<Source>), Error> {
    let Value::Object(mut fields) = asked else {
        return Err(Invalid::one("body", "it is no object", "send {\"model\": \"file:PATH\"} or {\"name\": \"DEPLOYMENT\"}").into());
    };
    fields.entry("name").or_insert_with(|| json!(NAMELESS));
    let name = fields.get("name").and_then(Value::as_str).map(Name::parse).transpose()?;
    let stored = match name {
        Some(name) => house.store.get_deployment(&name).await?,
        None => None,
    };
    let mut document = stored.as_ref().map_or_else(|| json!({}), |record| json!(record.spec));
    merge(&mut document, Value::Object(fields));
    Ok((from_value(document)?, stored.and_then(|record| record.spec.model)))
}
