//! Which tokens are there, by their hash and by their id?
//!
//! In: callers. Out: the one that is asked for, without a lock. Fails: never. Holds: a million of them if need be: two sets of pointers, each in
//! many parts, of which a change copies one, a few thousand pointers. Changes come one at a time, in the one writer's place.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::caller::Caller;
use crate::text::Hash;

/// Parts of each set: of a million tokens, four thousand are in one.
const PARTS: usize = 256;

/// Some of them, by their hash.
type Part = HashSet<ByHash, BuildHasherDefault<Spread>>;

/// All tokens.
pub(crate) struct Callers {
    by_hash: Box<[ArcSwap<Part>]>,
    by_id: Box<[ArcSwap<HashSet<ById>>]>,
    /// Says in which part an id is.
    ids: RandomState,
    count: AtomicUsize,
}

#[derive(Clone)]
struct ByHash(Arc<Caller>);

#[derive(Clone)]
struct ById(Arc<Caller>);

impl Callers {
    /// All of these.
    pub(crate) fn new(all: impl IntoIterator<Item = Arc<Caller>>) -> Self {
        let ids = RandomState::new();
        let (mut by_hash, mut by_id) = (vec![HashSet::default(); PARTS], vec![HashSet::default(); PARTS]);
        let mut count = 0;
        for caller in all {
            let (hash, id) = (part_of(&caller.hash), part_of_id(&ids, id(&caller)));
            by_hash[hash].insert(ByHash(Arc::clone(&caller)));
            by_id[id].insert(ById(caller));
            count += 1;
        }
        Self {
            by_hash: by_hash.into_iter().map(ArcSwap::from_pointee).collect(),
            by_id: by_id.into_iter().map(ArcSwap::from_pointee).collect(),
            ids,
            count: AtomicUsize::new(count),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Who holds the token of this hash.
    pub(crate) fn get(&self, hash: &Hash) -> Option<Arc<Caller>> {
        self.by_hash[part_of(hash)].load().get(hash).map(|ByHash(caller)| Arc::clone(caller))
    }

    /// Who holds the token of this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Caller>> {
        self.by_id[part_of_id(&self.ids, id)].load().get(id).map(|ById(caller)| Arc::clone(caller))
    }

    /// This one, in the place of the one of its id.
    pub(crate) fn put(&self, caller: &Arc<Caller>) {
        self.remove_hash(id(caller), Some(&caller.hash));
        change(&self.by_hash[part_of(&caller.hash)], |part| drop(part.replace(ByHash(Arc::clone(caller)))));
        let mut is_new = false;
        change(&self.by_id[part_of_id(&self.ids, id(caller))], |part| is_new = part.replace(ById(Arc::clone(caller))).is_none());
        self.count.fetch_add(usize::from(is_new), Ordering::AcqRel);
    }

    /// None of this id any more.
    pub(crate) fn remove(&self, id: &str) {
        self.remove_hash(id, None);
        let mut was_there = false;
        change(&self.by_id[part_of_id(&self.ids, id)], |part| was_there = part.remove(id));
        self.count.fetch_sub(usize::from(was_there), Ordering::AcqRel);
    }

    /// Its text opens nothing any more, unless it is the same.
    fn remove_hash(&self, id: &str, but: Option<&Hash>) {
        if let Some(before) = self.by_id(id).filter(|before| but != Some(&before.hash)) {
            change(&self.by_hash[part_of(&before.hash)], |part| _ = part.remove(&before.hash));
        }
    }

    /// Each of them, in no order.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&Arc<Caller>)) {
        for part in &self.by_hash {
            part.load().iter().for_each(|ByHash(caller)| look(caller));
        }
    }
}

fn id(caller: &Caller) -> &str {
    caller.token().unwrap_or_default()
}

fn part_of(hash: &Hash) -> usize {
    // The last byte: the first ones say where in the part it is.
    usize::from(hash.last()) % PARTS
}

fn part_of_id(ids: &RandomState, id: &str) -> usize {
    usize::try_from(ids.hash_one(id) >> 32).unwrap_or(0) % PARTS
}

fn change<T: Clone>(part: &ArcSwap<T>, make: impl FnOnce(&mut T)) {
    let mut next = T::clone(&part.load());
    make(&mut next);
    part.store(Arc::new(next));
}

/// A hash of SHA-256 is spread evenly already: its first bytes are as good as any.
#[derive(Debug, Default, Clone)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.0 ^= u64::from_le_bytes(first);
    }
}

impl PartialEq for ByHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}
impl Eq for ByHash {}
impl std::hash::Hash for ByHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}
impl Borrow<Hash> for ByHash {
    fn borrow(&self) -> &Hash {
        &self.0.hash
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        id(&self.0) == id(&other.0)
    }
}
impl Eq for ById {}
impl std::hash::Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        id(&self.0).hash(state);
    }
}
impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        id(&self.0)
    }
}
