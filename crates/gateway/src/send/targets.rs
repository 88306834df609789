//! The targets of all members that calls were sent to lately.
//!
//! In: a lease. Out: its target, made when the member is first used. Holds: a lock that is written only when a member
//! is new; targets of members that are gone leave with the table that they stood in, when the next one comes, or when the idle connections are
//! looked at. An engine that is told to end waits for its idle connections, llama-server for a tenth of a second.
//! What a deployment may still retry outlives its members: engines that die one after another bring no fresh reserve.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use base::tasks::{self, Task};
use board::{Board, Lease, Member, Table};
use spec::{InstanceId, Name};
use tokio::time::{Instant, timeout_at};

use super::budget::Budget;
use super::target::Target;
use crate::error::Error;

/// Between two looks at the idle connections.
const LOOK: Duration = Duration::from_secs(1);

/// By where the member lies in memory: whoever is published again lies elsewhere.
type Known = HashMap<usize, (Weak<Member>, Arc<Target>)>;

/// All targets.
#[derive(Debug, Default)]
pub(super) struct Targets {
    known: RwLock<Known>,
    budgets: Mutex<HashMap<Name, Arc<Budget>>>,
}

impl Targets {
    /// The target of this lease.
    pub(super) fn of(&self, lease: &Lease) -> Result<Arc<Target>, Error> {
        let at = Arc::as_ptr(&lease.member).addr();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, target)) = known.get(&at) {
            return Ok(Arc::clone(target));
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let target = match known.values().find(|(_, target)| target.is_of(lease)) {
            Some((_, same)) => Arc::clone(same),
            None => Arc::new(Target::new(lease, self.budget(&lease.entry.name))?),
        };
        // As long as the weak handle is here, nobody else can lie at this place.
        known.retain(|_, (member, _)| member.strong_count() > 0);
        known.insert(at, (Arc::downgrade(&lease.member), Arc::clone(&target)));
        Ok(target)
    }

    /// Lets go of all that is open to members that have left the board. One that is published anew keeps what it has.
    fn forget_the_gone(&self, table: &Table) {
        let has_gone = |(member, _): &(Weak<Member>, Arc<Target>)| member.strong_count() == 0;
        if !self.known.read().unwrap_or_else(PoisonError::into_inner).values().any(has_gone) {
            return;
        }
        let there: BTreeSet<&InstanceId> = table.deployments.values().flat_map(|entry| &entry.instances).map(|member| &member.id).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = known.extract_if(|_, entry| has_gone(entry) && !there.contains(&entry.1.id)).collect();
        drop(known);
        drop(gone); // closing is a call of the system's, and no work for under a lock
    }

    fn look(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (member, _)| member.strong_count() > 0);
        let targets: Vec<Arc<Target>> = known.values().map(|(_, target)| Arc::clone(target)).collect();
        drop(known);
        for target in targets {
            target.pool.let_go();
            target.lines.let_go();
        }
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|_, budget| Arc::strong_count(budget) > 1 || !budget.is_full());
    }

    /// The retries of a deployment are those of all its members together, also of those to come.
    fn budget(&self, deployment: &Name) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(budgets.entry(deployment.clone()).or_default())
    }
}

/// Lets idle connections go, as long as there is anybody to hold them.
pub(super) fn watch(targets: &Arc<Targets>, board: Arc<Board>) -> Task {
    let targets = Arc::downgrade(targets);
    tasks::spawn("idle-connections", async move {
        let mut next = Instant::now() + LOOK;
        loop {
            let mut published = false;
            let another_table = board.wait_for(|_| std::mem::replace(&mut published, true));
            let swapped = timeout_at(next, another_table).await.is_ok();
            let Some(targets) = targets.upgrade() else { return };
            if swapped {
                targets.forget_the_gone(&board.table());
            } else {
                targets.look();
                next = Instant::now() + LOOK;
            }
        }
    })
}
