//! The wishes of the world, which of them somebody has had in hand, and which of them rest.
//!
//! In: changes. Out: the wishes by name, and once the names of those that may have changed. There is no other way to change a wish, so
//! nothing that is made of the wishes has to look at those that nobody has touched. Holds: as many names as there are wishes, or were
//! since the last look.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Index;

use board::Board;
use spec::{Name, RolloutPhase};

use crate::world::{Hand, Item, Resolve, Wish, World};

/// All wishes, by name.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    all: BTreeMap<Name, Wish>,
    touched: BTreeSet<Name>,
}

impl Wishes {
    /// The wish of this name.
    pub fn get(&self, name: &Name) -> Option<&Wish> {
        self.all.get(name)
    }
    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &Name) -> Option<&mut Wish> {
        let wish = self.all.get_mut(name)?;
        self.touched.insert(name.clone());
        Some(wish)
    }
    /// Whether there is one.
    pub fn contains_key(&self, name: &Name) -> bool {
        self.all.contains_key(name)
    }
    /// Puts a wish; gives the one that was there.
    pub fn insert(&mut self, name: Name, wish: Wish) -> Option<Wish> {
        self.touched.insert(name.clone());
        self.all.insert(name, wish)
    }
    /// Takes a wish out.
    pub fn remove(&mut self, name: &Name) -> Option<Wish> {
        self.touched.insert(name.clone());
        self.all.remove(name)
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
    /// All of them, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, Name, Wish> {
        self.all.iter()
    }
    /// All of them, by name, to be changed: each counts as touched.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, Name, Wish> {
        self.touch_all();
        self.all.iter_mut()
    }
    /// The same without their names.
    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, Name, Wish> {
        self.touch_all();
        self.all.values_mut()
    }
    /// The names of those that are like this, so that they can be changed one by one.
    pub fn that(&self, is: impl Fn(&Wish) -> bool) -> Vec<Name> {
        self.all.iter().filter(|(_, wish)| is(wish)).map(|(name, _)| name.clone()).collect()
    }
    /// Something has changed that all of them depend on.
    pub fn touch_all(&mut self) {
        self.touched.extend(self.all.keys().cloned());
    }
    /// The names of those that were touched since they were last taken.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Name> {
        self.touched.iter()
    }
    /// The names of those that were touched since the last time, whether or not they are still there.
    pub fn take_touched(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.touched)
    }
    /// Takes in what callers want; whose callers want what they wanted is not touched.
    pub(crate) fn take_in_demand(&mut self, board: &Board) {
        let mut wishes = self.all.iter_mut().peekable();
        board.each_demand(|demand| {
            while wishes.next_if(|(name, _)| **name < demand.deployment).is_some() {} // both come by name
            let Some((name, wish)) = wishes.next_if(|(name, _)| **name == demand.deployment) else { return };
            let calls_back = demand.waiting > 0 && wish.hand == Hand::Unload;
            if calls_back {
                wish.hand = Hand::Off;
            }
            if calls_back || wish.demand != demand {
                wish.demand = demand;
                self.touched.insert(name.clone());
            }
        });
    }
}

/// Deployments about which there may be something to do or to tell, by name, each with its instances. The others are at rest.
pub type Active<'a> = BTreeMap<&'a Name, Vec<&'a Item>>;

impl World {
    /// Those that have instances, or do not rest.
    pub fn active(&self) -> Active<'_> {
        let mut active = Active::new();
        for item in self.items.values() {
            active.entry(&item.deployment).or_default().push(item);
        }
        for (name, _) in self.wishes.iter().filter(|(_, wish)| !wish.is_at_rest()) {
            active.entry(name).or_default();
        }
        active
    }
}

impl Wish {
    /// As long as it has no instance, nothing is to be done for it, nor will be before somebody changes it or asks for it: no time that
    /// passes makes a difference.
    pub fn is_at_rest(&self) -> bool {
        let replicas = &self.record.spec.replicas;
        let is_free = !self.record.spec.pinned && replicas.min == 0 && replicas.schedule.is_empty();
        let has_no_load = replicas.target.is_none() && self.wanted.most() == 0;
        let is_settled = self.rollout.replicas == 0 && (self.rollout.phase != RolloutPhase::Progressing || self.rollout.from.is_none());
        let is_frozen = matches!(self.resolve, Resolve::Running | Resolve::Done(_)) && self.retry_at.is_none();
        !self.record.deleting && !self.is_asked_for() && is_free && has_no_load && is_settled && is_frozen
    }
}

impl FromIterator<(Name, Wish)> for Wishes {
    fn from_iter<I: IntoIterator<Item = (Name, Wish)>>(all: I) -> Self {
        let all = BTreeMap::from_iter(all);
        Self { touched: all.keys().cloned().collect(), all }
    }
}

impl Index<&Name> for Wishes {
    type Output = Wish;

    #[expect(clippy::expect_used, reason = "as that of every other map")]
    fn index(&self, name: &Name) -> &Wish {
        self.get(name).expect("there is a wish of this name")
    }
}

impl<'a> IntoIterator for &'a Wishes {
    type Item = (&'a Name, &'a Wish);
    type IntoIter = btree_map::Iter<'a, Name, Wish>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Wishes {
    type Item = (&'a Name, &'a mut Wish);
    type IntoIter = btree_map::IterMut<'a, Name, Wish>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
