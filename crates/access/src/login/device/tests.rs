//! Logins of devices have a place each, and nobody has all of them.

use super::super::config::ProviderConfig;
use super::super::net::Net;
use super::*;

/// Nobody answers there.
fn provider() -> Arc<Provider> {
    let net = Net::new().expect("a net");
    Arc::new(Provider::new(ProviderConfig::new("corp", "http://127.0.0.1:9", "penstock"), None, &net).expect("a provider"))
}

fn at(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([10, 0, high, low])
}

#[tokio::test]
async fn who_has_taken_many_places_is_refused_before_the_provider_is_asked_and_others_are_not() {
    let (devices, provider) = (Devices::default(), provider());
    for number in 0..MOST_OF_ONE {
        devices.take_place(&format!("code {number}"), Some(at(1))).expect("a place");
    }
    let begin = async |from| devices.begin(Arc::clone(&provider), Some(from)).await;
    assert!(matches!(begin(at(1)).await, Err(Error::Busy)), "nobody was asked");
    assert!(matches!(begin(at(2)).await, Err(Error::Away { .. })), "the provider, which does not answer");
    assert_eq!(devices.count(), MOST_OF_ONE, "a login that did not begin leaves its place");
    for number in devices.count()..MOST {
        devices.take_place(&format!("code {number}"), u16::try_from(number).ok().map(at)).expect("a place");
    }
    assert!(matches!(begin(at(3)).await, Err(Error::Busy)), "all are taken");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_came_to_nothing_is_free_again() {
    let devices = Devices::default();
    for number in 0..MOST_OF_ONE {
        devices.take_place(&format!("code {number}"), Some(at(1))).expect("a place");
    }
    assert!(matches!(devices.take_place("more", Some(at(1))), Err(Error::Busy)));
    tokio::time::advance(KEPT).await;
    devices.take_place("more", Some(at(1))).expect("whoever took them has gone");
    assert_eq!(devices.count(), 1);
}
