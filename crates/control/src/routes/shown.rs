//! A route as it is shown: the wish, and how its targets stand.
//!
//! In: what is stored, the fleet's snapshot, the board's numbers. Out: the resource.

use base::Timestamp;
use serde::Serialize;
use spec::deployment::Origin;
use spec::{Name, Route, RouteRecord};

use crate::House;
use crate::shown::{Sight, state};

/// A route as a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    name: Name,
    spec: Route,
    status: Status,
    generation: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Status {
    in_flight: u32,
    targets: Vec<TargetStatus>,
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct TargetStatus {
    deployment: Name,
    state: String,
    share: f64,
    ejected: bool,
}

impl Shown {
    /// A stored route with its status.
    pub(crate) fn new(record: RouteRecord, house: &House, sight: &Sight) -> Self {
        let name = record.spec.name.clone();
        let total: u32 = record.spec.targets.iter().map(|target| target.weight).sum();
        let targets = record.spec.targets.iter().map(|target| TargetStatus {
            deployment: target.deployment.clone(),
            state: sight.view(&target.deployment).map_or("missing", |view| state(&view.record, Some(view))).to_owned(),
            share: f64::from(target.weight) / f64::from(total.max(1)),
            ejected: house.board.is_ejected(&name, &target.deployment),
        });
        let in_flight = house.board.counts().iter().find(|count| count.name == name).map_or(0, |count| count.in_flight);
        Self {
            status: Status { in_flight, targets: targets.collect(), origin: record.origin },
            name,
            generation: record.generation,
            created_at: record.created_at,
            updated_at: record.updated_at,
            spec: record.spec,
        }
    }
}
