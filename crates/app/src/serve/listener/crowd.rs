//! How many connections may come from one address?
//!
//! In: the address of a new connection. Out: a [`Seat`], which is given back when it is dropped; none when there are too many. Those of
//! proxies that are believed are not counted: they bring everybody. Whoever has IPv6 has a network of it, so its first half counts.
//! Holds: a number for each address that is inside now. It is looked at when a connection comes and when it goes, never in between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use net::Proxies;

/// That some are turned away is said this often at most.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Those who are inside, by address.
#[derive(Debug)]
pub(super) struct Crowd {
    most: u32,
    proxies: Option<Arc<Proxies>>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    by_address: HashMap<IpAddr, u32>,
    turned_away: u64,
    said: Option<Instant>,
}

/// A place of an address.
#[derive(Debug)]
pub(super) struct Seat(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    /// With so many places for each address.
    pub(super) fn new(most: u32, proxies: Option<Arc<Proxies>>) -> Arc<Self> {
        Arc::new(Self { most, proxies, inside: Mutex::default() })
    }

    /// A place for this address, if it has one left.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        if self.proxies.as_ref().is_some_and(|proxies| proxies.trust(address)) {
            return Some(Seat(None));
        }
        let address = whose(address);
        let mut inside = self.inside();
        let count = inside.by_address.entry(address).or_default();
        if *count >= self.most {
            inside.turn_away(address, self.most);
            return None;
        }
        *count += 1;
        Some(Seat(Some((Arc::clone(self), address))))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn turn_away(&mut self, address: IpAddr, most: u32) {
        self.turned_away += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            self.said = Some(Instant::now());
            let turned_away = self.turned_away;
            tracing::warn!(%address, most, turned_away, "too many connections from one address; limits.connections_per_address");
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((crowd, address)) = self.0.take() else { return };
        let mut inside = crowd.inside();
        if let Entry::Occupied(mut entry) = inside.by_address.entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// One of IPv6 stands for the network that its owner has.
fn whose(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & NETWORK).into(),
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let proxies = net::Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], net::Forwarding::default());
        let crowd = Crowd::new(2, proxies.map(Into::into));
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let (first, second) = (enter("1.1.1.1").unwrap(), enter("::ffff:1.1.1.1").unwrap());
        assert!(enter("1.1.1.1").is_none() && enter("1.1.1.2").is_some(), "others have places of their own");
        drop(first);
        assert!(enter("1.1.1.1").is_some());
        let of_one_network = (enter("2606:4700::1").unwrap(), enter("2606:4700::2").unwrap());
        assert!(enter("2606:4700::3").is_none() && enter("2606:4700:0:1::3").is_some());
        let all: Vec<_> = (0..10).map(|_| enter("10.0.0.1").unwrap()).collect();
        assert_eq!(all.len(), 10);
        drop(second);
        drop(of_one_network);
        assert!(crowd.inside().by_address.is_empty(), "{crowd:?}");
    }
}
