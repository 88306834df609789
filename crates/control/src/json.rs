//! What the caller sent as JSON, and where it is wrong.
//!
//! In: a body of at most [`MOST_BODY`] bytes. Out: the value that a handler asked for, or the JSON
//! itself for a merge. Fails: 415 for another media type, 413 beyond the limit, 400 with line and
//! column for text that is not JSON, 400 with the field's path and a suggestion for JSON of another
//! shape.

use std::fmt;

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use base::Fault as _;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
pub(crate) use spec::merge;
use spec::{Name, Source};

use crate::error::Error;
use crate::problem::Finding;

/// The longest body that is read. A spec takes a few hundred bytes.
pub(crate) const MOST_BODY: usize = 1 << 20;

/// A body read as `T`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;
    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        check_media_type(request.headers())?;
        read(&text(request, state).await?).map(Self)
    }
}

/// A body read as `T`, whatever it calls itself: older clients call JSON anything.
#[derive(Debug)]
pub(crate) struct AnyJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for AnyJson<T> {
    type Rejection = Error;
    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        read(&text(request, state).await?).map(Self)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let given = String::from_utf8_lossy(given.as_bytes()).into_owned();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json { Ok(()) } else { Err(Error::MediaType(given)) }
}

async fn text<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    let text = Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Error::TooLarge { limit: MOST_BODY },
        other => Error::Body(other),
    })?;
    if text.trim_ascii().is_empty() { Err(Error::NoBody) } else { Ok(text) }
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    if !text.trim_ascii_start().starts_with(b"{") {
        // A list would pass for a struct whose fields are in order.
        return Err(serde_json::from_slice::<IgnoredAny>(text).map_or_else(Error::NotJson, |_| Error::NotObject));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| if error.inner().is_data() { Error::Misfit(Misfit(error)) } else { Error::NotJson(error.into_inner()) })?;
    reader.end().map_err(Error::NotJson)?;
    Ok(value)
}

/// Reads JSON that is already here as `T`.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| Error::Misfit(Misfit(error)))
}

/// JSON of another shape than was asked for: where and why.
#[derive(Debug, thiserror::Error)]
pub struct Misfit(#[source] serde_path_to_error::Error<serde_json::Error>);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path().to_string();
        if path == "." { write!(f, "{}", self.what()) } else { write!(f, "{path}: {}", self.what()) }
    }
}

impl Misfit {
    /// The finding that stands in the problem.
    pub(crate) fn finding(&self) -> Finding {
        let path = self.0.path().to_string();
        Finding { field: if path == "." { String::new() } else { path }, what: self.what(), hint: self.hint() }
    }
    /// What to write instead.
    pub(crate) fn hint(&self) -> String {
        let text = self.0.inner().to_string();
        // What our own nouns say when they cannot be read.
        let own = match text.split_once(": ") {
            Some(("name", _)) => Name::parse("").err(),
            Some(("model", _)) => Source::parse("").err(),
            _ => None,
        };
        let hint = own.and_then(|invalid| invalid.hint()).or_else(|| suggestion(&text));
        hint.unwrap_or_else(|| "/docs shows the fields and their types".to_owned())
    }
    /// The reason, short where serde lists every known field; the list goes into the hint.
    fn what(&self) -> String {
        let text = self.0.inner().to_string();
        let place = text.rfind(" at line ").map_or("", |at| &text[at..]);
        match text.split_once(", expected ") {
            Some((head, _)) if unknown_word(&text).is_some() => return format!("{head}{place}"),
            _ => {}
        }
        // The path says already which field it is.
        text.strip_prefix("name: ").or_else(|| text.strip_prefix("model: ")).unwrap_or(&text).to_owned()
    }
}

/// What was probably meant, when serde says that it does not know a word.
pub(crate) fn suggestion(text: &str) -> Option<String> {
    let (wrong, known) = unknown_word(text)?;
    Some(match spec::suggest(wrong, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use one of {}", known.join(", ")),
    })
}

/// The word that serde does not know, and those that it would.
fn unknown_word(text: &str) -> Option<(&str, Vec<&str>)> {
    let (_, rest) = text.split_once("unknown field `").or_else(|| text.split_once("unknown variant `"))?;
    let (wrong, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    (!known.is_empty()).then_some((wrong, known))
}

#[cfg(test)]
mod tests;
