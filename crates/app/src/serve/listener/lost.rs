//! How many connections were turned away or let go, and why?
//!
//! In: a reason, as it happens. Out: a number for each, since the start. Fails: never. Bounded: the reasons are a closed list. Holds: a few numbers
//! that all connections share; only who is lost touches them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection, or a request of it, came to nothing at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its address has as many as it may have.
    AddressFull,
    /// It speaks plain HTTP where TLS is spoken.
    NoTls,
    /// Its handshake failed: no common version, no certificate that is asked for.
    BadHandshake,
    /// Its first request did not come in time.
    SlowHead,
    /// A body stopped, or came too slowly.
    SlowBody,
    /// It took nothing of what it was sent.
    SlowReader,
}

impl Why {
    /// All of them, in their order.
    const ALL: [Self; 6] = [Self::AddressFull, Self::NoTls, Self::BadHandshake, Self::SlowHead, Self::SlowBody, Self::SlowReader];

    fn as_str(self) -> &'static str {
        match self {
            Self::AddressFull => "address_full",
            Self::NoTls => "no_tls",
            Self::BadHandshake => "bad_handshake",
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// The numbers.
#[derive(Debug, Default)]
pub(crate) struct Lost([AtomicU64; Why::ALL.len()]);

impl Lost {
    pub(super) fn count(&self, why: Why) {
        if let Some(number) = self.0.get(why as usize) {
            number.fetch_add(1, Relaxed);
        }
    }

    /// Each reason with its number.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Why::ALL.into_iter().zip(&self.0).map(|(why, number)| (why.as_str(), number.load(Relaxed)))
    }
}
