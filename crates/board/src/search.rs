//! One call's way to a slot: the name that it asked for, and whoever stands in when that cannot serve.
//!
//! In: a name; later, which members failed the call, and which deployments it shall not go to. Out: leases, each on another
//! member than those that failed it, or on a fallback. Fails: as the first that was asked; each name is asked once, so fallbacks never go in circles.
//! Holds: nothing that must be given back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spec::{Affinity, InstanceId, Name};

use crate::affinity::Hint;
use crate::lane::{Asked, Caller, Lane};
use crate::lease::Lease;
use crate::route::{Desk, Serves, telling};
use crate::seats::Avoid;
use crate::standing::Waits;
use crate::table::{Entry, State};
use crate::{Board, Error};

/// Names that one call tries, whatever fallbacks there are.
const MOST_STAGES: usize = 16;

/// Behind a public name: a deployment, or several.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Deployment(Arc<Lane>, Arc<Entry>),
    Route(Arc<Desk>),
}

/// One call's way to a slot.
#[derive(Debug)]
pub struct Search {
    way: Way,
    serves: Serves,
    aim: Option<usize>,
    avoid: Vec<InstanceId>,
    ruled_out: Vec<Name>,
    open: VecDeque<Name>,
    seen: Vec<Name>,
    first: Option<Error>,
    /// There was nobody else: those that failed the call have been asked again.
    again: bool,
    keeps_to: Option<Keep>,
}

/// Whose deployments a call goes to: those of this project, and those of none.
#[derive(Debug)]
struct Keep(Option<Arc<str>>);

impl Keep {
    fn is_there(&self, entry: &Entry) -> bool {
        entry.spec.project.as_ref().is_none_or(|project| self.0.as_deref() == Some(project.as_str()))
    }
}

impl Search {
    pub(crate) fn new(way: Way) -> Self {
        let (avoid, ruled_out, seen) = (Vec::new(), Vec::new(), Vec::new());
        let mut search = Self {
            way,
            serves: |_| true,
            aim: None,
            avoid,
            ruled_out,
            open: VecDeque::new(),
            seen,
            first: None,
            again: false,
            keeps_to: None,
        };
        search.note_fallbacks();
        search
    }

    /// Keeps the call to the deployments of this project and of none, by whatever name they are reached; `false` when nothing behind this name
    /// is there for it then.
    pub fn keep_to(&mut self, project: Option<Arc<str>>) -> bool {
        self.keeps_to = Some(Keep(project));
        self.rule_out_others()
    }

    /// Rules out here what is another project's; `false` when that is all there is.
    fn rule_out_others(&mut self) -> bool {
        let Some(keep) = &self.keeps_to else { return true };
        let is_there = |entry: &Arc<Entry>| keep.is_there(entry);
        let (mine, others): (Vec<_>, Vec<_>) = match &self.way {
            Way::Deployment(_, entry) if is_there(entry) => return true,
            Way::Deployment(_, entry) => (Vec::new(), vec![entry.name.clone()]),
            Way::Route(desk) if desk.entries().all(|entry| is_there(&entry)) => return true,
            Way::Route(desk) => {
                let (mine, others): (Vec<_>, Vec<_>) = desk.entries().partition(is_there);
                (mine, others.iter().map(|entry| entry.name.clone()).collect())
            }
        };
        for name in &others {
            self.rule_out(name);
        }
        others.is_empty() || !mine.is_empty()
    }

    /// The public name that is being asked: of the deployment or route, or of the fallback that it has come to.
    pub fn name(&self) -> &Name {
        match &self.way {
            Way::Deployment(_, entry) => &entry.name,
            Way::Route(desk) => &desk.record.spec.name,
        }
    }

    /// A route of whose targets none is there.
    pub fn is_deserted(&self) -> bool {
        matches!(&self.way, Way::Route(desk) if desk.entries().next().is_none())
    }

    /// What keeps calls together here; `None` where there is nothing to choose, so nothing needs to be found out.
    pub fn affinity(&self) -> Affinity {
        match &self.way {
            Way::Deployment(lane, _) => lane.affinity(),
            Way::Route(desk) => desk.affinity(),
        }
    }

    /// The deployment that will probably serve a call of this kind; nothing when none behind the name does.
    pub fn aim(&mut self, serves: fn(&spec::Dialect) -> bool, hint: &Hint<'_>) -> Option<Arc<Entry>> {
        self.serves = serves;
        match &self.way {
            Way::Deployment(_, entry) => (serves(&entry.dialect) && !self.ruled_out.contains(&entry.name)).then(|| Arc::clone(entry)),
            Way::Route(desk) => {
                let (at, entry) = desk.aim(serves, hint, &self.ruled_out)?;
                self.aim = Some(at);
                Some(entry)
            }
        }
    }

    /// The same once more, now that one of them is ruled out.
    pub fn aim_again(&mut self, hint: &Hint<'_>) -> Option<Arc<Entry>> {
        self.aim(self.serves, hint)
    }

    /// The call shall not go to this deployment, by whatever name it is reached: not even when there is nobody else.
    pub fn rule_out(&mut self, deployment: &Name) {
        if !self.ruled_out.contains(deployment) {
            self.ruled_out.push(deployment.clone());
        }
    }

    /// Goes on to the next fallback, though somebody here could still be asked; `false` when there is none.
    pub fn leave(&mut self, board: &Board) -> bool {
        self.go_on(board)
    }

    /// The member of this lease failed the call: the next lease is on another one, where there is one.
    pub fn failed(&mut self, lease: &Lease) {
        self.avoid.push(lease.member.id.clone());
        // A call that found the deployment cold learns only here who serves it.
        if let Way::Deployment(_, entry) = &mut self.way {
            *entry = Arc::clone(&lease.entry);
        }
    }

    /// Whether somebody is left who has not failed the call, as far as can be told at a glance.
    pub fn has_others(&self) -> bool {
        let is_new = |entry: &Entry| entry.instances.is_empty() || entry.instances.iter().any(|member| !self.avoid.contains(&member.id));
        !self.open.is_empty()
            || match &self.way {
                Way::Deployment(_, entry) => is_new(entry) && !self.ruled_out.contains(&entry.name),
                Way::Route(desk) => desk.entries().any(|entry| self.serves_now(&entry) && is_new(&entry)),
            }
    }

    fn serves_now(&self, entry: &Entry) -> bool {
        (self.serves)(&entry.dialect) && !matches!(entry.state, State::Down(_)) && !self.ruled_out.contains(&entry.name)
    }

    /// A slot; waits in line as long as the deployment allows, in those of all targets of a route. Dropping the future leaves the line.
    pub async fn lease(&mut self, board: &Board, hint: &Hint<'_>) -> Result<Lease, Error> {
        loop {
            let error = match self.lease_here(board, hint).await {
                Ok(lease) => return Ok(lease),
                Err(Error::Closed) => return Err(Error::Closed),
                Err(error) => error,
            };
            let first = self.first.take().filter(|first| !matches!(first, Error::NobodyElse(_)));
            self.first = Some(first.unwrap_or(error));
            if self.go_on(board) {
                continue;
            }
            let alone = matches!(self.first, Some(Error::NobodyElse(_)));
            if !alone || std::mem::replace(&mut self.again, true) {
                return Err(self.first.take().unwrap_or_else(|| Error::NotFound(self.name().clone())));
            }
        }
    }

    async fn lease_here(&mut self, board: &Board, hint: &Hint<'_>) -> Result<Lease, Error> {
        let asked = match self.ask(hint, &[]) {
            Err(Error::NotFound(_)) if self.look_again(board) => self.ask(hint, &[]),
            asked => asked,
        };
        let lease = match asked {
            Ok(Asked::Served(lease)) => Ok(lease),
            Ok(Asked::Waits(waits)) => Box::pin(self.wait(board, hint, waits)).await, // boxed, so that a call that does not wait carries none of it
            Err(error) => Err(error),
        };
        lease.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound(self.name().clone()), // not that of a target, which the caller never asked for
            error => error,
        })
    }

    fn ask(&mut self, hint: &Hint<'_>, tried: &[Name]) -> Result<Asked, Error> {
        let elsewhere = !self.open.is_empty();
        let avoid = Avoid { ids: &self.avoid, unless_alone: !elsewhere };
        let caller = Caller { avoid, ruled_out: &self.ruled_out, tried, hint: *hint, keep_alive: None, elsewhere };
        match &self.way {
            Way::Deployment(_, entry) if self.ruled_out.contains(&entry.name) => Err(Error::NobodyElse(entry.name.clone())),
            Way::Deployment(lane, _) => Lane::ask(lane, &caller),
            Way::Route(desk) => desk.ask(&caller, self.serves, self.aim.take()),
        }
    }

    /// A slot, when it comes in time. Where a target of a route has none after all the others are asked, each once.
    async fn wait(&mut self, board: &Board, hint: &Hint<'_>, mut waits: Waits) -> Result<Lease, Error> {
        let (came, mut tried, mut said) = (waits.began(), Vec::new(), None);
        loop {
            tried.push(waits.lane().glance().entry.name.clone());
            let patience = waits.patience();
            let error = match waits.lease(patience).await {
                Ok(lease) => {
                    lease.lane().learn(hint, &lease);
                    return Ok(lease);
                }
                Err(Error::Closed) => return Err(Error::Closed),
                Err(error) => telling(said.take(), error),
            };
            if !self.look_again(board) {
                return Err(error);
            }
            waits = match self.ask(hint, &tried) {
                Ok(Asked::Served(lease)) => return Ok(lease),
                Ok(Asked::Waits(next)) => next.since(came),
                Err(Error::Closed) => return Err(Error::Closed),
                Err(next) => return Err(telling(Some(error), next)),
            };
            said = Some(error);
        }
    }

    /// Takes the route as it is now: targets may have come and gone since the call came. `false` when it is no route.
    fn look_again(&mut self, board: &Board) -> bool {
        let Way::Route(desk) = &self.way else { return false };
        let Some(way) = board.way(&desk.record.spec.name) else { return false };
        self.way = way;
        self.rule_out_others()
    }

    /// To the next fallback that serves calls of this kind.
    fn go_on(&mut self, board: &Board) -> bool {
        while let Some(name) = self.open.pop_front() {
            let Some(way) = board.way(&name) else { continue };
            let before = std::mem::replace(&mut self.way, way);
            if !self.rule_out_others() || self.aim(self.serves, &Hint::default()).is_none() {
                self.way = before;
                continue;
            }
            self.aim = None;
            self.note_fallbacks();
            board.fallbacks.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    fn note_fallbacks(&mut self) {
        let next = match &self.way {
            Way::Deployment(_, entry) if entry.spec.fallback.is_empty() => return,
            Way::Deployment(_, entry) => entry.spec.fallback.clone(),
            Way::Route(desk) => desk.fallback(),
        };
        if self.seen.is_empty() {
            self.seen.push(self.name().clone());
        }
        for name in next {
            if self.seen.len() < MOST_STAGES && !self.seen.contains(&name) {
                self.seen.push(name.clone());
                self.open.push_back(name);
            }
        }
    }
}
