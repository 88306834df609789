//! Rights that change while they are asked.
//!
//! In: [`Rights`]. Out: the same, as they are now. Fails: never. Holds: two numbers; each right is one bit of one of
//! them, so whoever reads while they change sees for each right the old or the new state.

use std::sync::atomic::{AtomicU64, Ordering};

use spec::Rights;

/// Rights that change.
#[derive(Debug, Default)]
pub(crate) struct LiveRights([AtomicU64; 2]);

impl LiveRights {
    pub(crate) fn new(rights: Rights) -> Self {
        Self(rights.to_bits().map(AtomicU64::new))
    }

    pub(crate) fn now(&self) -> Rights {
        let [low, high] = &self.0;
        Rights::from_bits([low.load(Ordering::Acquire), high.load(Ordering::Acquire)])
    }

    pub(crate) fn set(&self, rights: Rights) {
        for (to, bits) in self.0.iter().zip(rights.to_bits()) {
            to.store(bits, Ordering::Release);
        }
    }
}
