//! What lies behind a URL?
//!
//! In: `https://HOST/PATH[#sha256=…]`. Out: the file, or all files of a split model. Fails: as the other side refuses. The digest
//! is taken from the fragment, else from what the other side says: `Repr-Digest` (RFC 9530), `Digest` (RFC 3230),
//! `X-Checksum-Sha256`, `X-Linked-Etag`.

use std::path::Path;

use ::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blobs::Digest;
use blobs::web::{Reply, Web};
use spec::Source;

use super::file::refused;
use super::plan::{Plan, Wanted};
use crate::error::Error;
use crate::parts;

pub(super) async fn plan(web: &Web, source: &str) -> Result<Plan, Error> {
    let (url, fragment) = source.split_once('#').unwrap_or((source, ""));
    let digest = match fragment.strip_prefix("sha256=") {
        Some(digits) => Some(digits.parse::<Digest>()?),
        None => None,
    };
    let urls = all_parts(url, digest.is_some());
    let mut files = Vec::with_capacity(urls.len());
    for url in urls {
        let mut file = look(web, &url).await?;
        file.digest = digest.clone().or(file.digest);
        files.push(file);
    }
    Ok(Plan { revision: files.first().map(|file| file.version.clone()).unwrap_or_default(), files, card: None, template: None })
}

/// The addresses of all files, when the name is that of one part of several.
fn all_parts(url: &str, is_one: bool) -> Vec<String> {
    let (path, query) = url.split_once('?').map_or((url, String::new()), |(path, query)| (path, format!("?{query}")));
    let name = path.rsplit('/').next().unwrap_or_default();
    match parts::siblings(Path::new(name)).filter(|_| !is_one) {
        Some(names) => names.iter().map(|sibling| format!("{}{sibling}{query}", path.strip_suffix(name).unwrap_or(path))).collect(),
        None => vec![url.to_owned()],
    }
}

/// Asks for the head alone; where that is not answered, for the first byte.
async fn look(web: &Web, url: &str) -> Result<Wanted, Error> {
    const NOT_ALLOWED: [u16; 4] = [400, 403, 405, 501];
    let mut reply = web.head(url, HeaderMap::new()).await?;
    if NOT_ALLOWED.contains(&reply.status.as_u16()) {
        let first = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-0"))]);
        reply = web.get(url, first).await?;
    }
    if !reply.status.is_success() {
        return Err(refused(&reply, url, None));
    }
    let name = name_of(url).ok_or_else(|| Error::BadSource { source_text: Source::Http(url.to_owned()).told(), what: "names no file" })?;
    let digest = digest_of(&reply);
    Ok(Wanted { name, url: url.to_owned(), token: None, digest, size: size_of(&reply), version: version_of(&reply), store: None })
}

/// The last piece of the path.
fn name_of(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?.split_once("://")?.1.split_once('/')?.1;
    let name = decoded(path.rsplit('/').next()?)?;
    (!name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..").then_some(name)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The length of the whole.
pub(super) fn size_of(reply: &Reply) -> Option<u64> {
    let whole = || reply.header("content-range")?.rsplit_once('/')?.1.parse().ok();
    let partial = reply.status.as_u16() == PARTIAL;
    if partial { whole() } else { reply.header("content-length")?.parse().ok() }
}

/// Part of the file comes.
pub(super) const PARTIAL: u16 = 206;

/// A strong entity tag, else the time of the last change.
pub(super) fn version_of(reply: &Reply) -> String {
    let tag = reply.header("etag").filter(|tag| tag.starts_with('"'));
    tag.or_else(|| reply.header("last-modified")).unwrap_or_default().to_owned()
}

fn digest_of(reply: &Reply) -> Option<Digest> {
    let quoted = |text: &str| text.trim_matches('"').parse::<Digest>().ok();
    let plain = || quoted(reply.linked("x-checksum-sha256")?);
    let linked = || quoted(reply.linked("x-linked-etag")?);
    let structured = || from_base64(field(reply.linked("repr-digest")?, "sha-256=")?.trim_matches(':'));
    let older = || from_base64(field(reply.linked("digest")?, "sha-256=")?);
    plain().or_else(linked).or_else(structured).or_else(older)
}

/// The value of one member of a list, whatever the case of its name.
fn field<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.split(',')
        .map(str::trim)
        .find_map(|one| one.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name)).and(one.get(name.len()..)))
}

fn from_base64(text: &str) -> Option<Digest> {
    let bytes = STANDARD.decode(text).ok()?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16));
    digits.collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_piece_of_the_path() {
        for (url, name) in [
            ("https://a.example/x/tiny.gguf?sig=/y", Some("tiny.gguf")),
            ("https://a.example/my%20model.gguf", Some("my model.gguf")),
            ("https://a.example/", None),
            ("https://a.example", None),
            ("https://a.example/x%2f..", None),
            ("https://a.example/..", None),
        ] {
            assert_eq!(name_of(url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn a_part_of_several_means_all_of_them() {
        let all = all_parts("https://a.example/m/big-00002-of-00003.gguf?download=1", false);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], "https://a.example/m/big-00001-of-00003.gguf?download=1");
        assert_eq!(all_parts("https://a.example/m/tiny.gguf", false), ["https://a.example/m/tiny.gguf"]);
    }

    #[test]
    fn a_digest_in_a_header_is_found_in_either_form() {
        let digest = Digest::of(b"x");
        let bytes: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&digest.hex()[2 * n..2 * n + 2], 16).unwrap()).collect();
        let text = STANDARD.encode(bytes);
        assert_eq!(field("md5=:abc:, SHA-256=:q:", "sha-256="), Some(":q:"));
        assert_eq!(from_base64(&text), Some(digest));
    }
}
