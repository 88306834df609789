//! May this change be made on top of what is stored now? (RFC 9110, sections 13.1.1 and 13.1.2)
//!
//! In: `If-Match` and `If-None-Match` with the ETag of an earlier answer, which is the generation in
//! quotes. Out: an [`Expect`]. Fails: 412 when the generation is another one; 400 for a header that
//! is no ETag. A `GET` takes no conditions: a status changes without its generation.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use spec::{Name, Record};

use crate::error::Error;

const MATCH: &str = "if-match";
const NONE_MATCH: &str = "if-none-match";

/// What the caller believes to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing was said.
    Anything,
    /// `If-Match: *`: there is one.
    Something,
    /// `If-Match: "3"`: one of these generations.
    OneOf(Vec<u64>),
    /// `If-None-Match: *`: there is none.
    Nothing,
}

impl<S: Send + Sync> FromRequestParts<S> for Expect {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::read(&parts.headers)
    }
}

impl Expect {
    fn read(headers: &HeaderMap) -> Result<Self, Error> {
        if let Some(value) = headers.get(MATCH) {
            return match text(MATCH, value)? {
                "*" => Ok(Self::Something),
                tags => {
                    tags.split(',').map(generation).collect::<Result<Vec<_>, _>>().map(|g| Self::OneOf(g.into_iter().flatten().collect()))
                }
            };
        }
        match headers.get(NONE_MATCH) {
            None => Ok(Self::Anything),
            Some(value) if text(NONE_MATCH, value)? == "*" => Ok(Self::Nothing),
            Some(value) => Err(bad(NONE_MATCH, &String::from_utf8_lossy(value.as_bytes()), "is not `*`")),
        }
    }

    /// Whether it is so.
    pub(crate) fn check(&self, name: &Name, stored: Option<&Record>) -> Result<(), Error> {
        self.check_generation(name, stored.map(|record| record.generation))
    }

    /// The same of whatever has a generation.
    pub(crate) fn check_generation(&self, name: &Name, stored: Option<u64>) -> Result<(), Error> {
        let actual = stored.unwrap_or(0);
        match (self, stored) {
            (Self::Nothing, Some(_)) => Err(Error::Exists(name.clone())),
            (Self::Something | Self::OneOf(_), None) => Err(Error::Nothing(name.clone())),
            (Self::OneOf(wanted), Some(_)) if !wanted.contains(&actual) => Err(Error::Stale { name: name.clone(), actual }),
            _ => Ok(()),
        }
    }
}

fn text<'a>(name: &'static str, value: &'a HeaderValue) -> Result<&'a str, Error> {
    let unreadable = || bad(name, &String::from_utf8_lossy(value.as_bytes()), "is not text");
    value.to_str().ok().map(str::trim).ok_or_else(unreadable)
}

/// The generation that an ETag stands for; a tag that is none of ours stands for no generation.
fn generation(tag: &str) -> Result<Option<u64>, Error> {
    let tag = tag.trim();
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    match strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(_) if strong.len() != tag.len() => Ok(None), // a weak tag never matches here
        Some(number) => Ok(number.parse().ok()),
        None => Err(bad(MATCH, tag, "is not an ETag in quotes")),
    }
}

fn bad(name: &'static str, value: &str, what: &'static str) -> Error {
    Error::Header { name, value: value.to_owned(), what }
}

/// The ETag of a generation.
pub(crate) fn etag(generation: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{generation}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}
