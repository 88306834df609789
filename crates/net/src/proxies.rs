//! From where does a request really come?
//!
//! In: the address at the other end of the connection, the request's headers, the proxies that are believed. Out: the address of the client, and whether it
//! came by TLS. Fails: never: a header that makes no sense is believed as far as it does. Only the last address that no proxy of ours
//! has is the client's: all before it is the client's own word. From: RFC 7239; nginx's `real_ip_recursive`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use crate::range::Range;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Stands for what cannot be read: no address, so that the list ends there.
const UNREADABLE: &str = "?";

/// Which header the proxies write. The other one is passed on as the client sent it, so that it is never read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

/// The proxies that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    ranges: Vec<Range>,
    header: Forwarding,
}

impl Proxies {
    /// Those of these ranges, by this header; nothing when there are none.
    pub fn new(ranges: Vec<Range>, header: Forwarding) -> Option<Self> {
        (!ranges.is_empty()).then_some(Self { ranges, header })
    }

    /// Whether this is one of them.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Where the request comes from. The port is 0 where the header does not say it.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.trust(peer.ip()) {
            return peer;
        }
        let mut client = peer;
        for hop in self.hops(headers).into_iter().rev() {
            let Some(address) = address(&hop) else { break };
            client = address;
            if !self.trust(address.ip()) {
                break;
            }
        }
        client
    }

    /// Whether the client speaks TLS to the first of them; nothing when they do not say.
    pub fn is_secure(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<bool> {
        if !self.trust(peer.ip()) {
            return None;
        }
        let said = match self.header {
            Forwarding::XForwardedFor => {
                let last = headers.get_all(&X_FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
                last.rsplit(',').next().unwrap_or_default().trim().to_ascii_lowercase()
            }
            Forwarding::Forwarded => {
                let mut known = elements(headers).into_iter().rev().take_while(|element| *element != UNREADABLE);
                known.find_map(|element| parameter(element, "proto"))?.to_ascii_lowercase()
            }
        };
        Some(said == "https")
    }

    /// Every hop that the header tells of, the nearest one last.
    fn hops(&self, headers: &HeaderMap) -> Vec<String> {
        match self.header {
            Forwarding::XForwardedFor => {
                let values = headers.get_all(&X_FORWARDED_FOR).iter();
                // What is no text is no address either, and ends the list where it stands.
                values
                    .flat_map(|value| value.to_str().unwrap_or(UNREADABLE).split(',').map(|hop| hop.trim().to_owned()).collect::<Vec<_>>())
                    .collect()
            }
            Forwarding::Forwarded => elements(headers).iter().map(|element| parameter(element, "for").unwrap_or_default()).collect(),
        }
    }
}

/// The elements of all `Forwarded` headers. Of a value whose end lies within quotes nobody knows where its elements end: it counts as one that tells
/// nothing.
fn elements(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(&FORWARDED).iter();
    values.flat_map(|value| value.to_str().ok().and_then(|text| split(text, ',')).unwrap_or_else(|| vec![UNREADABLE])).collect()
}

/// The parts between these letters, of which those within quotes divide nothing; nothing when it ends within quotes.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (place, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == at && !quoted => {
                parts.push(text.get(from..place)?);
                from = place + at.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(from..)?);
    (!quoted).then_some(parts)
}

fn parameter(element: &str, name: &str) -> Option<String> {
    split(element, ';')?.iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| plain(value.trim()))
    })
}

/// A value without its quotes, in which `\x` stands for `x`.
fn plain(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut escaped = false;
    let is_said = |letter: &char| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    };
    inside.chars().filter(is_said).collect()
}

/// `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(hop: &str) -> Option<SocketAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let found = bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)).or_else(|| hop.parse().ok())?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}
