//! The latest answers, as many as fit.
//!
//! Holds: texts up to a bound of bytes; the one not asked for longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a place costs beside its text.
const PLACE: usize = 200;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) owner: Arc<str>,
    /// `None` when it was deleted: the store may not know yet.
    pub(super) body: Option<Arc<str>>,
    turn: u64,
}

impl Slot {
    pub(super) fn here(owner: Arc<str>, body: Arc<str>) -> Self {
        Self { owner, body: Some(body), turn: 0 }
    }
    pub(super) fn gone(owner: Arc<str>) -> Self {
        Self { owner, body: None, turn: 0 }
    }
    fn size(&self) -> usize {
        PLACE + self.body.as_ref().map_or(0, |body| body.len())
    }
}

/// Answers by id.
#[derive(Debug)]
pub(super) struct Memory {
    most: usize,
    held: usize,
    turn: u64,
    slots: HashMap<Arc<str>, Slot>,
    turns: BTreeMap<u64, Arc<str>>,
}

impl Memory {
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: 0, turn: 0, slots: HashMap::new(), turns: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, id: &str) -> Option<Slot> {
        self.turn += 1;
        let turn = self.turn;
        let slot = self.slots.get_mut(id)?;
        if let Some(key) = self.turns.remove(&slot.turn) {
            self.turns.insert(turn, key);
        }
        slot.turn = turn;
        Some(slot.clone())
    }

    /// It is known that it was deleted.
    pub(super) fn is_gone(&self, id: &str) -> bool {
        self.slots.get(id).is_some_and(|slot| slot.body.is_none())
    }

    pub(super) fn put(&mut self, id: &str, slot: Slot) {
        self.remove(id);
        self.turn += 1;
        let key: Arc<str> = id.into();
        self.held += slot.size();
        self.turns.insert(self.turn, Arc::clone(&key));
        self.slots.insert(key, Slot { turn: self.turn, ..slot });
        while self.held > self.most
            && let Some((_, oldest)) = self.turns.first_key_value()
        {
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    pub(super) fn put_if_absent(&mut self, id: &str, slot: Slot) {
        if !self.slots.contains_key(id) {
            self.put(id, slot);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(slot) = self.slots.remove(id) {
            self.held -= slot.size();
            self.turns.remove(&slot.turn);
        }
    }
}
