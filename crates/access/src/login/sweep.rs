//! What becomes of logins that are over?
//!
//! In: the clock, and the end of each login. Out: nothing is left of sessions, logins of devices, and tokens that logins have made, some time after
//! their end. Fails: never for who logs in; what cannot be forgotten now is tried again in the next round. Bounded by this: memory and tables hold what is in force,
//! what ended since the last rounds, and of a user at most [`MOST`] tokens of logins.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base::{Timestamp, tasks};
use spec::UserId;

use super::desk::Inner;
use crate::access::Access;
use crate::error::Error;
use crate::story;

const EVERY: Duration = Duration::from_mins(10);
/// So long whoever holds a token of a login is told that it has expired, and not only that it is wrong.
const TOLD_FOR: Duration = Duration::from_hours(1);
/// Tokens that one user's logins have made; one more ends the oldest.
const MOST: u32 = 1_000;
/// Tokens of one commit, so that other writers have their turn.
const AT_ONCE: u32 = 500;

/// Goes on for as long as somebody may log in.
pub(super) fn keep(inner: &Arc<Inner>) {
    tasks::spawn("logins-over", rounds(Arc::downgrade(inner))).detach();
}

async fn rounds(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = round(&inner, Timestamp::now()).await {
            tracing::debug!(error = base::chain(&error), "logins that are over could not all be forgotten; tried again");
        }
    }
}

async fn round(inner: &Inner, now: Timestamp) -> Result<(), Error> {
    inner.devices.sweep();
    inner.sessions.sweep(now).await?;
    let told = i64::try_from(TOLD_FOR.as_millis()).unwrap_or(0);
    let until = Timestamp::from_millis(now.as_millis() - told);
    loop {
        let over = inner.access.store().login_tokens_until(until, AT_ONCE).await?;
        if over.is_empty() {
            return Ok(());
        }
        inner.access.forget_all(&over).await?;
    }
}

/// After one more login of this user: the oldest tokens of logins end.
pub(super) async fn make_room(access: &Access, user: &UserId) {
    let ended = async {
        for id in access.store().login_tokens_beyond(user, MOST).await? {
            let token = access.get(&id).await?;
            access.revoke(&id).await?;
            access.tell(vec![story::of_room(&token)]);
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = ended.await {
        tracing::warn!(error = base::chain(&error), user = user.as_str(), "an old token of a login could not be ended");
    }
}

#[cfg(test)]
mod tests;
