//! How this server does, and how much was used.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base::Timestamp;
use spec::Invalid;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::House;
use crate::error::Error;
use crate::page::Page;
use crate::query::{Query, SpanQuery};
use crate::view::{ServerStatus, Usage};

const A_DAY: Duration = Duration::from_hours(24);

pub(crate) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(usage))
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

/// Sum up what was used
///
/// By model, most called first.
#[utoipa::path(get, path = "/api/v1/usage", operation_id = "list_usage", tag = "server", params(SpanQuery),
    responses((status = 200, description = "The sums", body = Page<Usage>)))]
async fn usage(State(house): State<House>, Query(span): Query<SpanQuery>) -> Result<Json<Page<Usage>>, Error> {
    if let Some(group) = span.group_by.filter(|group| group != "model") {
        return Err(Invalid::one("group_by", format!("calls are not summed by `{group}`"), "use group_by=model").into());
    }
    let to = span.to.unwrap_or_else(Timestamp::now);
    let from = span.from.unwrap_or_else(|| Timestamp::from_millis(to.as_millis().saturating_sub(millis(A_DAY))));
    if from > to {
        return Err(Invalid::one("from", format!("{from} is after {to}"), "`from` comes before `to`").into());
    }
    let sums = house.store.usage_totals(from, to).await?.into_iter().map(|sum| Usage {
        model: sum.model,
        calls: sum.calls,
        completed: sum.completed,
        prompt_tokens: sum.prompt_tokens,
        completion_tokens: sum.completion_tokens,
    });
    Ok(Json(Page::whole(sums.collect())))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
