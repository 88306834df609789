//! The service API of older clients.
//!
//! In: what they call a service: a model, accelerators, replicas. Out: their envelope
//! `{code, message, data}`, with 0 for success. A service is a deployment that is called like its
//! model and has an id of 8 hexadecimal digits beside; everything else of a deployment is as ever.
//! Fails: 400 for every field that cannot be honoured, 404 for an unknown id, in the same envelope.
//! From: iflytek's astron-xmod-shim, whose clients these are.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use base::id::random_hex;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spec::deployment::Origin;
use spec::{Deployment, EventKind, Name, Record};
use store::Service;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::House;
use crate::deployments::wish;
use crate::door::Admin;
use crate::error::Error;
use crate::json::AnyJson;
use crate::precondition::Expect;
use crate::query::Ident;

mod ask;
mod metrics;
mod moving;
mod resources;
mod steps;

mod progress;

pub(crate) use moving::follow;

use ask::ServiceSpec;
use progress::ServiceStatus;
use steps::ServicePipeline;

/// The paths that answer in the envelope.
pub(crate) const SERVICES: &str = "/api/v1/modserv";
/// Digits of the id of a service.
const ID_DIGITS: usize = 8;
/// Ids that are remembered; beyond that the oldest ones whose deployment is gone make room.
const MOST_SERVICES: usize = 1_000;
/// The label by which a deployment says whose service it is.
const LABEL: &str = "modserv.service-id";

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(deploy))
        .routes(routes!(list))
        .routes(routes!(metrics))
        .routes(routes!(get, update, delete))
        .routes(routes!(pipeline))
}

/// What older clients get for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Envelope {
    /// 0, or the HTTP status of the failure.
    code: u16,
    /// What was done, or what is wrong and what to do.
    message: String,
    /// What was asked for; null in a failure.
    data: Value,
}

fn done(message: &str, data: impl Serialize) -> Json<Envelope> {
    Json(Envelope { code: 0, message: message.to_owned(), data: json!(data) })
}

/// Deploy a service
#[utoipa::path(post, path = "/api/v1/modserv/deploy", operation_id = "modserv_deploy", tag = "modserv", request_body = ServiceSpec,
    responses((status = 200, description = "Stored; `data` is `{serviceId}`", body = Envelope)))]
async fn deploy(State(house): State<House>, admin: Admin, AnyJson(ask): AnyJson<ServiceSpec>) -> Result<Json<Envelope>, Error> {
    ask.check_id("")?;
    let id = random_hex(ID_DIGITS);
    let wanted = ask.wish((&house, &admin), labelled(Deployment::named(ask.model_name.clone()), &id)).await?;
    make_room(&house).await?;
    // The id first: a deployment without its id could never be asked for again.
    house.store.put_service(&id, &wanted.name).await?;
    if let Err(error) = create(&house, &admin, &wanted).await {
        house.store.remove_service(&id).await?;
        return Err(error);
    }
    Ok(done("deploy submit success", json!({"serviceId": id})))
}

/// List services
///
/// Oldest first; `data` is a list of what `GET /api/v1/modserv/{id}` gives.
#[utoipa::path(get, path = "/api/v1/modserv/list", operation_id = "modserv_list", tag = "modserv",
    responses((status = 200, description = "The services", body = Envelope)))]
async fn list(State(house): State<House>) -> Result<Json<Envelope>, Error> {
    Ok(done("success", statuses(&house).await?))
}

/// Read the state of a service
#[utoipa::path(get, path = "/api/v1/modserv/{id}", operation_id = "modserv_get", tag = "modserv",
    params(("id" = String, Path, description = "Its id: 8 hexadecimal digits")),
    responses((status = 200, description = "Its state, in `data`", body = inline(progress::StatusEnvelope))))]
async fn get(State(house): State<House>, Ident(id): Ident) -> Result<Json<Envelope>, Error> {
    let service = known(&house, &id).await?;
    let record = record_of(&house, &service).await?;
    Ok(done("success", ServiceStatus::of(&house, &service, record.as_ref())))
}

/// Change a service
///
/// Another model moves the service by rollout; nothing of the old one is left behind. Under another `modelName` the old one serves until
/// the new one does, or until that has found no room beside it; where the new one never comes up, the old one stays.
#[utoipa::path(put, path = "/api/v1/modserv/{id}", operation_id = "modserv_update", tag = "modserv", request_body = ServiceSpec,
    params(("id" = String, Path, description = "Its id: 8 hexadecimal digits")),
    responses((status = 200, description = "Stored; `data` is `{serviceId}`", body = Envelope)))]
async fn update(
    State(house): State<House>,
    admin: Admin,
    Ident(id): Ident,
    AnyJson(ask): AnyJson<ServiceSpec>,
) -> Result<Json<Envelope>, Error> {
    let service = known(&house, &id).await?;
    ask.check_id(&id)?;
    match record_of(&house, &service).await?.filter(|record| !record.deleting) {
        Some(record) if record.spec.name == ask.model_name => {
            let wanted = ask.wish((&house, &admin), labelled(record.spec, &id)).await?;
            wish::put(&house, &ask.model_name, (&Expect::Something, &admin), |_| Ok(wanted.clone())).await?;
        }
        old => move_to((&house, &admin), &ask, (&service, old)).await?,
    }
    Ok(done("update submit success", json!({"serviceId": id})))
}

/// Moves a service to a deployment of another name: a new one, or one that it has moved from and that is still there. The old one is
/// marked first and makes way by itself ([`moving`]), so that a crash between two steps loses neither.
async fn move_to((house, admin): (&House, &Admin), ask: &ServiceSpec, (service, old): (&Service, Option<Record>)) -> Result<(), Error> {
    let there = house.store.get_deployment(&ask.model_name).await?;
    let there = there.filter(|record| record.spec.labels.get(LABEL) == Some(&service.id));
    let base = there.as_ref().map_or_else(|| Deployment::named(ask.model_name.clone()), |record| record.spec.clone());
    let wanted = ask.wish((house, admin), labelled(base, &service.id)).await?;
    if let Some(old) = &old {
        mark((house, admin), &old.spec, &service.id, true).await?;
    }
    let stored = match there {
        Some(_) => wish::put(house, &wanted.name, (&Expect::Anything, admin), |_| Ok(wanted.clone())).await.map(drop), // it may be going
        None => create(house, admin, &wanted).await,
    };
    match (stored, old) {
        (Ok(()), _) => Ok(house.store.put_service(&service.id, &wanted.name).await?),
        (Err(error), None) => Err(error),
        (Err(error), Some(old)) => {
            mark((house, admin), &old.spec, &service.id, false).await?;
            Err(error)
        }
    }
}

/// Says of a deployment whether it makes way for another one of its service.
async fn mark((house, admin): (&House, &Admin), old: &Deployment, id: &str, leaves: bool) -> Result<(), Error> {
    let mut wanted = labelled(old.clone(), id);
    if leaves {
        wanted.labels.insert(moving::LEAVES.to_owned(), "true".to_owned());
    }
    wish::put(house, &old.name, (&Expect::Something, admin), |_| Ok(wanted.clone())).await.map(drop)
}

/// Delete a service
///
/// Deleting it again changes nothing.
#[utoipa::path(delete, path = "/api/v1/modserv/{id}", operation_id = "modserv_delete", tag = "modserv",
    params(("id" = String, Path, description = "Its id: 8 hexadecimal digits")),
    responses((status = 200, description = "On its way out; `data` is `{serviceId}`", body = Envelope)))]
async fn delete(State(house): State<House>, admin: Admin, Ident(id): Ident) -> Result<Json<Envelope>, Error> {
    let service = known(&house, &id).await?;
    let ours = |record: &Record| record.spec.labels.get(LABEL) == Some(&id) && moving::leaves(record);
    let old = house.store.list_deployments().await?.into_iter().filter(ours);
    for record in old.chain(record_of(&house, &service).await?).filter(|record| !record.deleting) {
        wish::delete(&house, &record.spec.name, &admin).await?;
    }
    Ok(done("delete submit success", json!({"serviceId": id})))
}

/// Read the pipeline of a service
///
/// Each step with its state and its times.
#[utoipa::path(get, path = "/api/v1/modserv/{id}/pipeline", operation_id = "modserv_pipeline", tag = "modserv",
    params(("id" = String, Path, description = "Its id: 8 hexadecimal digits")),
    responses((status = 200, description = "Its steps, in `data`", body = inline(steps::PipelineEnvelope))))]
async fn pipeline(State(house): State<House>, Ident(id): Ident) -> Result<Json<Envelope>, Error> {
    let service = known(&house, &id).await?;
    let record = record_of(&house, &service).await?;
    Ok(done("success", ServicePipeline::of(&house, &service, record.as_ref()).await?))
}

/// Services in figures
///
/// In the text form of Prometheus.
#[utoipa::path(get, path = "/api/v1/modserv/metrics", operation_id = "modserv_metrics", tag = "modserv",
    responses((status = 200, description = "The figures", content((String = "text/plain")))))]
async fn metrics(State(house): State<House>) -> Result<impl IntoResponse, Error> {
    let text = metrics::text(&statuses(&house).await?);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

async fn known(house: &House, id: &str) -> Result<Service, Error> {
    house.store.get_service(id).await?.ok_or_else(|| Error::not_found("service", id))
}

/// The deployment behind a service; none when it is gone, or its name belongs to another service now.
async fn record_of(house: &House, service: &Service) -> Result<Option<Record>, Error> {
    let record = house.store.get_deployment(&service.deployment).await?;
    Ok(record.filter(|record| belongs(record, service)))
}

fn belongs(record: &Record, service: &Service) -> bool {
    record.spec.labels.get(LABEL).is_none_or(|label| *label == service.id)
}

/// It is of this service, and makes way for nobody.
fn labelled(mut spec: Deployment, id: &str) -> Deployment {
    spec.labels.insert(LABEL.to_owned(), id.to_owned());
    spec.labels.remove(moving::LEAVES);
    spec
}

async fn create(house: &House, admin: &Admin, wanted: &Deployment) -> Result<(), Error> {
    wish::may_want(house, admin, None, wanted).await?;
    let record = house.store.create_deployment(wanted, Origin::Api).await?;
    admin.after(&crate::shown::told(&record.spec));
    wish::announce(house, EventKind::DeploymentCreated, &record, admin).await;
    Ok(())
}

async fn statuses(house: &House) -> Result<Vec<ServiceStatus>, Error> {
    let services = house.store.list_services().await?;
    let records = by_name(house).await?;
    let record = |service: &Service| records.get(&service.deployment).filter(|record| belongs(record, service));
    Ok(services.iter().map(|service| ServiceStatus::of(house, service, record(service))).collect())
}

async fn by_name(house: &House) -> Result<BTreeMap<Name, Record>, Error> {
    Ok(house.store.list_deployments().await?.into_iter().map(|record| (record.spec.name.clone(), record)).collect())
}

/// Forgets the oldest services that are gone, once there are too many.
async fn make_room(house: &House) -> Result<(), Error> {
    let services = house.store.list_services().await?;
    let too_many = (services.len() + 1).saturating_sub(MOST_SERVICES);
    if too_many == 0 {
        return Ok(());
    }
    let records = by_name(house).await?;
    let is_gone = |service: &&Service| records.get(&service.deployment).is_none_or(|record| !belongs(record, service));
    for service in services.iter().filter(is_gone).take(too_many) {
        house.store.remove_service(&service.id).await?;
    }
    Ok(())
}
