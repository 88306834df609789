//! Single calls, as they were booked.
//!
//! In: a span of time, perhaps a request id. Out: calls with their place in the books, oldest first. Fails:
//! as the database does. Bounded: so many at a time; the last one's place leads to the next ones. Of the pages that
//! calls are stored in, those are read that begin before the last call that is given.

use std::collections::BTreeMap;

use base::Timestamp;
use futures_util::TryStreamExt as _;
use spec::Usage;

use super::page;
use super::sums::CallsOf;
use super::text::{self, Read};
use crate::error::Error;
use crate::open::Store;

/// Most calls of one page.
const LARGEST_PAGE: u32 = 10_000;

/// A place in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallsAfter {
    /// When the call began.
    pub at: Timestamp,
    /// The journal that it came from.
    pub journal: i64,
    /// Its place there.
    pub place: u64,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallQuery {
    /// From this time on.
    pub from: Timestamp,
    /// Before this time.
    pub to: Timestamp,
    /// Only those with this request id.
    pub request_id: Option<String>,
    /// Only those behind this one.
    pub after: Option<CallsAfter>,
    /// At most so many; 10,000 at most.
    pub limit: u32,
}

/// A call in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedCall {
    /// Where it stands.
    pub place: CallsAfter,
    /// The call.
    pub call: Usage,
}

impl Store {
    /// Calls as asked for.
    pub async fn list_calls(&self, query: &CallQuery) -> Result<Vec<BookedCall>, Error> {
        self.list_calls_of(query, None).await
    }

    /// Calls as asked for, of these tokens and these projects.
    pub async fn list_calls_of(&self, query: &CallQuery, whose: Option<&CallsOf>) -> Result<Vec<BookedCall>, Error> {
        let mut oldest = Oldest { most: usize::try_from(query.limit.min(LARGEST_PAGE)).unwrap_or(0), calls: BTreeMap::new() };
        let mut pages = page::of_span(query.earliest(), query.to.as_millis(), query.needle(), self.reader());
        while let Some(page) = pages.try_next().await? {
            // What this and later pages may begin with.
            if oldest.are_before(CallsAfter { at: Timestamp::from_millis(page.first_at), journal: i64::MIN, place: 0 }) {
                break;
            }
            for (place, call) in page.calls()? {
                let place = CallsAfter { at: call.at, journal: page.journal, place };
                let is_theirs = whose.is_none_or(|whose| whose.has(call.token.as_deref(), call.project.as_deref()));
                if is_theirs && query.wants(place, &call) && !oldest.are_before(place) {
                    oldest.put(place, call);
                }
            }
        }
        Ok(oldest.calls.into_iter().map(|(place, call)| BookedCall { place, call }).collect())
    }
}

/// The oldest calls of those that were seen: calls lie in the order in which they ended, so pages overlap.
struct Oldest {
    most: usize,
    calls: BTreeMap<CallsAfter, Usage>,
}

impl Oldest {
    /// Whether there are enough before this place.
    fn are_before(&self, place: CallsAfter) -> bool {
        self.calls.len() >= self.most && self.calls.last_key_value().is_none_or(|(newest, _)| *newest < place)
    }

    fn put(&mut self, place: CallsAfter, call: Read<'_>) {
        self.calls.insert(place, text::owned(call));
        if self.calls.len() > self.most {
            self.calls.pop_last();
        }
    }
}

impl CallQuery {
    fn earliest(&self) -> i64 {
        self.after.map_or(self.from, |after| after.at.max(self.from)).as_millis()
    }

    /// What stands in the text of each call with the request id, if that can be said.
    fn needle(&self) -> Option<String> {
        self.request_id.as_ref().filter(|id| text::is_plain(id)).map(|id| format!("\"{id}\""))
    }

    fn wants(&self, place: CallsAfter, call: &Read<'_>) -> bool {
        (self.from..self.to).contains(&place.at)
            && self.after.is_none_or(|after| place > after)
            && self.request_id.as_ref().is_none_or(|id| call.request_id == *id)
    }
}
