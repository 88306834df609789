//! The latest answers, as many as fit, and all that the store does not have yet.
//!
//! Holds: what is written, up to a bound of bytes, the one not asked for longest goes first; beside it what is to be written, none of
//! which goes before it is, as much again and what finds no room then but must not be lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use store::KeptResponse;
use tokio::time::Instant;

/// What a place costs beside its text.
const PLACE: usize = 200;
/// Answers that wait to be written.
const WAITING: usize = 1024;
/// Answers in one transaction.
const BATCH: usize = 64;
/// Bytes of them: the last one goes with them whole.
const BATCH_BYTES: usize = 8 << 20;

/// One answer; `None` when it was deleted.
pub(super) type Told = Option<Arc<KeptResponse>>;

#[derive(Debug, Clone)]
struct Slot {
    told: Told,
    turn: u64,
}

impl Slot {
    fn size(&self) -> usize {
        PLACE + self.told.as_ref().map_or(0, |told| told.body.len())
    }
}

/// Ids by their turn, and what their answers take.
#[derive(Debug, Default)]
struct Line {
    ids: BTreeMap<u64, Arc<str>>,
    bytes: usize,
}

impl Line {
    fn add(&mut self, id: Arc<str>, slot: &Slot) {
        self.ids.insert(slot.turn, id);
        self.bytes += slot.size();
    }

    /// Its id, if it stands here.
    fn remove(&mut self, slot: &Slot) -> Option<Arc<str>> {
        let id = self.ids.remove(&slot.turn)?;
        self.bytes -= slot.size();
        Some(id)
    }
}

/// What goes to the store together.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<(Arc<str>, Slot)>);

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(super) fn puts(&self) -> Vec<Arc<KeptResponse>> {
        self.0.iter().filter_map(|(_, slot)| slot.told.clone()).collect()
    }
    pub(super) fn deleted(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, slot)| slot.told.is_none()).map(|(id, _)| &**id)
    }
}

/// Answers by id.
#[derive(Debug)]
pub(super) struct Memory {
    most: usize,
    turn: u64,
    slots: HashMap<Arc<str>, Slot>,
    /// By when they were asked for last.
    written: Line,
    /// By when they came.
    unwritten: Line,
    /// Since when the first of these are on their way.
    writing: Option<Instant>,
}

impl Memory {
    pub(super) fn new(most: usize) -> Self {
        Self { most, turn: 0, slots: HashMap::new(), written: Line::default(), unwritten: Line::default(), writing: None }
    }

    pub(super) fn get(&mut self, id: &str) -> Option<Told> {
        let slot = self.slots.get_mut(id)?;
        if let Some(key) = self.written.ids.remove(&slot.turn) {
            self.turn += 1;
            slot.turn = self.turn;
            self.written.ids.insert(self.turn, key);
        }
        Some(slot.told.clone())
    }

    /// It is known that it was deleted.
    pub(super) fn is_gone(&self, id: &str) -> bool {
        self.slots.get(id).is_some_and(|slot| slot.told.is_none())
    }

    /// Takes in what the store has to learn. `false`: so much waits already that it will not, and this stays as long as others leave it
    /// room; never so for what must `surely` be written.
    pub(super) fn put(&mut self, id: &str, told: Told, surely: bool) -> bool {
        let waits = self.remove(id) || surely || !self.is_full();
        if waits {
            self.turn += 1;
            let (id, slot): (Arc<str>, _) = (id.into(), Slot { told, turn: self.turn });
            self.unwritten.add(Arc::clone(&id), &slot);
            self.slots.insert(id, slot);
        } else {
            self.hold(id.into(), told);
        }
        waits
    }

    /// Takes in what came from the store.
    pub(super) fn put_if_absent(&mut self, id: &str, told: Told) {
        if !self.slots.contains_key(id) {
            self.hold(id.into(), told);
        }
    }

    /// What is larger than all drives nobody out.
    fn hold(&mut self, id: Arc<str>, told: Told) {
        self.turn += 1;
        let slot = Slot { told, turn: self.turn };
        if slot.size() > self.most {
            return;
        }
        self.written.add(Arc::clone(&id), &slot);
        self.slots.insert(id, slot);
        while self.written.bytes > self.most
            && let Some((_, oldest)) = self.written.ids.first_key_value()
        {
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    /// True when it was to be written.
    fn remove(&mut self, id: &str) -> bool {
        let Some(slot) = self.slots.remove(id) else { return false };
        self.written.remove(&slot).is_none() && self.unwritten.remove(&slot).is_some()
    }

    /// The first of those that are to be written.
    pub(super) fn take(&mut self) -> Batch {
        let mut bytes = 0;
        let mut batch = Vec::new();
        for id in self.unwritten.ids.values().take(BATCH) {
            let Some(slot) = self.slots.get(id) else { continue };
            batch.push((Arc::clone(id), slot.clone()));
            bytes += slot.size();
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        self.writing = (!batch.is_empty()).then(Instant::now);
        Batch(batch)
    }

    /// The store has these, or never will; what has changed since waits on.
    pub(super) fn wrote(&mut self, batch: Batch) {
        self.writing = None;
        for (_, slot) in batch.0 {
            if let Some(id) = self.unwritten.remove(&slot) {
                self.slots.remove(&id);
                self.hold(id, slot.told);
            }
        }
    }

    /// As much waits to be written as may.
    pub(super) fn is_full(&self) -> bool {
        self.unwritten.bytes >= self.most || self.unwritten.ids.len() >= WAITING
    }

    /// Since when the store has been at what it was given last.
    pub(super) fn writing(&self) -> Option<Instant> {
        self.writing
    }

    /// The place of what came last.
    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// The store has all that came up to this place.
    pub(super) fn is_written(&self, turn: u64) -> bool {
        self.unwritten.ids.first_key_value().is_none_or(|(first, _)| *first > turn)
    }
}
