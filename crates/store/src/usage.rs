//! Who used what, and how much?
//!
//! Life of a call's row: a journal hands it over with its place there ([`book`]), where it is stored
//! and added to the sums of its hour ([`hours`]); it is read back one by one ([`calls`]) or summed up over a
//! span of time ([`sums`], and for budgets [`spent`]); when it is old it goes, and later its hour
//! does ([`prune`]).

mod book;
mod calls;
mod hours;
mod prune;
mod span;
mod spent;
mod sums;

pub use calls::{BookedCall, CallQuery, CallsAfter};
pub use prune::{Housekeeping, KeepUsage};
pub use spent::Spent;
pub use sums::{GroupBy, UsageQuery, UsageSum};

#[cfg(test)]
mod tests;
