//! May a URL that somebody gave lead there?
//!
//! In: what the operator allows, the URLs of the operator's own config, a URL. Out: a verdict for the host as it is written, and one for
//! each address that it turns out to have. Fails: with [`Error::Inside`]. What is asked of the config stands apart from what is
//! asked of the API only by its host and port: so the operator's own word needs no second one. Holds: nothing; the hosts of the config
//! are swapped whole.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use http::Uri;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::inside::inside;
use crate::range::Range;

/// What may be called although it is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// These addresses.
    Addresses(Range),
    /// Whatever this name leads to; in small letters.
    Host(String),
}

impl FromStr for Allowed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.trim().trim_end_matches('.').to_ascii_lowercase();
        if let Ok(range) = host.parse() {
            return Ok(Self::Addresses(range));
        }
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if host.split('.').all(is_label) && host.bytes().any(|b| b.is_ascii_lowercase()) {
            return Ok(Self::Host(host));
        }
        Err(format!("`{text}` is neither a range of addresses nor the name of a host; write 10.0.0.0/8, 127.0.0.1 or models.internal"))
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses(range) => range.fmt(f),
            Self::Host(host) => f.write_str(host),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Says which hosts may be called; cheap to clone. By default all.
#[derive(Debug, Clone, Default)]
pub struct Guard(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    allowed: Vec<Allowed>,
    /// Host and port of each URL in the operator's config.
    own: RwLock<BTreeSet<(String, u16)>>,
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Eq for Guard {}

impl Guard {
    /// Keeps callers outside, but for what is allowed.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self(Some(Arc::new(Rules { allowed, own: RwLock::default() })))
    }

    /// These URLs are the operator's own, and no others are.
    pub fn own<'a>(&self, urls: impl IntoIterator<Item = &'a str>) {
        let Some(rules) = &self.0 else { return };
        let hosts = urls.into_iter().filter_map(|url| place(&url.parse().ok()?)).collect();
        *rules.own.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Whether the URL may be asked for at all, by the host as it is written; its addresses are looked at when it is called.
    pub fn check(&self, url: &str) -> Result<(), Error> {
        self.check_uri(&url.parse().map_err(|_not_one| Error::NoHost)?)
    }

    /// The same.
    pub fn check_uri(&self, uri: &Uri) -> Result<(), Error> {
        let Some(rules) = &self.0 else { return Ok(()) };
        let (host, port) = place(uri).ok_or(Error::NoHost)?;
        if rules.is_free(&host, port) {
            return Ok(());
        }
        let local = host == "localhost" || host.ends_with(".localhost");
        let address = if local { Some(IpAddr::from([127, 0, 0, 1])) } else { host.parse().ok() };
        match address {
            Some(address) => rules.check_address(if local { &host } else { "" }, address),
            None => Ok(()),
        }
    }

    /// Whether its addresses need not be looked at.
    pub(crate) fn is_free(&self, uri: &Uri) -> bool {
        let Some(rules) = &self.0 else { return true };
        place(uri).is_some_and(|(host, port)| rules.is_free(&host, port))
    }

    /// Those of the addresses of a host that may be called.
    pub(crate) fn keep(&self, host: &str, addresses: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
        let Some(rules) = &self.0 else { return Ok(addresses.collect()) };
        let (mut kept, mut refused) = (Vec::new(), None);
        for address in addresses {
            match rules.check_address(host, address.ip()) {
                Ok(()) => kept.push(address),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            _ if !kept.is_empty() => Ok(kept),
            Some(error) => Err(error),
            None => Err(Error::Nowhere { host: host.to_owned() }),
        }
    }
}

impl Rules {
    fn is_free(&self, host: &str, port: u16) -> bool {
        let named = |allowed: &Allowed| matches!(allowed, Allowed::Host(name) if name == host);
        self.allowed.iter().any(named) || self.own.read().unwrap_or_else(PoisonError::into_inner).contains(&(host.to_owned(), port))
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Error> {
        let Some(what) = inside(address) else { return Ok(()) };
        let excepted = |allowed: &Allowed| matches!(allowed, Allowed::Addresses(range) if range.contains(address));
        if self.allowed.iter().any(excepted) {
            return Ok(());
        }
        Err(Error::Inside { host: host.to_owned(), address: address.to_canonical(), what })
    }
}

/// Host, in small letters and without brackets, and port.
fn place(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (!host.is_empty()).then(|| (host, uri.port_u16().unwrap_or(usual)))
}
