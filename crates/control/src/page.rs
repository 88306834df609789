//! Lists, a page at a time.
//!
//! In: all items in the order of their keys, where the last page ended, how many fit on one. Out:
//! `{"items": [...], "next": cursor?}`. Fails: on a limit of 0 or beyond [`MOST_ITEMS`].

use serde::Serialize;
use spec::Invalid;
use utoipa::ToSchema;

use crate::error::Error;
use crate::query::MOST_ITEMS;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order of their names or ids.
    pub items: Vec<T>,
    /// Send it as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many items a page takes.
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Error> {
    match asked.unwrap_or(MOST_ITEMS) {
        n @ 1..=MOST_ITEMS => Ok(n),
        n => Err(Invalid::one("limit", format!("{n} is not between 1 and {MOST_ITEMS}"), "leave it out, and follow `next`").into()),
    }
}

impl<T> Page<T> {
    /// The page of `items` (sorted by `key`) that begins after the item with the key `after`.
    pub(crate) fn cut(items: Vec<T>, after: Option<&str>, limit: usize, key: fn(&T) -> &str) -> Self {
        let mut items: Vec<T> = items.into_iter().filter(|item| after.is_none_or(|after| key(item) > after)).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|item| key(item).to_owned()) } else { None };
        Self { items, next }
    }
    /// A list that is always whole.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}
