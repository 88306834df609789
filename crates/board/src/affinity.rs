//! What of a call says where it was served before.
//!
//! In: the session that a call names, or its prompt. Out: who is leant to; what was learnt of it. Holds: one lock over
//! the prefix memory, apart from that of the lane, for as long as a table look-up of at most 128 blocks takes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use spec::Affinity;

use crate::dice::hash;
use crate::pick::Leaning;
use crate::prefix::{Chain, MOST_BYTES, Memory};

/// What of a call says where it was served before; nothing where nothing is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hint<'a> {
    /// The session that the call names.
    pub session: Option<&'a [u8]>,
    /// The prompt as it came, of which the beginning counts.
    pub prompt: Option<&'a [u8]>,
}

impl Hint<'_> {
    /// As much of it as counts where calls are kept together by this.
    #[must_use]
    pub(crate) fn within(self, affinity: Affinity) -> Self {
        match affinity {
            Affinity::None => Self::default(),
            Affinity::Session => Self { prompt: None, ..self },
            Affinity::Prefix => self,
        }
    }
}

/// What keeps calls together in a lane, to be read without its lock.
#[derive(Debug, Default)]
pub(crate) struct Bond(AtomicU8);

impl Bond {
    pub(crate) fn set(&self, affinity: Affinity) {
        self.0.store(affinity as u8, Ordering::Relaxed);
    }
    pub(crate) fn get(&self) -> Affinity {
        let all = [Affinity::Session, Affinity::Prefix];
        all.into_iter().find(|affinity| *affinity as u8 == self.0.load(Ordering::Relaxed)).unwrap_or(Affinity::None)
    }
}

/// What a lane or route remembers of the prompts that it served.
#[derive(Debug)]
pub(crate) struct Sticky(Mutex<Memory>);

impl Default for Sticky {
    fn default() -> Self {
        Self(Mutex::new(Memory::new(MOST_BYTES)))
    }
}

impl Sticky {
    /// Whom the call leans to; its prompt is left in `chain`, to be learnt when it has been served. The
    /// place for it is the caller's, so that a call without affinity does not carry a kilobyte about.
    pub(crate) fn lean(&self, hint: &Hint<'_>, chain: &mut Option<Chain>) -> Leaning {
        if let Some(session) = hint.session {
            return Leaning::Session(hash(session));
        }
        let Some(prompt) = hint.prompt else { return Leaning::None };
        let chain = chain.insert(Chain::of(prompt));
        Leaning::Prompt(self.0.lock().unwrap_or_else(PoisonError::into_inner).recall(chain))
    }

    /// This member has read the prompt.
    pub(crate) fn learn(&self, chain: Option<&Chain>, who: u16) {
        if let Some(chain) = chain {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).learn(chain, who);
        }
    }

    /// The same for a prompt that nobody has cut up yet.
    pub(crate) fn learn_prompt(&self, hint: &Hint<'_>, who: u16) {
        if let (None, Some(prompt)) = (hint.session, hint.prompt) {
            self.learn(Some(&Chain::of(prompt)), who);
        }
    }
}
