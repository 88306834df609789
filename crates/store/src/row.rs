//! Between our values and the columns of a row.
//!
//! In: a value, or what stands in a column. Out: the other. Fails: on JSON that our types no longer
//! understand, with the name of what it was.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A value as JSON.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Unstorable { what, source })
}

/// A value from JSON.
pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, key: &str, json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|source| Error::Unreadable { what, key: key.to_owned(), source })
}

/// A word of a closed list (`config`, `completed`), as its type spells it.
pub(crate) fn to_word<T: Serialize>(what: &'static str, value: &T) -> Result<String, Error> {
    Ok(to_json(what, value)?.trim_matches('"').to_owned())
}

/// A word of a closed list back.
pub(crate) fn from_word<T: DeserializeOwned>(what: &'static str, word: &str) -> Result<T, Error> {
    let read = serde::de::value::StrDeserializer::<serde_json::Error>::new(word);
    T::deserialize(read).map_err(|source| Error::Unreadable { what, key: word.to_owned(), source })
}

/// SQLite's integers have a sign; what does not fit is far beyond anything that is counted.
pub(crate) fn to_int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The way back.
pub(crate) fn from_int(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
