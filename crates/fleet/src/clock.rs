//! What time is it to the fleet?
//!
//! In: a clock that nobody sets, and the system's. Out: the time of a turn, by the first; how far the second one was set since, for the
//! calendar. Whatever takes time (a drain, a retry, a keep-alive, a rollout) goes by the first: a clock that is set, by hand or after a
//! sleep of the machine, ends none of them early and stops none. By the calendar go schedules and the ends of allocations, which people gave as
//! dates, and all that is shown, or stored for a later Penstock, to which no other clock is known.

use base::Timestamp;
use spec::RolloutStatus;

use crate::turn::Owner;

/// By less than so many milliseconds no clock is set: it is only read a moment later than another one.
const CLOCKS_DIFFER: u64 = 100;

impl Owner {
    /// It is now; a system clock that was set changes what is shown.
    pub(crate) fn look_at_the_clock(&mut self) {
        let drift = Timestamp::drift();
        self.world.now = Timestamp::steady();
        if drift.abs_diff(self.world.drift) > CLOCKS_DIFFER {
            tracing::warn!(by_ms = drift - self.world.drift, "the system clock was set; whatever takes time goes on as before");
            self.world.drift = drift;
            self.world.wishes.touch_all();
        }
    }
}

/// As it was stored; a clock that was set back while nobody looked must not stop it for as long.
pub(crate) fn not_ahead(status: RolloutStatus, now: Timestamp) -> RolloutStatus {
    let (started_at, progress_at) = (status.started_at.min(now), status.progress_at.min(now));
    RolloutStatus { started_at, progress_at, held_since: status.held_since.map(|at| at.min(now)), ..status }
}

/// With times by the calendar, as it is shown and stored.
pub(crate) fn dated(status: &RolloutStatus, drift: i64) -> RolloutStatus {
    RolloutStatus {
        started_at: status.started_at.shifted(drift),
        progress_at: status.progress_at.shifted(drift),
        held_since: status.held_since.map(|at| at.shifted(drift)),
        ..status.clone()
    }
}
