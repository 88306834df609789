//! What do browsers keep for us?
//!
//! In: what they send, and what they are to keep. Out: values, and headers `Set-Cookie`. Fails: never; a browser that sends nonsense has sent
//! nothing. By `https` the names begin with `__Host-`: no other host, and nobody on the way, can set them. By plain `http`, which is
//! for loopback, the port stands in the name, since cookies of one host go to all of its ports.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Uri};

use crate::House;

/// The cookies of this server.
pub(crate) struct Jar {
    prefix: String,
    secure: bool,
}

/// A cookie as long as this is none of ours.
const LONGEST: usize = 4096;

impl Jar {
    pub(crate) fn of(house: &House) -> Self {
        Self::at(house.logins.public_url())
    }

    fn at(public_url: &str) -> Self {
        let uri: Uri = public_url.parse().unwrap_or_default();
        let secure = uri.scheme_str() == Some("https");
        let prefix = if secure { "__Host-penstock".to_owned() } else { format!("penstock-{}", uri.port_u16().unwrap_or(80)) };
        Self { prefix, secure }
    }

    /// What the session's cookie holds.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<String> {
        find(headers, &self.prefix)
    }

    /// What the browser carried to a provider and back.
    pub(crate) fn carries(&self, headers: &HeaderMap) -> Option<String> {
        find(headers, &self.login())
    }

    /// The browser is logged in.
    pub(crate) fn entered(&self, value: &str) -> HeaderValue {
        self.set(&self.prefix, value, None)
    }

    /// The browser is not.
    pub(crate) fn nobody(&self) -> HeaderValue {
        self.set(&self.prefix, "", Some(Duration::ZERO))
    }

    /// The browser is on its way to a provider.
    pub(crate) fn carried(&self, value: &str, time: Duration) -> HeaderValue {
        self.set(&self.login(), value, Some(time))
    }

    /// The browser is back.
    pub(crate) fn nothing_carried(&self) -> HeaderValue {
        self.set(&self.login(), "", Some(Duration::ZERO))
    }

    fn login(&self) -> String {
        format!("{}-login", self.prefix)
    }

    /// `Lax`: a link from elsewhere opens our pages, a form from elsewhere changes nothing.
    fn set(&self, name: &str, value: &str, time: Option<Duration>) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let time = time.map(|time| format!("; Max-Age={}", time.as_secs())).unwrap_or_default();
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{time}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
    let mut ours = all.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name).map(|(_, value)| value);
    // Two of one name: somebody else has set one.
    let value = ours.next().filter(|value| !value.is_empty() && value.len() <= LONGEST)?;
    ours.next().is_none().then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))])
    }

    #[test]
    fn by_https_only_this_host_can_set_them_and_on_loopback_each_port_has_its_own() {
        let jar = Jar::at("https://penstock.example.org");
        assert_eq!(jar.entered("v"), "__Host-penstock=v; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(jar.nobody(), "__Host-penstock=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
        let jar = Jar::at("http://127.0.0.1:9000");
        let carried = jar.carried("v", Duration::from_mins(10));
        assert_eq!(carried, "penstock-9000-login=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=600");
    }

    #[test]
    fn a_cookie_is_found_among_others_and_not_when_there_are_two() {
        let jar = Jar::at("http://127.0.0.1:9000");
        assert_eq!(jar.session(&sent("a=b; penstock-9000=x.y; c")).as_deref(), Some("x.y"));
        for none in ["", "penstock-9001=x", "penstock-9000=", "penstock-9000=x; penstock-9000=y", "xpenstock-9000=x"] {
            assert_eq!(jar.session(&sent(none)), None, "{none}");
        }
    }
}
