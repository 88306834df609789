//! Numbers of one route: how many came, how they were answered, how long it took.
//!
//! In: requests. Out: numbers for a scrape. Holds: atomics; a route is found by its pattern without
//! a lock. Bounds: [`MOST_ROUTES`] routes and [`MOST_ANSWERS`] pairs of method and status for each; the
//! rest is counted under `other` and status 0.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::histogram::{HTTP, Histogram};
use super::label::METHODS;

/// Routes come from our own routers; this only guards against a slip.
const MOST_ROUTES: usize = 500;
/// Methods times the statuses that one route answers with.
const MOST_ANSWERS: usize = 48;
/// The route of those beyond the bound.
const OTHER: &str = "other";

/// The numbers of one route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) path: Box<str>,
    pub(crate) in_flight: AtomicI64,
    pub(crate) took: Histogram,
    answers: [Answer; MOST_ANSWERS],
}

/// A pair of method and status, and how often.
#[derive(Debug, Default)]
struct Answer {
    /// 0 while nobody has taken this place.
    key: AtomicU32,
    count: AtomicU64,
}

impl Route {
    pub(crate) fn new(path: &str) -> Self {
        let answers = std::array::from_fn(|_| Answer::default());
        Self { path: path.into(), in_flight: AtomicI64::new(0), took: Histogram::new(&HTTP), answers }
    }

    /// A request has come.
    pub(crate) fn came(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Its answer has been sent, or its caller has gone.
    pub(crate) fn left(&self, method: &'static str, status: u16, took: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.took.note_time(took);
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let key = (u32::try_from(method).unwrap_or(0) + 1) << 16;
        let (last, places) = self.answers.split_last().map_or((None, &[][..]), |(last, places)| (Some(last), places));
        let place = places.iter().find(|place| place.is(key | u32::from(status)));
        if let Some(place) = place.or(last) {
            let _ = place.key.compare_exchange(0, key, Relaxed, Relaxed); // only the last place has no key of its own
            place.count.fetch_add(1, Relaxed);
        }
    }

    /// Method, status (0 for those beyond the bound) and how often.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        self.answers.iter().filter_map(|answer| {
            let (key, count) = (answer.key.load(Relaxed), answer.count.load(Relaxed));
            let method = METHODS.get(usize::try_from(key >> 16).ok()?.checked_sub(1)?)?;
            (count > 0).then_some((*method, u16::try_from(key & 0xffff).unwrap_or(0), count))
        })
    }
}

impl Answer {
    /// This place is for that key, or is now.
    fn is(&self, wanted: u32) -> bool {
        match self.key.load(Relaxed) {
            0 => self.key.compare_exchange(0, wanted, Relaxed, Relaxed).is_ok_and(|_| true) || self.key.load(Relaxed) == wanted,
            key => key == wanted,
        }
    }
}

/// All routes by their patterns.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: ArcSwap<HashMap<Box<str>, Arc<Route>>>,
    writing: Mutex<()>,
}

impl Routes {
    /// The route of this pattern.
    pub(crate) fn of(&self, path: &str) -> Arc<Route> {
        if let Some(route) = self.known.load().get(path) {
            return Arc::clone(route);
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load_full();
        let path = if known.len() < MOST_ROUTES { path } else { OTHER };
        if let Some(route) = known.get(path) {
            return Arc::clone(route);
        }
        let route = Arc::new(Route::new(path));
        let mut more = HashMap::clone(&known);
        more.insert(path.into(), Arc::clone(&route));
        self.known.store(Arc::new(more));
        route
    }

    /// All of them, by pattern.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        let mut all: Vec<_> = self.known.load().values().cloned().collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        all
    }
}
