//! Where does an answer send us, and may we go there?
//!
//! In: where we asked, and what came. Out: where to ask next, if anywhere. Fails: on a place that cannot be read, and from
//! `https` to `http`.

use http::{Response, Uri, header};
use url::Url;

use crate::error::Error;

/// Where to ask next.
pub(super) fn next<B>(from: &Uri, answer: &Response<B>) -> Result<Option<Uri>, Error> {
    let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(place) = answer.headers().get(header::LOCATION).filter(|_| moved) else { return Ok(None) };
    let place = String::from_utf8_lossy(place.as_bytes());
    let next = resolve(from, &place).ok_or_else(|| Error::BadUrl(shown(&place)))?;
    if from.scheme_str() == Some("https") && next.scheme_str() == Some("http") {
        return Err(Error::Downgraded { from: host(from), to: host(&next) });
    }
    Ok(Some(next))
}

/// Another host, port or scheme: what was meant for the first one is not for it.
pub(super) fn leaves(from: &Uri, to: &Uri) -> bool {
    let of = |uri: &Uri| (uri.scheme_str().map(str::to_owned), uri.host().map(str::to_ascii_lowercase), port(uri));
    of(from) != of(to)
}

/// As it is said, or as it is where nobody says it.
fn port(uri: &Uri) -> Option<u16> {
    const PLAIN: u16 = 80;
    const SECURE: u16 = 443;
    uri.port_u16().or_else(|| if uri.scheme_str() == Some("https") { Some(SECURE) } else { Some(PLAIN) })
}

/// The host alone: a query may hold a signature.
pub(super) fn host(uri: &Uri) -> String {
    uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned()).unwrap_or_default()
}

/// A URL without its query and without a user.
pub(super) fn shown(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}/{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => bare.to_owned(),
    }
}

/// Beside where we asked, as a browser would go there; a place within the answer is none of the server's.
fn resolve(from: &Uri, place: &str) -> Option<Uri> {
    let mut next = Url::parse(&from.to_string()).ok()?.join(place).ok()?;
    next.set_fragment(None);
    if matches!(next.scheme(), "http" | "https") { next.as_str().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_resolved_against_where_we_asked() {
        let from: Uri = "https://a.example:8443/x/y?z".parse().unwrap();
        for (place, wanted) in [
            ("https://b.example/q?sig=1#f", "https://b.example/q?sig=1"),
            ("//b.example/q", "https://b.example/q"),
            ("/q", "https://a.example:8443/q"),
            ("q", "https://a.example:8443/x/q"),
            ("?v=2", "https://a.example:8443/x/y?v=2"),
            ("../../q", "https://a.example:8443/q"),
            ("./q/../r", "https://a.example:8443/x/r"),
            ("HTTPS://B.example/Q", "https://b.example/Q"),
            ("/größe.gguf", "https://a.example:8443/gr%C3%B6%C3%9Fe.gguf"),
        ] {
            assert_eq!(resolve(&from, place).unwrap().to_string(), wanted, "{place}");
        }
        for nowhere in ["file:///etc/passwd", "ftp://b.example/q", "https://", "data:,x"] {
            assert_eq!(resolve(&from, nowhere), None, "{nowhere}");
        }
        let answer = |place: &[u8]| Response::builder().status(302).header("location", place).body(()).unwrap();
        assert_eq!(next(&from, &answer("/ü".as_bytes())).unwrap().unwrap().path(), "/%C3%BC");
        assert!(matches!(next(&from, &answer(b"HTTP://a.example/q")), Err(Error::Downgraded { .. })));
    }

    #[test]
    fn a_port_that_goes_without_saying_is_the_same_place() {
        let leaves = |from: &str, to: &str| leaves(&from.parse().unwrap(), &to.parse().unwrap());
        assert!(!leaves("https://a.example:443/x", "https://A.example/y"));
        assert!(leaves("https://a.example/x", "https://a.example:8443/y") && leaves("https://a.example/x", "https://b.example/x"));
        assert!(leaves("http://a.example:443/x", "https://a.example/x"));
    }

    #[test]
    fn what_is_shown_holds_no_signature_and_no_password() {
        assert_eq!(shown("https://me:pw@a.example/x?sig=1"), "https://a.example/x");
        assert_eq!(host(&"https://me:pw@a.example:1/x".parse().unwrap()), "a.example:1");
    }
}
