//! How do calls lie in the database? Many to a page, as the texts that their journal has.
//!
//! In: texts with their places. Out: pages to store; and, of a span of time, the pages that may hold its
//! calls, with the calls back. Fails: as the database does; on a page that is damaged. All calls of a
//! page began in the same minute, so that neither an hour nor a listing has to read far beyond its ends.

use std::collections::BTreeMap;

use base::Timestamp;
use futures_util::stream::BoxStream;
use sqlx::SqlitePool;

use super::text::{self, Read};
use crate::error::Error;
use crate::row::from_int;

/// What the calls of a page have in common.
const MINUTE: i64 = 60_000;
/// Bytes at which a page is full: some 250 calls. Larger ones would not cost less, but make short listings read more.
const FULL: usize = 64 << 10;
/// Places of other pages' calls that a page passes over, a few bytes each, before it is given up for a new one.
const WIDEST_GAP: u64 = 64;

/// A page before it is stored.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    /// The place of its first call.
    pub(super) place: u64,
    /// The place behind its last call.
    next: u64,
    pub(super) calls: i64,
    pub(super) body: String,
}

impl Page {
    fn new(place: u64, at: i64) -> Self {
        Self { first_at: at, last_at: at, place, next: place, calls: 0, body: String::new() }
    }

    fn takes(&self, place: u64, text: &str) -> bool {
        let fits = place.saturating_sub(self.next) <= WIDEST_GAP && self.body.len() + text.len() <= FULL;
        fits || self.calls == 0
    }

    fn add(&mut self, place: u64, at: i64, text: &str) {
        self.body.push(if self.calls == 0 { '[' } else { ',' });
        for _ in self.next..place {
            self.body.push_str("0,");
        }
        self.body.push_str(text);
        self.next = place + 1;
        self.calls += 1;
        (self.first_at, self.last_at) = (self.first_at.min(at), self.last_at.max(at));
    }
}

/// Pages that fill up.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// By the minute.
    open: BTreeMap<i64, Page>,
    full: Vec<Page>,
}

impl Pages {
    /// Adds a call; the places rise.
    pub(super) fn add(&mut self, place: u64, at: Timestamp, text: &str) {
        let at = at.as_millis();
        let page = self.open.entry(at.div_euclid(MINUTE)).or_insert_with(|| Page::new(place, at));
        if !page.takes(place, text) {
            self.full.push(std::mem::replace(page, Page::new(place, at)));
        }
        page.add(place, at, text);
    }

    /// All of them.
    pub(super) fn close(mut self) -> Vec<Page> {
        self.full.extend(self.open.into_values());
        for page in &mut self.full {
            page.body.push(']');
        }
        self.full
    }
}

/// A page in the database.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Stored {
    /// When the first of its calls began.
    pub(super) first_at: i64,
    pub(super) journal: i64,
    place: i64,
    body: String,
}

impl Stored {
    /// Its calls with their places.
    pub(super) fn calls(&self) -> Result<impl Iterator<Item = (u64, Read<'_>)>, Error> {
        let unreadable = |source| Error::Unreadable { what: "page of calls", key: format!("{}/{}", self.journal, self.place), source };
        let calls = text::decode_page(&self.body).map_err(unreadable)?;
        Ok((from_int(self.place)..).zip(calls).filter_map(|(place, call)| Some((place, call?))))
    }
}

/// Pages with calls of `from <= at < to`, and others besides, by when their first call began; those that hold a text, if
/// one is given.
pub(super) fn of_span(from: i64, to: i64, text: Option<String>, reader: &SqlitePool) -> BoxStream<'_, sqlx::Result<Stored>> {
    // The first call of a page that reaches into the span began in the same minute, if not within.
    const PAGES: &str = "SELECT first_at, journal, place, body FROM call_pages
        WHERE first_at >= ?1 AND first_at < ?2 AND last_at >= ?3 AND (?4 IS NULL OR instr(body, ?4) > 0) ORDER BY first_at";
    let earliest = from.div_euclid(MINUTE).saturating_mul(MINUTE);
    sqlx::query_as(PAGES).bind(earliest).bind(to).bind(from).bind(text).fetch(reader)
}
