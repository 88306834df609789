//! A run of a journal's calls, ready to go into the database in one change.
//!
//! In: the texts of calls, in the order of their journal. Out: their pages, and the sums of their hours. Fails: on a text
//! that is no call. Touches no database: it is put together off the async threads.

use serde::de::Error as _;

use super::hours::Sums;
use super::page::{Page, Pages};
use super::text;

/// Calls in the form in which they are stored.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The place of the first.
    pub(super) first: u64,
    /// The place behind the last.
    pub(super) next: u64,
    pub(super) pages: Vec<Page>,
    /// What they add to the sums of their hours, as JSON.
    pub(super) sums: String,
}

/// A batch that grows.
#[derive(Debug)]
pub(crate) struct Growing<'a> {
    first: u64,
    next: u64,
    pages: Pages,
    sums: Sums<'a>,
}

impl<'a> Growing<'a> {
    /// The first call will have this place.
    pub(crate) fn at(first: u64) -> Self {
        Self { first, next: first, pages: Pages::default(), sums: Sums::default() }
    }

    /// Adds the next call by its text.
    pub(crate) fn add(&mut self, text: &'a [u8]) -> Result<(), serde_json::Error> {
        let text = std::str::from_utf8(text).map_err(serde_json::Error::custom)?;
        let call = text::decode(text)?;
        self.pages.add(self.next, call.at, text);
        self.sums.add(call);
        self.next += 1;
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.next - self.first
    }

    /// The batch.
    pub(crate) fn end(self) -> Result<Batch, serde_json::Error> {
        Ok(Batch { first: self.first, next: self.next, pages: self.pages.close(), sums: self.sums.to_json()? })
    }
}
