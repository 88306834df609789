//! Who used what, and how much?
//!
//! Life of a call's row: a journal hands it over with its place there, as a line of text ([`text`]); with others it is put
//! into a page ([`page`]) and added to the sums of its hour ([`hours`]), a batch at a time ([`batch`]), and stored
//! ([`book`]); it is read back one by one ([`calls`]) or summed up over a
//! span of time ([`sums`], and for budgets [`spent`]); when it is old it goes, and later its hour
//! does ([`prune`]).

mod batch;
mod book;
mod calls;
mod hours;
mod page;
mod prune;
mod span;
mod spent;
mod sums;
pub(crate) mod text;

pub(crate) use batch::{Batch, Growing};
pub(crate) use book::Booked;

pub use calls::{BookedCall, CallQuery, CallsAfter};
pub use prune::{Housekeeping, KeepUsage};
pub use spent::Spent;
pub use sums::{CallsOf, GroupBy, UsageQuery, UsageSum};

#[cfg(test)]
mod tests;
