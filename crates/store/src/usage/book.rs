//! A journal's calls come in, each once.
//!
//! In: a batch of calls, with their places in the journal. Out: whether it came in. Fails: as the database
//! does, and then nothing has changed. The calls, the sums of their hours
//! and the journal's place change together, so that a crash at any moment neither loses nor doubles one.
//! From: the offset that is committed together with its effects (stream processing's "exactly once").

use spec::Usage;
use sqlx::SqliteConnection;

use super::batch::{Batch, Growing};
use super::page::Page;
use super::{hours, text};
use crate::error::Error;
use crate::open::Store;
use crate::row::{from_int, to_int};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Booked {
    /// It came in.
    All,
    /// Nothing changed: the database has all before this place, some of the batch's calls among them.
    Known(u64),
}

impl Store {
    /// How far a journal has come in: the place of the first call that has not; 0 for one that nobody knows.
    pub async fn journal_place(&self, journal: i64) -> Result<u64, Error> {
        let place: Option<i64> =
            sqlx::query_scalar("SELECT place FROM journals WHERE id = ?").bind(journal).fetch_optional(self.reader()).await?;
        Ok(place.map_or(0, from_int))
    }

    /// Stores calls that stand in a journal from the place `first` on, all or none, and passes over those
    /// that it has; gives the number of those that were new.
    pub async fn book_calls(&self, journal: i64, first: u64, calls: &[Usage]) -> Result<u64, Error> {
        let mut stands = self.journal_place(journal).await?;
        loop {
            let known = usize::try_from(stands.saturating_sub(first)).unwrap_or(usize::MAX);
            let new = calls.get(known..).unwrap_or_default();
            if new.is_empty() {
                return Ok(0);
            }
            let batch = batch(first.max(stands), new).map_err(|source| Error::Unstorable { what: "calls", source })?;
            match self.book(journal, batch).await? {
                Booked::All => return Ok(new.len() as u64),
                Booked::Known(place) => stands = place,
            }
        }
    }

    /// Stores a batch of a journal's calls, all or none.
    pub(crate) async fn book(&self, journal: i64, batch: Batch) -> Result<Booked, Error> {
        let mut change = self.begin().await?;
        let stands: Option<i64> =
            sqlx::query_scalar("SELECT place FROM journals WHERE id = ?").bind(journal).fetch_optional(&mut *change).await?;
        if let Some(place) = stands.map(from_int).filter(|place| *place > batch.first) {
            return Ok(Booked::Known(place));
        }
        for page in batch.pages {
            write(&mut change, journal, page).await?;
        }
        hours::add(&mut change, batch.sums).await?;
        sqlx::query("INSERT INTO journals (id, place) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET place = excluded.place")
            .bind(journal)
            .bind(to_int(batch.next))
            .execute(&mut *change)
            .await?;
        change.commit().await?;
        Ok(Booked::All)
    }
}

fn batch(first: u64, calls: &[Usage]) -> Result<Batch, serde_json::Error> {
    let (mut texts, mut ends) = (Vec::new(), Vec::with_capacity(calls.len()));
    for call in calls {
        text::encode(call, &mut texts)?;
        ends.push(texts.len());
    }
    let mut growing = Growing::at(first);
    let mut start = 0;
    for end in ends {
        growing.add(texts.get(start..end).unwrap_or_default())?;
        start = end;
    }
    growing.end()
}

async fn write(change: &mut SqliteConnection, journal: i64, page: Page) -> Result<(), Error> {
    sqlx::query("INSERT INTO call_pages (first_at, journal, place, last_at, calls, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(page.first_at)
        .bind(journal)
        .bind(to_int(page.place))
        .bind(page.last_at)
        .bind(page.calls)
        .bind(page.body)
        .execute(change)
        .await?;
    Ok(())
}
