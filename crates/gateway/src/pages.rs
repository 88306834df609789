//! Has a page of another site caused this?
//!
//! Where no token is needed everybody who reaches this server operates it, and the browser of whoever sits before it reaches it for every page that is open
//! there. So two things are looked at that a page cannot change: under which name the server was asked for, since a name of somebody else's may be made to
//! lead to this machine; and, of what changes something, where the browser says that it comes from. In: the head of a request. Out: nothing. Fails: with what
//! is not ours. Who is no browser says neither. From: OWASP, "Cross-Site Request Forgery Prevention"; "DNS rebinding".

use std::net::IpAddr;

use access::Mode;
use http::header::{HOST, ORIGIN};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderName, Request};

use crate::Gateway;
use crate::cors::Cors;
use crate::error::Error;

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Paths that pages of other sites never ask, whatever the config says of those that call models.
const OPERATORS: [&str; 2] = ["/api/v1/", "/auth/"];

/// Whether it may come in as far as that goes; where tokens are needed nothing is looked at.
pub(crate) fn check<B>(gateway: &Gateway, request: &Request<B>) -> Result<(), Error> {
    if gateway.access().mode() != Mode::Open {
        return Ok(());
    }
    let config = gateway.config();
    let cors = config.cors.as_ref().filter(|_| !OPERATORS.iter().any(|path| request.uri().path().starts_with(path)));
    let ours = Ours { public_url: config.public_url.as_deref(), cors };
    ours.check_name(request.uri(), request.headers())?;
    if request.method().is_safe() { Ok(()) } else { ours.check_origin(request.uri(), request.headers()) }
}

/// Whether it was asked for under a name that is ours.
pub(crate) fn is_ours<B>(gateway: &Gateway, request: &Request<B>) -> bool {
    let ours = Ours { public_url: gateway.config().public_url.as_deref(), cors: None };
    ours.check_name(request.uri(), request.headers()).is_ok()
}

/// What is known to be ours, or let in by the config.
struct Ours<'a> {
    public_url: Option<&'a str>,
    cors: Option<&'a Cors>,
}

impl Ours<'_> {
    /// Under which name it was asked for.
    fn check_name(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        for name in names(uri, headers) {
            let name = name.ok_or_else(|| Error::OtherName { host: String::new() })?;
            if !self.is_name(name.host()) {
                return Err(Error::OtherName { host: name.host().to_owned() });
            }
        }
        Ok(())
    }

    fn is_name(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let public = self.public_url.and_then(|url| url.parse::<Uri>().ok());
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
            || public.is_some_and(|url| url.host().is_some_and(|public| public.eq_ignore_ascii_case(host)))
    }

    /// Where the browser says that it comes from.
    fn check_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        let text = |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let (site, origin) = (text(&FETCH_SITE), text(&ORIGIN));
        let is_ours = |origin: &str| {
            let at = origin.split_once("://").map(|(_, at)| at);
            let of_name = names(uri, headers).flatten().any(|name| at.is_some_and(|at| at.eq_ignore_ascii_case(name.as_str())));
            of_name || self.public_url.is_some_and(|url| url.eq_ignore_ascii_case(origin))
        };
        let is_let_in = |origin: &str| self.cors.is_some_and(|cors| cors.origins.iter().any(|known| known == "*" || known == origin));
        match (site.as_deref(), origin) {
            (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
            (None, Some(origin)) if is_ours(&origin) => Ok(()),
            (_, Some(origin)) if is_let_in(&origin) => Ok(()),
            (_, origin) => Err(Error::OtherPage { origin: origin.unwrap_or_else(|| "another site".to_owned()) }),
        }
    }
}

/// The names that a request gives for this server: of HTTP/2 and of proxies in its target, else in a header. Nothing for one that cannot be read.
fn names<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> impl Iterator<Item = Option<Authority>> + 'a {
    let said = headers.get_all(HOST).iter().map(|value| Authority::try_from(value.as_bytes()).ok());
    uri.authority().cloned().map(Some).into_iter().chain(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn this_machine_and_the_public_name_are_ours_and_no_name_that_leads_here() {
        let ours = Ours { public_url: Some("https://models.example.org"), cors: None };
        let uri = Uri::from_static("/v1/models");
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "localhost.", "models.example.org"] {
            assert!(ours.check_name(&uri, &head(&[("host", host)])).is_ok(), "{host}");
        }
        assert!(ours.check_name(&uri, &head(&[])).is_ok(), "HTTP/1.0 names nobody, and no browser speaks it");
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1:8080", "0.0.0.0:8080", "127.0.0.1.evil.example", "a b"] {
            assert!(ours.check_name(&uri, &head(&[("host", host)])).is_err(), "{host}");
        }
        let target = Uri::from_static("http://evil.example/v1/models");
        assert!(ours.check_name(&target, &head(&[("host", "localhost")])).is_err(), "each of two names counts");
    }

    #[test]
    fn a_page_of_ours_no_browser_and_who_the_config_lets_in_may_change_something() {
        let cors = Cors { origins: vec!["https://app.example".to_owned()], ..Cors::default() };
        let uri = Uri::from_static("/v1/chat/completions");
        let check = |cors: Option<&Cors>, pairs: &[(&'static str, &str)]| {
            let all: Vec<_> = [("host", "127.0.0.1:8080")].iter().chain(pairs).copied().collect();
            Ours { public_url: None, cors }.check_origin(&uri, &head(&all)).is_ok()
        };
        for pairs in [&[][..], &[("origin", "http://127.0.0.1:8080")], &[("sec-fetch-site", "same-origin")], &[("sec-fetch-site", "none")]]
        {
            assert!(check(None, pairs), "{pairs:?}");
        }
        let foreign = [
            &[("origin", "https://app.example")][..],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:3000")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8080")],
        ];
        for pairs in foreign {
            assert!(!check(None, pairs), "{pairs:?}");
        }
        assert!(check(Some(&cors), &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")]));
        assert!(!check(Some(&cors), &[("origin", "https://other.example"), ("sec-fetch-site", "cross-site")]));
    }
}
