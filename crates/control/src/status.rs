//! How this server does.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::House;
use crate::view::ServerStatus;

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How this server does
#[utoipa::path(get, path = "/api/v1/status", operation_id = "get_status", tag = "server",
    responses((status = 200, description = "Its version, memory and totals", body = ServerStatus)))]
async fn status(State(house): State<House>) -> Json<ServerStatus> {
    let snapshot = house.fleet.snapshot();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Json(ServerStatus {
        version: house.version.clone(),
        base_url: house.base_url.clone(),
        deployments: count(snapshot.deployments.len()),
        ready: count(snapshot.deployments.values().filter(|view| view.ready > 0).count()),
        instances: count(snapshot.instances.len()),
        in_flight: count(house.board.in_flight()),
        memory_used: snapshot.used.0,
        memory_budget: snapshot.budget.map(|budget| budget.0),
        memory_margin: snapshot.margin.0,
        loads_total: snapshot.counters.loads,
        evictions_total: snapshot.counters.evictions,
        failures_total: snapshot.counters.failures,
    })
}
