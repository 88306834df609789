//! What must be looked at again, to publish and to show what a turn has made of the world?
//!
//! In: wishes that were touched, deployments about which there may be something to do. Out: a table on the board and a snapshot, which take over
//! everything else as it was. A deployment that is active now or was at the last look is looked at, as is one whose wish somebody had in
//! hand; whatever can change by time alone is active ([`Wish::is_at_rest`](crate::world::Wish::is_at_rest)). From: level-triggered
//! controllers, with the level kept where it was found.

use std::collections::BTreeSet;
use std::sync::Arc;

use spec::{Name, Phase, Revision};

use crate::publish;
use crate::snapshot::snapshot;
use crate::turn::Owner;
use crate::wishes::Active;

/// What has to be looked at since the last look.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    touched: BTreeSet<Name>,
    active: BTreeSet<Name>,
}

impl Fresh {
    pub(crate) fn touch(&mut self, names: impl IntoIterator<Item = Name>) {
        self.touched.extend(names);
    }
    /// The names to look at now.
    pub(crate) fn take(&mut self, active: &Active<'_>) -> BTreeSet<Name> {
        let now: BTreeSet<Name> = active.keys().copied().cloned().collect();
        let mut names = std::mem::replace(&mut self.active, now.clone());
        names.extend(now);
        names.append(&mut self.touched);
        names
    }
}

impl Owner {
    /// Writes what has changed on the board.
    pub(crate) fn publish(&mut self) {
        self.note_touched();
        let secrets = &self.secrets;
        let remote_key = |revision: &Revision| revision.spec.key_from().and_then(|from| secrets(from));
        let active = self.world.active();
        let names = self.unpublished.take(&active);
        self.counters.published += publish::count(&names);
        let table = publish::renewed(&self.world, &active, &self.board.table(), &names, &remote_key);
        if let Some(table) = table {
            self.show(); // before anybody is served: who has had an answer finds its model ready
            self.board.publish(table);
        }
        self.board.watch_for_idle(self.world.items.values().any(|item| item.phase == Phase::Placing));
    }

    /// Writes names that were stored a moment ago on the board, before anything is planned for them: whoever was told that they are stored
    /// may call them.
    pub(crate) fn publish_new_names(&mut self) {
        let table = self.board.table();
        let is_new =
            |name: &Name| self.world.wishes.get(name).is_some_and(|wish| !wish.record.deleting) && !table.deployments.contains_key(name);
        if self.world.wishes.touched().any(is_new) {
            self.publish();
        }
    }

    /// What others may see of this turn.
    pub(crate) fn show(&mut self) {
        self.note_touched();
        let active = self.world.active();
        let names = self.unseen.take(&active);
        self.counters.shown += publish::count(&names);
        let before = Arc::clone(&self.snapshots.borrow());
        self.snapshots.send_replace(Arc::new(snapshot(&self.world, &active, (&before, &names), self.counters)));
    }

    fn note_touched(&mut self) {
        let touched = self.world.wishes.take_touched();
        self.unpublished.touch(touched.iter().cloned());
        self.unseen.touch(touched);
    }
}
