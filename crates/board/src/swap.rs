//! How does a new table take the place of the old one?
//!
//! In: what is published now, and the new table. Out: the view that readers get in one swap, and the lanes that have to be told. Only
//! what has changed is looked at and made anew; the rest is shared with the old view, whoever still reads it. A deployment that is gone
//! keeps its lane until its last call has ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use spec::{Name, RouteRecord};

use crate::Pulse;
use crate::lane::Lane;
use crate::route::Desk;
use crate::search::Way;
use crate::shelf::Shelf;
use crate::table::{Entry, Table};

/// All that readers need.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) table: Arc<Table>,
    /// Also those of deployments that are leaving.
    pub(crate) lanes: Shelf<Arc<Lane>>,
    pub(crate) ways: Shelf<Way>,
    /// Gone from the table, with calls that still run.
    leaving: Vec<Name>,
}

/// Lanes that get a new entry, or learn that their deployment is gone.
pub(crate) type Told = Vec<(Arc<Lane>, Option<Arc<Entry>>)>;

impl View {
    /// The view of this table after the one that there is.
    pub(crate) fn next(&self, table: Table, pulse: &Arc<Pulse>) -> (Self, Told) {
        let (mut lanes, mut leaving, mut told) = (self.lanes.clone(), self.leaving.clone(), Told::new());
        let changes = table.deployments.changes(&self.table.deployments, Arc::ptr_eq);
        for (name, entry) in &changes {
            let lane = lanes.get(*name).map(Arc::clone);
            match (lane, entry) {
                (Some(lane), Some(entry)) => told.push((lane, Some(Arc::clone(entry)))),
                (None, Some(entry)) => {
                    let lane = Arc::new(Lane::new(Arc::clone(entry), Arc::clone(pulse)));
                    lanes.insert((*name).clone(), lane);
                }
                (Some(lane), None) => {
                    told.push((lane, None));
                    leaving.push((*name).clone());
                }
                (None, None) => {}
            }
        }
        // Calls of those that leave go on: the fleet must see them until the last one ends.
        leaving.retain(|name| {
            let is_back = table.deployments.contains_key(name);
            let stays = !is_back && lanes.get(name).is_some_and(|lane| lane.is_busy());
            if !is_back && !stays {
                lanes.remove(name);
            }
            stays
        });
        let moved: BTreeSet<&Name> = changes.iter().map(|(name, _)| *name).collect();
        let ways = self.ways(&table, &lanes, &moved);
        (Self { table: Arc::new(table), lanes, ways, leaving }, told)
    }

    /// What is behind each public name, once these deployments have changed.
    fn ways(&self, table: &Table, lanes: &Shelf<Arc<Lane>>, moved: &BTreeSet<&Name>) -> Shelf<Way> {
        let leads_there = |route: &RouteRecord| route.spec.targets.iter().any(|target| moved.contains(&target.deployment));
        let above = table.routes.iter().filter(|(_, route)| !moved.is_empty() && leads_there(route)).map(|(name, _)| name);
        let routes = table.routes.changes(&self.table.routes, Arc::ptr_eq);
        let names: BTreeSet<&Name> = moved.iter().copied().chain(above).chain(routes.iter().map(|(name, _)| *name)).collect();
        let mut ways = self.ways.clone();
        for name in names {
            match self.way(name, table, lanes) {
                Some(way) => ways.insert(name.clone(), way),
                None => ways.remove(name),
            };
        }
        ways
    }

    fn way(&self, name: &Name, table: &Table, lanes: &Shelf<Arc<Lane>>) -> Option<Way> {
        let lane_of = |name: &Name| Some((Arc::clone(lanes.get(name)?), Arc::clone(table.deployments.get(name)?)));
        // A deployment comes before a route of the same name, should there ever be one.
        if let Some((lane, entry)) = lane_of(name) {
            return Some(Way::Deployment(lane, entry));
        }
        let before = match self.ways.get(name) {
            Some(Way::Route(desk)) => Some(desk.as_ref()),
            _ => None,
        };
        let route = table.routes.get(name)?;
        Some(Way::Route(Arc::new(Desk::new(Arc::clone(route), lane_of, before))))
    }
}
