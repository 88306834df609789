//! Was a change asked for by a page of ours?
//!
//! In: the headers of a request that brings a cookie. Out: nothing when it was. Fails: when a page of another site may have caused it. Browsers
//! send a cookie with whatever page causes a request; a token in a header is sent by nobody who does not mean to, so who brings one is
//! not asked. Two things are looked at: where the browser says that the request comes from, and a token
//! that only our pages can read. From: OWASP, "Cross-Site Request Forgery Prevention".

use access::login;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

use crate::House;
use crate::error::Error;

/// Where our pages put the token.
pub(crate) static CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a change by this cookie is meant; `field` is the token where a form has sent it.
pub(crate) fn check(house: &House, headers: &HeaderMap, cookie: &str, field: Option<&str>) -> Result<(), Error> {
    check_origin(house, headers)?;
    let sent = headers.get(&CSRF_TOKEN).and_then(|value| value.to_str().ok()).or(field).filter(|sent| !sent.is_empty());
    match sent {
        Some(sent) if login::is_csrf_token(cookie, sent) => Ok(()),
        Some(_) => Err(forged("its x-csrf-token belongs to another session")),
        None => Err(forged("it has no x-csrf-token")),
    }
}

/// Whether the browser says that a page of ours caused it; who is no browser says nothing.
pub(crate) fn check_origin(house: &House, headers: &HeaderMap) -> Result<(), Error> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(&FETCH_SITE), text(&ORIGIN)) {
        (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
        (None, Some(origin)) if is_ours(house.logins.public_url(), text(&HOST), origin) => Ok(()),
        _ => Err(forged("it comes from a page of another site")),
    }
}

fn is_ours(public_url: &str, host: Option<&str>, origin: &str) -> bool {
    let of_host = host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, at)| at.eq_ignore_ascii_case(host)));
    origin.eq_ignore_ascii_case(public_url) || of_host
}

fn forged(why: &'static str) -> Error {
    Error::Access(login::Error::Forged(why).into())
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn an_origin_is_ours_when_it_is_where_we_are_or_where_the_request_went() {
        let at = "https://penstock.example.org";
        assert!(is_ours(at, None, "https://penstock.example.org"));
        assert!(is_ours(at, Some("127.0.0.1:8080"), "http://127.0.0.1:8080"));
        for other in ["null", "", "https://evil.example", "https://penstock.example.org.evil.example", "http://127.0.0.1:9090"] {
            assert!(!is_ours(at, Some("127.0.0.1:8080"), other), "{other}");
        }
    }
}
