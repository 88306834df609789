//! One answer: the whole file, a range of it, or what a fault makes of it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::Response;
use hyper::body::Frame;

use super::{Asked, Count, FOR_EVER, HostedFile, Rate};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Sent at once.
const CHUNK: usize = 64 << 10;

/// What befalls this answer.
pub(super) struct Way {
    pub(super) cut: Option<u64>,
    pub(super) stall: Option<u64>,
    pub(super) shift: usize,
    pub(super) count: Count,
    pub(super) rate: Rate,
}

pub(super) fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

pub(super) fn file(file: &HostedFile, asked: &Asked, if_range: Option<&str>, way: Way) -> Response<Body> {
    if let Some(place) = &file.redirect {
        let mut response = with_headers(empty(302), file);
        if let Ok(place) = place.parse() {
            response.headers_mut().insert("location", place);
        }
        return response;
    }
    if asked.method == "HEAD" && file.no_head {
        return empty(405);
    }
    let len = file.bytes.len();
    let same = if_range.is_none_or(|tag| file.etag.as_deref() == Some(tag));
    let range = asked.range.as_deref().filter(|_| !file.no_ranges && same).map(|text| range(text, len));
    let (status, start, end) = match range {
        None => (200, 0, len),
        Some(Some((start, end))) => (206, start.saturating_sub(way.shift), end),
        Some(None) => return empty(416),
    };
    let mut response = with_headers(empty(status), file);
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    if !file.no_length {
        set("content-length", (end - start).to_string());
    }
    if status == 206 {
        set("content-range", format!("bytes {start}-{}/{len}", end - 1));
    }
    if !file.no_ranges {
        set("accept-ranges", "bytes".to_owned());
    }
    if asked.method == "GET" {
        *response.body_mut() = body(file.bytes.slice(start..end), way);
    }
    response
}

fn with_headers(mut response: Response<Body>, file: &HostedFile) -> Response<Body> {
    let etag = file.etag.clone().map(|etag| ("etag".to_owned(), etag));
    for (name, value) in file.headers.iter().cloned().chain(etag) {
        if let (Ok(name), Ok(value)) = (hyper::header::HeaderName::try_from(name), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `bytes=FIRST-[LAST]` as the first byte and the one behind the last.
fn range(text: &str, len: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let end = if last.is_empty() { len } else { last.parse::<usize>().ok()?.saturating_add(1).min(len) };
    (first < end).then_some((first, end))
}

fn body(bytes: Bytes, way: Way) -> Body {
    let frames = stream::unfold((bytes, 0_u64, way), |(mut rest, sent, way)| async move {
        if rest.is_empty() {
            return None;
        }
        if way.stall.is_some_and(|after| sent >= after) {
            tokio::time::sleep(FOR_EVER).await;
        }
        if way.cut.is_some_and(|after| sent >= after) {
            return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), (Bytes::new(), sent, way)));
        }
        let stop = [way.cut, way.stall].into_iter().flatten().map(|after| after - sent).min().unwrap_or(u64::MAX);
        let take = CHUNK.min(rest.len()).min(usize::try_from(stop).unwrap_or(usize::MAX));
        let chunk = rest.split_to(take);
        if let Some(rate) = (way.rate)() {
            tokio::time::sleep(Duration::from_micros(take as u64 * 1_000_000 / rate.max(1))).await;
        }
        (way.count)(take as u64);
        Some((Ok(Frame::data(chunk)), (rest, sent + take as u64, way)))
    });
    StreamBody::new(frames).boxed_unsync()
}
