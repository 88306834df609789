//! Which addresses are inside: of this machine, of its network, of nobody in particular?
//!
//! In: an address. Out: what sort it is, unless anybody on the internet may have it. Addresses that carry one of IPv4 within
//! them are as that one is: a translator on the way would take them there. From: IANA's registries of special-purpose addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A first address, how many bits of it count, what the range is.
type Named<A> = (A, u32, &'static str);

const LOOPBACK: &str = "an address of this machine (loopback)";
const PRIVATE: &str = "a private address";
const LINK: &str = "a link-local address, where clouds keep the keys of a machine";
const MANY: &str = "an address of many (multicast)";
const NOBODY: &str = "nobody's address (unspecified)";
const SPECIAL: &str = "an address for special purposes";

const V4: [Named<Ipv4Addr>; 14] = [
    (Ipv4Addr::UNSPECIFIED, 8, NOBODY),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, PRIVATE),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LINK),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, SPECIAL),
    (Ipv4Addr::new(192, 0, 2, 0), 24, SPECIAL),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, SPECIAL),
    (Ipv4Addr::new(198, 51, 100, 0), 24, SPECIAL),
    (Ipv4Addr::new(203, 0, 113, 0), 24, SPECIAL),
    (Ipv4Addr::new(224, 0, 0, 0), 4, MANY),
    (Ipv4Addr::new(240, 0, 0, 0), 4, SPECIAL),
];

const V6: [Named<Ipv6Addr>; 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, NOBODY),
    (Ipv6Addr::LOCALHOST, 128, LOOPBACK),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, PRIVATE),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, SPECIAL),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, SPECIAL),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, SPECIAL),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, SPECIAL),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, SPECIAL),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, PRIVATE),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, LINK),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, PRIVATE),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, MANY),
];

/// What sort of address it is, when it is not one of the open internet.
pub fn inside(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address).or_else(|| carried(address).and_then(v4)),
    }
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let same = |(net, bits, _): &&Named<Ipv4Addr>| (u32::from(*net) ^ u32::from(address)).leading_zeros() >= *bits;
    V4.iter().find(same).map(|(_, _, what)| *what)
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let same = |(net, bits, _): &&Named<Ipv6Addr>| (u128::from(*net) ^ u128::from(address)).leading_zeros() >= *bits;
    V6.iter().find(same).map(|(_, _, what)| *what)
}

/// The address of IPv4 within one of IPv6: behind a translator (NAT64), in a tunnel (6to4), or in the oldest way to write it.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const NAT64: u128 = 0x0064_ff9b << 64;
    const TUNNEL: u128 = 0x2002;
    let bits = u128::from(address);
    let at = |shift: u32| u32::try_from(bits >> shift & u128::from(u32::MAX)).ok().map(Ipv4Addr::from);
    match bits >> 32 {
        0 | NAT64 => at(0),
        _ if bits >> 112 == TUNNEL => at(80),
        _ => None,
    }
}
