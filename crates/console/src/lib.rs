//! Life of a web page: it was a file in `web/` when the binary was built, lies in it as bytes, is
//! found by the path of the request, and leaves with its type and a tag by which the browser asks
//! whether it has changed.
//!
//! In: a path. Out: a [`Page`], or nothing. Fails: never. Holds: nothing; no file is read at run time.

use std::borrow::Cow;
use std::fmt::Write as _;

use rust_embed::Embed;

/// What a browser may do with our pages: nothing from another host, nothing inline. For the header
/// `Content-Security-Policy`.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// For the header `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub body: Cow<'static, [u8]>,
    /// For the header `ETag`, with its quotes; another one as soon as the bytes are others.
    pub etag: String,
}

/// The page at this path of a request: `/` and `/console` are the first page, `/console/...` the
/// files beside it.
pub fn page(path: &str) -> Option<Page> {
    let name = match path {
        "/" | "/console" | "/console/" => "index.html",
        path => path.strip_prefix("/console/")?,
    };
    let file = Web::get(name)?;
    Some(Page { content_type: content_type(name), etag: etag(&file.metadata.sha256_hash()), body: file.data })
}

#[derive(Embed)]
#[folder = "web/"]
struct Web;

/// Bytes of the digest that the tag shows: enough to tell two builds apart.
const TAG_BYTES: usize = 12;

fn etag(digest: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in digest.iter().take(TAG_BYTES) {
        // Writing into a `String` cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
