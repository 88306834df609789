//! Where does an answer send us, and may we go there?
//!
//! In: where we asked, and what came. Out: where to ask next, if anywhere. Fails: on a place that cannot be read, and from
//! `https` to `http`.

use http::{Response, Uri, header};

use crate::error::Error;

/// Where to ask next.
pub(super) fn next<B>(from: &Uri, answer: &Response<B>) -> Result<Option<Uri>, Error> {
    let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(place) = answer.headers().get(header::LOCATION).filter(|_| moved) else { return Ok(None) };
    let place = place.to_str().unwrap_or_default();
    let next = resolve(from, place).ok_or_else(|| Error::BadUrl(shown(place)))?;
    if from.scheme_str() == Some("https") && next.scheme_str() == Some("http") {
        return Err(Error::Downgraded { from: host(from), to: host(&next) });
    }
    Ok(Some(next))
}

/// Another host, port or scheme: what was meant for the first one is not for it.
pub(super) fn leaves(from: &Uri, to: &Uri) -> bool {
    (from.scheme(), from.authority()) != (to.scheme(), to.authority())
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

/// RFC 3986, section 5: whole addresses, `//host/path`, `/path`, and `path` beside the last one.
fn resolve(from: &Uri, place: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?.as_str());
    let place = place.split('#').next()?;
    let beside = || from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    let text = match place {
        whole if whole.starts_with("http://") || whole.starts_with("https://") => whole.to_owned(),
        rest if rest.starts_with("//") => format!("{scheme}:{rest}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        path => format!("{scheme}://{authority}{}/{path}", beside()),
    };
    text.parse().ok()
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
        ] {
            assert_eq!(resolve(&from, place).unwrap().to_string(), wanted, "{place}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_signature_and_no_password() {
        assert_eq!(shown("https://me:pw@a.example/x?sig=1"), "https://a.example/x");
        assert_eq!(host(&"https://me:pw@a.example:1/x".parse().unwrap()), "a.example:1");
    }
}
