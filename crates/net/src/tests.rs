//! Where a request came from, and where none may go.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::{Allowed, Dialer, Error, Forwarding, Guard, Proxies, inside};

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn allowing(list: &[&str]) -> Guard {
    Guard::new(list.iter().map(|text| text.parse::<Allowed>().expect(text)).collect())
}

#[test]
fn what_is_inside_is_known_in_every_way_to_write_it() {
    let inner = [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "192.0.0.8",
        "198.18.0.1",
        "203.0.113.5",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "2001::1",
        // an address of IPv4 within: mapped, compatible, NAT64, NAT64 of a network, 6to4
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
    ];
    for address in inner {
        assert!(inside(ip(address)).is_some(), "{address}");
    }
    for address in [
        "1.1.1.1",
        "172.15.0.1",
        "172.32.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "192.0.1.1",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "::ffff:8.8.8.8",
    ] {
        assert_eq!(inside(ip(address)), None, "{address}");
    }
}

#[test]
fn a_url_that_leads_inside_is_refused_by_its_host_alone() {
    let guard = allowing(&[]);
    let refused = [
        "http://127.0.0.1:9000/v1",
        "http://localhost/",
        "http://LOCALHOST.:80/",
        "http://a.localhost/",
        "https://10.1.2.3/",
        "http://[::1]:80/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fd00::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:1/",
        "/just/a/path",
    ];
    for url in refused {
        assert!(guard.check(url).is_err(), "{url}");
        assert!(Guard::default().check(url).is_ok() || !url.starts_with("http"), "{url}");
    }
    for url in ["https://example.com/v1", "http://8.8.8.8/", "https://[2606:4700::1111]/"] {
        assert!(guard.check(url).is_ok(), "{url}");
    }
    let error = guard.check("http://10.1.2.3/").expect_err("inside");
    assert_eq!(error.to_string(), "10.1.2.3 is not called: it is a private address");
    assert!(base::Fault::hint(&error).expect("a hint").contains("outbound.allow"));
}

#[test]
fn what_the_operator_allows_or_has_in_the_config_is_called() {
    let guard = allowing(&["10.0.0.0/8", "127.0.0.1", "models.internal"]);
    for url in ["http://10.200.0.1/", "http://127.0.0.1:1/", "http://[::ffff:10.0.0.1]/", "http://Models.Internal./v1", "http://localhost/"]
    {
        assert!(guard.check(url).is_ok(), "{url}");
    }
    for url in ["http://127.0.0.2/", "http://192.168.0.1/"] {
        assert!(guard.check(url).is_err(), "{url}");
    }
    guard.own(["http://192.168.0.1:9000/v1", "https://[fd00::1]/v1"]);
    for url in ["http://192.168.0.1:9000/other", "https://[fd00::1]:443/"] {
        assert!(guard.check(url).is_ok(), "{url}");
    }
    for url in ["http://192.168.0.1:9001/v1", "http://[fd00::1]/v1"] {
        assert!(guard.check(url).is_err(), "another port is another server: {url}");
    }
    guard.own([]);
    assert!(guard.check("http://192.168.0.1:9000/v1").is_err());
    assert!("a b".parse::<Allowed>().is_err() && "10.0.0.0/64".parse::<Allowed>().is_err() && "".parse::<Allowed>().is_err());
}

/// A listener of this machine, and a dialer to whom every name leads there.
async fn inner(guard: Guard, addresses: &'static [&'static str]) -> (TcpListener, Dialer, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let lookup = move |_: &str| {
        counter.fetch_add(1, SeqCst);
        Ok(addresses.iter().map(|address| SocketAddr::new(ip(address), 0)).collect())
    };
    (listener, Dialer::with_lookup(guard, lookup), asked)
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    for addresses in
        [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["169.254.169.254", "10.0.0.1"], &["::1"], &["fe80::1"], &["64:ff9b::7f00:1"]]
    {
        let (listener, dialer, _) = inner(allowing(&[]), addresses).await;
        let uri: Uri = format!("http://models.example:{}/v1", listener.local_addr().expect("bound").port()).parse().expect("a URL");
        let error = dialer.oneshot(uri).await.expect_err("inside");
        assert!(matches!(error.downcast_ref(), Some(Error::Inside { host, .. }) if host == "models.example"), "{error:?}");
        let silence = tokio::time::timeout(std::time::Duration::from_millis(20), listener.accept()).await;
        assert!(silence.is_err(), "nobody has connected");
    }
}

#[tokio::test]
async fn a_connection_goes_to_an_address_that_was_checked_and_the_name_is_asked_once() {
    let (listener, dialer, asked) = inner(allowing(&["127.0.0.1"]), &["10.0.0.1", "127.0.0.1"]).await;
    let uri: Uri = format!("http://models.example:{}/v1", listener.local_addr().expect("bound").port()).parse().expect("a URL");
    let stream = dialer.oneshot(uri).await.expect("connected");
    assert_eq!(stream.inner().peer_addr().expect("connected"), listener.local_addr().expect("bound"));
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_is_allowed_may_lead_anywhere() {
    let (listener, dialer, _) = inner(allowing(&["models.internal"]), &["127.0.0.1"]).await;
    let uri = |host: &str| -> Uri { format!("http://{host}:{}/", listener.local_addr().expect("bound").port()).parse().expect("a URL") };
    dialer.clone().oneshot(uri("models.internal")).await.expect("connected");
    dialer.oneshot(uri("other.internal")).await.expect_err("inside");
}

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))).collect()
}

fn behind(header: Forwarding, peer: &str, said: &[(&'static str, &str)]) -> String {
    let ranges = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect(text)).to_vec();
    let proxies = Proxies::new(ranges, header).expect("some");
    let client = proxies.client(peer.parse().expect(peer), &headers(said));
    if client.port() == 0 { client.ip().to_string() } else { client.to_string() }
}

#[test]
fn only_a_proxy_that_is_believed_can_say_where_a_request_came_from() {
    let xff = |peer: &str, said: &str| behind(Forwarding::XForwardedFor, peer, &[("x-forwarded-for", said)]);
    assert_eq!(xff("1.2.3.4:5", "9.9.9.9"), "1.2.3.4:5", "a stranger");
    assert_eq!(xff("10.0.0.1:5", "9.9.9.9"), "9.9.9.9");
    assert_eq!(xff("[::1]:5", "9.9.9.9"), "9.9.9.9");
    assert_eq!(xff("[::ffff:10.0.0.1]:5", "9.9.9.9"), "9.9.9.9");
    assert_eq!(xff("10.0.0.1:5", "6.6.6.6, 9.9.9.9, 10.0.0.2"), "9.9.9.9", "the rightmost that is not ours");
    assert_eq!(xff("10.0.0.1:5", "127.0.0.1, 9.9.9.9"), "9.9.9.9", "what the client wrote before is its own word");
    assert_eq!(xff("10.0.0.1:5", "10.0.0.3, 10.0.0.2"), "10.0.0.3", "all are ours");
    assert_eq!(xff("10.0.0.1:5", "9.9.9.9, rubbish"), "10.0.0.1:5", "what comes before rubbish counts for nothing");
    assert_eq!(xff("10.0.0.1:5", "9.9.9.9:77"), "9.9.9.9:77");
    assert_eq!(xff("10.0.0.1:5", "[2606:4700::1]:77"), "[2606:4700::1]:77");
    assert_eq!(xff("10.0.0.1:5", "2606:4700::1"), "2606:4700::1");
    assert_eq!(behind(Forwarding::XForwardedFor, "10.0.0.1:5", &[]), "10.0.0.1:5");
    let twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "9.9.9.9")];
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a range")], Forwarding::XForwardedFor).expect("some");
    let mut map = HeaderMap::new();
    for (name, value) in twice {
        map.append(name, HeaderValue::from_static(value));
    }
    assert_eq!(proxies.client("10.0.0.1:5".parse().expect("an address"), &map).ip(), ip("9.9.9.9"));
    assert_eq!(Proxies::new(Vec::new(), Forwarding::default()), None);
}

#[test]
fn the_header_that_the_proxies_do_not_write_is_not_read() {
    let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=9.9.9.9;proto=https")];
    assert_eq!(behind(Forwarding::XForwardedFor, "10.0.0.1:5", &both), "6.6.6.6");
    assert_eq!(behind(Forwarding::Forwarded, "10.0.0.1:5", &both), "9.9.9.9");
    assert_eq!(
        behind(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", "for=6.6.6.6, For=\"[2606:4700::1]:4711\";by=x")]),
        "[2606:4700::1]:4711"
    );
    assert_eq!(behind(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", "for=9.9.9.9, for=_hidden")]), "10.0.0.1:5");
    assert_eq!(behind(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", "for=9.9.9.9, for=\"10.0.0.7:1\"")]), "9.9.9.9");
}

#[test]
fn quotes_hide_no_hop_and_open_ones_tell_nothing() {
    let said = |text: &str| behind(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", text)]);
    assert_eq!(said(r#"for="a\\"b, for=6.6.6.6;by=", for=9.9.9.9"#), "10.0.0.1:5", "it ends within quotes");
    assert_eq!(said(r#"for="\"", for=9.9.9.9"#), "9.9.9.9");
    assert_eq!(said(r#"by="x\", for=9.9.9.9, for=6.6.6.6""#), "10.0.0.1:5", "all of it is one name, and no address");
    assert_eq!(said(r#"for=6.6.6.6;by="x\""#), "10.0.0.1:5", "what it escapes does not end it");
    assert_eq!(said(r#"for=6.6.6.6, for="9.9.9.9"#), "10.0.0.1:5");
    assert_eq!(said(r#"for=6.6.6.6, for="\9.9.9.9""#), "9.9.9.9");
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a range")], Forwarding::Forwarded).expect("some");
    let map = headers(&[("forwarded", r#"for=6.6.6.6;proto=https, for="9.9.9.9"#)]);
    assert_eq!(proxies.is_secure("10.0.0.1:5".parse().expect("an address"), &map), None);
}

#[test]
fn whether_the_client_speaks_tls_is_the_proxys_word_too() {
    let secure = |header, peer: &str, said: &[(&'static str, &str)]| {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a range")], header).expect("some");
        proxies.is_secure(peer.parse().expect(peer), &headers(said))
    };
    assert_eq!(secure(Forwarding::XForwardedFor, "10.0.0.1:5", &[("x-forwarded-proto", "https")]), Some(true));
    assert_eq!(secure(Forwarding::XForwardedFor, "10.0.0.1:5", &[("x-forwarded-proto", "http")]), Some(false));
    assert_eq!(secure(Forwarding::XForwardedFor, "1.1.1.1:5", &[("x-forwarded-proto", "https")]), None);
    assert_eq!(secure(Forwarding::XForwardedFor, "10.0.0.1:5", &[]), None);
    assert_eq!(secure(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", "for=9.9.9.9;proto=https")]), Some(true));
}

proptest! {
    #[test]
    fn whatever_a_client_writes_it_never_becomes_another_address_than_the_one_that_its_proxy_saw(said in "[ -~]{0,60}") {
        let told = format!("{said}, 9.9.9.9");
        prop_assert_eq!(behind(Forwarding::XForwardedFor, "10.0.0.1:5", &[("x-forwarded-for", &told)]), "9.9.9.9");
    }

    #[test]
    fn no_quote_of_a_client_makes_another_address_of_what_its_proxy_saw(said in r#"(, for=6\.6\.6\.6;by=|for=|,|;|"|\\|x){0,8}"#) {
        let told = format!("{said}, for=9.9.9.9");
        let client = behind(Forwarding::Forwarded, "10.0.0.1:5", &[("forwarded", &told)]);
        prop_assert!(client == "9.9.9.9" || client == "10.0.0.1:5", "{}", client);
    }
}
