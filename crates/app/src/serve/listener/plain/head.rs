//! The first lines of a request, if they are plain.
//!
//! In: bytes as they came. Out: a [`Head`], whose values lie in those bytes. Fails: never; what is not whole, not known or says
//! anything about how the message is put is somebody else's to read. Only one length, no coding, no upgrade, no expectation and no wish to
//! close: so this reader and any other agree on where the request ends. From: RFC 9112.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use httparse::{ParserConfig, Status};
use hyper::Request;

/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// Bytes of a body that is read in one piece.
const MOST_BODY: usize = 64 << 10;

/// What is behind the last line of a head.
pub(super) const END: &[u8] = b"\r\n\r\n";

/// How a request begins.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Bytes,
    uri: Uri,
    headers: HeaderMap,
    /// Bytes of its body.
    pub(super) length: usize,
}

impl Head {
    /// Takes the head off the bytes, or leaves them as they are.
    pub(super) fn read(buffer: &mut BytesMut, is_plain: impl Fn(&str) -> bool) -> Option<Self> {
        if !buffer.starts_with(b"POST /") {
            return None;
        }
        let end = memchr::memmem::find(buffer, END)? + END.len();
        let bytes = buffer.split_to(end).freeze();
        let head = Self::parse(&bytes, is_plain);
        if head.is_none() {
            *buffer = joined(&bytes, buffer);
        }
        head
    }

    fn parse(bytes: &Bytes, is_plain: impl Fn(&str) -> bool) -> Option<Self> {
        let mut room = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut room);
        let target = request.path.filter(|_| parsed == Ok(Status::Complete(bytes.len())) && request.version == Some(1))?;
        if request.method != Some("POST") || !is_plain(target.split('?').next().unwrap_or_default()) {
            return None;
        }
        let uri = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).ok()?;
        let (mut headers, mut length) = (HeaderMap::with_capacity(request.headers.len()), None);
        for header in request.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            if name == CONTENT_LENGTH && length.replace(number(header.value)?).is_some() || !is_usual(&name, header.value) {
                return None;
            }
            headers.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(header.value)).ok()?);
        }
        let length = length.filter(|length| *length <= MOST_BODY)?;
        Some(Self { bytes: bytes.clone(), uri, headers, length })
    }

    /// These bytes and what came after them.
    pub(super) fn before(&self, rest: &[u8]) -> BytesMut {
        joined(&self.bytes, rest)
    }

    /// As a request.
    pub(super) fn request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

fn joined(first: &[u8], second: &[u8]) -> BytesMut {
    let mut all = BytesMut::with_capacity(first.len() + second.len());
    all.extend_from_slice(first);
    all.extend_from_slice(second);
    all
}

fn number(digits: &[u8]) -> Option<usize> {
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// It says nothing of how the message is put, and does not want the connection to end.
fn is_usual(name: &HeaderName, value: &[u8]) -> bool {
    match name {
        name if *name == CONNECTION => value.eq_ignore_ascii_case(b"keep-alive"),
        name => ![TRANSFER_ENCODING, UPGRADE, EXPECT, TE, TRAILER].contains(name),
    }
}
