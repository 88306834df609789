//! Connections that are open and unused, for each instance.
//!
//! In: links whose reply was read to its end. Out: the one used last, if it still lives. Holds: no
//! more links for an instance than it has slots, none for longer than [`IDLE`]; a short lock.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spec::InstanceId;
use tokio::time::Instant;

use super::link::Link;

/// An idle connection holds a thread of llama-server, which hangs up after 5 s: we let go before that.
const IDLE: Duration = Duration::from_secs(4);

/// The idle connections of all instances.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<InstanceId, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    /// A connection that was alive a moment ago.
    pub(super) fn take(&self, instance: &InstanceId) -> Option<Link> {
        loop {
            let idle = self.lock().get_mut(instance)?.pop()?;
            let mut link = idle.link;
            if idle.since.elapsed() < IDLE && link.is_idle() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next call, and lets go of all that nobody took for too long.
    pub(super) fn put(&self, instance: &InstanceId, link: Link, most: usize) {
        let now = Instant::now();
        let mut pool = self.lock();
        pool.retain(|_, links| {
            links.retain(|idle| now.duration_since(idle.since) < IDLE);
            !links.is_empty()
        });
        let links = pool.entry(instance.clone()).or_default();
        if links.len() < most {
            links.push(Idle { link, since: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
