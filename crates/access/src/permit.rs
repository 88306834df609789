//! The right to one call, with what was set aside for it.
//!
//! In: an admission. Out: dropping it gives the place back, and the tokens: all of them, or what
//! the settled use leaves. Fails: never.

use std::sync::Arc;

use tokio::time::Instant;

use crate::caller::Caller;
use crate::meter::{Rates, Taken};

/// The right to one call; gives itself back when dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit {
    caller: Arc<Caller>,
    taken: Taken,
    used: u64,
}

impl Permit {
    pub(crate) fn new(caller: Arc<Caller>, taken: Taken) -> Self {
        Self { caller, taken, used: 0 }
    }

    /// Says how many tokens were really used, in and out; the last word before the drop counts.
    /// A permit that hears nothing has used none.
    pub fn settle(&mut self, tokens_used: u64) {
        self.used = tokens_used;
    }

    /// The caller's limits as they are now, for the `x-ratelimit` headers.
    pub fn headers(&self) -> Rates {
        self.caller.rates()
    }

    /// Who may call.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caller.meter().give_back(&self.caller.limits, self.taken, self.used, Instant::now());
    }
}
