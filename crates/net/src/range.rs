//! Some addresses: all that share a beginning, or one.
//!
//! In: `10.0.0.0/8`, `fd00::/8` or an address. Out: whether an address is among them. Fails: with what to write instead.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Addresses that share a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range(IpNet);

impl Range {
    /// Whether the address is one of them; one of IPv4 counts as such however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address.to_canonical())),
            Err(_) => text.parse::<IpNet>().ok().map(|net| net.trunc()),
        };
        found.map(Self).ok_or_else(|| format!("`{text}` is no range of addresses; write 10.0.0.0/8, or an address such as 10.1.2.3"))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
