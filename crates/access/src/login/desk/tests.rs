//! What a token of a provider is good for, and for how long, also while the provider cannot be asked.

use openidconnect::PrivateSigningKey as _;
use serde_json::{Value, json};
use spec::Grants;
use store::Store;

use super::*;
use crate::access::Mode;
use crate::login::proof::SKEW;
use crate::login::proof::tests::{key, signed};
use crate::login::provider::tests::Stand;

const API: &str = "https://penstock.example.org";
/// Keys of the provider: a name and a seed.
const OLD: (&str, u8) = ("old", 1);
const NEW: (&str, u8) = ("new", 2);

fn shown(keys: &[(&str, u8)]) -> Value {
    keys.iter().map(|(name, seed)| serde_json::to_value(key(name, *seed).as_verification_key()).expect("a key")).collect()
}

/// A house that lets in whomever this provider knows.
async fn house(dir: &tempfile::TempDir, stand: &Stand) -> (Access, Logins) {
    let access = Access::open(Store::open(dir.path().join("x.db")).await.expect("a store"), Mode::Tokens).await.expect("a door");
    let provider = ProviderConfig {
        everybody: Grants { roles: vec!["viewer".parse().expect("a name")], ..Grants::default() },
        allowed_audiences: vec![API.to_owned()],
        ..ProviderConfig::new("corp", &stand.issuer, "penstock")
    };
    let config = Config { providers: vec![provider], ..Config::local("http://127.0.0.1:1") };
    let logins = Logins::open(&access, config, &|_| None).await.expect("a desk");
    (access, logins)
}

/// An access token that was made a minute ago, by this key, and its end so many seconds from now.
fn token(stand: &Stand, (name, seed): (&str, u8), ends_in: i64) -> (String, Timestamp) {
    let now = Timestamp::now().as_millis() / 1_000;
    let claims = json!({"iss": stand.issuer, "aud": API, "sub": "s1", "iat": now - 60, "exp": now + ends_in, "client_id": "robot"});
    let text = signed(&json!({"alg": "EdDSA", "kid": name, "typ": "at+jwt"}), &claims, &key(name, seed));
    (text, Timestamp::from_millis((now + ends_in) * 1_000))
}

#[tokio::test]
async fn what_a_token_is_exchanged_for_ends_with_it_at_the_latest() {
    let dir = tempfile::tempdir().expect("a folder");
    let stand = Stand::showing(shown(&[OLD])).await;
    let (_access, logins) = house(&dir, &stand).await;
    for ends_in in [-30, 20, 7_200] {
        let (text, end) = token(&stand, OLD, ends_in);
        let (ours, _) = logins.exchange(&text, &Came::default()).await.expect("one of ours");
        let until = ours.expires_at.expect("it ends");
        assert!(until <= end.plus(SKEW), "{until} for a token that ends at {end}");
        assert!(until <= Timestamp::now().plus(EXCHANGED), "{until}");
    }
}

#[tokio::test]
async fn while_a_provider_cannot_be_asked_nobody_is_told_that_a_key_is_not_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let stand = Stand::showing(shown(&[OLD])).await;
    let (access, logins) = house(&dir, &stand).await;
    let came = Came::default();
    access.settle(&token(&stand, OLD, 300).0, &came).await.expect("somebody whom it knows");
    stand.shows(None);
    let (later, _) = token(&stand, NEW, 300);
    let asked = access.settle(&later, &came).await;
    assert!(matches!(asked, Err(Error::Login(Trouble::Away { .. }))), "{asked:?}");
    for _ in 0..3 {
        let asked = access.enter(Some(&later), None);
        assert!(matches!(asked, Err(Error::Login(Trouble::Away { .. }))), "{asked:?}");
    }
    access.enter(Some(&token(&stand, OLD, 300).0), None).expect("what is known holds on");
    stand.shows(Some(shown(&[OLD, NEW])));
    logins.only_provider().once_more().await.expect("it is back");
    access.enter(Some(&later), None).expect("its key is known now");
}
