//! Models from other machines come by an operation, which goes on when the asker goes.
//!
//! In: a registration whose source lies on another machine. Out: 202 with the operation. Fails: 429 when too many run already; what goes
//! wrong later stands in the operation.

use axum::Json as Answer;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use registry::{Pull, Told};
use serde_json::json;
use spec::{Event, EventKind};

use super::refuse;
use crate::House;
use crate::door::Admin;
use crate::error::Error;

/// Begins it, and tells of its end.
pub(super) async fn begin(house: &House, admin: &Admin, pull: Pull) -> Result<Response, Error> {
    let (fleet, cause, who) = (house.fleet.clone(), admin.cause(), admin.name().to_owned());
    let told: Told = Box::new(move |operation, model| {
        let Some(model) = model else { return };
        let message = format!("model `{}` was pulled from {} for token `{who}`", operation.target, model.source.told());
        base::tasks::spawn("pulled", async move {
            fleet.tell(Event::now(EventKind::ModelRegistered, cause, message)).await;
            fleet.poke();
        })
        .detach();
    });
    let (name, source) = (pull.name.clone(), pull.source.shown());
    let operation = house.registry.begin_pull(pull, told).await.map_err(refuse("source"))?;
    admin.after(&json!({ "name": name, "source": source, "operation": operation.id }));
    let mut response = (StatusCode::ACCEPTED, Answer(&operation)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/operations/{}", operation.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}
