//! The first lines of a reply.
//!
//! In: bytes, as many as have come. Out: status, headers, how the body is framed, and whether the connection lasts. Fails: on what
//! is no HTTP, on more than [`MOST`], on lengths that contradict each other. From: RFC 9112, section 6.3.

use std::mem::MaybeUninit;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::{Header, ParserConfig, Status};

use super::Fault;
use super::body::Framing;

/// Bytes of a head.
const MOST: usize = 64 << 10;
/// Headers of a reply.
const MOST_HEADERS: usize = 100;

/// How a reply begins.
#[derive(Debug)]
pub(in crate::send) struct Head {
    pub(in crate::send) status: StatusCode,
    /// Those of a refusal; nobody asks for those of a success.
    pub(in crate::send) headers: Option<Box<HeaderMap>>,
    pub(super) framing: Framing,
    pub(super) lasts: bool,
}

impl Head {
    /// The head and its length, if all of it is there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let Status::Complete(length) = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room)? else {
            return if bytes.len() > MOST { Err(Fault::Odd("is too long")) } else { Ok(None) };
        };
        let code = response.code.unwrap_or_default();
        let status = StatusCode::from_u16(code).map_err(|_out_of_range| Fault::Odd("has no status"))?;
        let said = Said::of(response.headers)?;
        let lasts = said.lasts.unwrap_or(response.version == Some(1));
        let (framing, lasts) = match (status, said) {
            (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => (Framing::Done, lasts),
            (status, _) if status.is_informational() => (Framing::Done, lasts),
            (_, Said { chunked: true, length, .. }) => (Framing::chunks(), lasts && length.is_none()),
            (_, Said { length: Some(length), .. }) => (Framing::length(length), lasts),
            _ => (Framing::UntilClosed, false),
        };
        let headers = (!status.is_success()).then(|| map(response.headers).into());
        Ok(Some((Self { status, headers, framing, lasts }, length)))
    }

    /// More than "wait, there is more to come".
    pub(super) fn is_final(&self) -> bool {
        !self.status.is_informational()
    }
}

/// What the headers say of the body.
#[derive(Default)]
struct Said {
    chunked: bool,
    length: Option<u64>,
    lasts: Option<bool>,
}

impl Said {
    fn of(headers: &[Header<'_>]) -> Result<Self, Fault> {
        let mut said = Self::default();
        for Header { name, value } in headers {
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case("content-length") {
                let digits = Some(value).filter(|value| value.iter().all(u8::is_ascii_digit));
                let length =
                    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or(Fault::Odd("has no true length"))?;
                if said.length.replace(length).is_some_and(|other| other != length) {
                    return Err(Fault::Odd("has two lengths"));
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                said.chunked = last(value).eq_ignore_ascii_case(b"chunked");
                if !said.chunked {
                    return Err(Fault::Odd("has an encoding that is not known here"));
                }
            } else if name.eq_ignore_ascii_case("connection") {
                for word in value.split(|byte| *byte == b',') {
                    match word.trim_ascii() {
                        word if word.eq_ignore_ascii_case(b"close") => said.lasts = Some(false),
                        word if word.eq_ignore_ascii_case(b"keep-alive") => said.lasts = Some(said.lasts.unwrap_or(true)),
                        _ => {}
                    }
                }
            }
        }
        Ok(said)
    }
}

fn last(list: &[u8]) -> &[u8] {
    list.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

fn map(headers: &[Header<'_>]) -> HeaderMap {
    let pairs = headers
        .iter()
        .filter_map(|Header { name, value }| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?)));
    pairs.collect()
}
