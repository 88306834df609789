//! Tokens that are good, and every way in which one can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use openidconnect::core::CoreEdDsaPrivateSigningKey;
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://id.example.org";
const API: &str = "https://penstock.example.org";
const NOW: i64 = 1_800_000_000;

/// A key of a provider, as good as its seed.
pub(in crate::login) fn key(id: &str, seed: u8) -> CoreEdDsaPrivateSigningKey {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([seed; 32]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(id.to_owned()))).expect("a key")
}

/// Signs whatever it is given.
pub(in crate::login) fn signed(head: &Value, claims: &Value, key: &CoreEdDsaPrivateSigningKey) -> String {
    let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
    let signature = key.sign(&Algorithm::EdDsa, text.as_bytes()).expect("a signature");
    format!("{text}.{}", BASE64.encode(signature))
}

fn head() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"})
}

/// What is said to whom at a login.
fn login(change: &Value) -> Value {
    merged(json!({"iss": ISSUER, "aud": "penstock", "sub": "s1", "iat": NOW, "exp": NOW + 300, "nonce": "n", "groups": ["a"]}), change)
}

/// What opens a door.
fn access(change: &Value) -> Value {
    merged(json!({"iss": ISSUER, "aud": ["other", API], "sub": "s1", "iat": NOW, "exp": NOW + 300, "client_id": "robot"}), change)
}

fn merged(mut whole: Value, change: &Value) -> Value {
    for (key, value) in change.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    let all = whole.as_object_mut().expect("an object");
    all.retain(|_, value| !value.is_null());
    whole
}

fn judged<T>(text: &str, judge: impl FnOnce(&Court<'_>, &Token) -> Result<T, Doubt>) -> Result<T, Doubt> {
    let keys = CoreJsonWebKeySet::new(vec![key("one", 1).as_verification_key()]);
    let issuer = IssuerUrl::new(ISSUER.to_owned()).expect("an issuer");
    let court = Court { issuer: &issuer, keys: &keys, now: DateTime::from_timestamp(NOW, 0).expect("a time") };
    let token = text.parse().map_err(|error| Doubt::Wrong(format!("{error}")))?;
    judge(&court, &token)
}

fn logged_in(head: &Value, claims: &Value) -> Result<Said, Doubt> {
    let (client, nonce) = (ClientId::new("penstock".to_owned()), Nonce::new("n".to_owned()));
    judged(&signed(head, claims, &key("one", 1)), |court, token| court.login(token, &client, Some(&nonce)))
}

fn let_in(head: &Value, claims: &Value) -> Result<Fact, Doubt> {
    judged(&signed(head, claims, &key("one", 1)), |court, token| court.access(token, &[API.to_owned()]))
}

#[test]
fn a_good_token_tells_of_whom_it_speaks() {
    let said =
        logged_in(&head(), &login(&json!({"preferred_username": "ann", "email": "a@b.c", "email_verified": "true"}))).expect("proven");
    assert_eq!((said.subject.as_str(), said.username.as_deref(), said.email.as_deref()), ("s1", Some("ann"), Some("a@b.c")));
    let said = logged_in(&head(), &login(&json!({"email": "a@b.c", "email_verified": false}))).expect("proven");
    assert_eq!(said.email, None, "nobody has made sure of it");
    let fact = let_in(&json!({"alg": "EdDSA", "kid": "one", "typ": "at+jwt"}), &access(&json!({}))).expect("proven");
    assert_eq!((fact.said.username.as_deref(), fact.until.timestamp()), (Some("robot"), NOW + 300 + 60));
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    assert!(logged_in(&head(), &login(&json!({"exp": NOW - 59}))).is_ok());
    assert_eq!(logged_in(&head(), &login(&json!({"exp": NOW - 60}))).err(), Some(Doubt::Expired));
    assert!(logged_in(&head(), &login(&json!({"iat": NOW + 60}))).is_ok());
    assert!(matches!(logged_in(&head(), &login(&json!({"iat": NOW + 61}))), Err(Doubt::Wrong(_))));
    assert!(let_in(&head(), &access(&json!({"nbf": NOW + 60}))).is_ok());
    assert!(matches!(let_in(&head(), &access(&json!({"nbf": NOW + 61}))), Err(Doubt::Wrong(_))));
    assert_eq!(let_in(&head(), &access(&json!({"exp": NOW - 61}))).err(), Some(Doubt::Expired));
}

#[test]
fn a_date_is_a_number_with_a_fraction_or_without_and_nothing_else() {
    let fraction = json!({"iat": 1_799_999_999.5, "exp": 1_800_000_300.25, "nbf": 1_800_000_000.75});
    assert!(let_in(&head(), &access(&fraction)).is_ok());
    assert!(logged_in(&head(), &login(&fraction)).is_ok());
    for date in ["iat", "exp", "nbf"] {
        for text in [json!(NOW.to_string()), json!("2027-01-15T08:00:00Z"), json!([NOW]), json!(true)] {
            let change = json!({date: text});
            assert!(matches!(let_in(&head(), &access(&change)), Err(Doubt::Wrong(_))), "{change}");
            assert!(matches!(logged_in(&head(), &login(&change)), Err(Doubt::Wrong(_))), "{change}");
        }
    }
    let mut null = access(&json!({}));
    null["nbf"] = Value::Null;
    assert!(matches!(let_in(&head(), &null), Err(Doubt::Wrong(_))), "nor is null");
}

#[test]
fn what_is_said_to_somebody_else_or_by_somebody_else_logs_nobody_in() {
    let changes = [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"aud": ["penstock", "another"]}),
        json!({"azp": "another"}),
        json!({"nonce": "m"}),
        json!({"nonce": null}),
        json!({"sub": " "}),
        json!({"sub": null}),
        json!({"exp": null}),
    ];
    for change in changes {
        assert!(matches!(logged_in(&head(), &login(&change)), Err(Doubt::Wrong(_))), "{change}");
    }
}

#[test]
fn a_token_for_another_door_or_of_another_kind_opens_none() {
    let changes = [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "https://other.example"}),
        json!({"aud": []}),
        json!({"nonce": "n"}),
        json!({"at_hash": "x"}),
        json!({"typ": "ID"}),
        json!({"typ": "Refresh"}),
    ];
    for change in changes {
        assert!(matches!(let_in(&head(), &access(&change)), Err(Doubt::Wrong(_))), "{change}");
    }
    for kind in ["logout+jwt", "secevent+jwt", "application/xml"] {
        assert!(matches!(let_in(&json!({"alg": "EdDSA", "kid": "one", "typ": kind}), &access(&json!({}))), Err(Doubt::Wrong(_))), "{kind}");
    }
    // An access token is no proof that somebody logs in.
    let at = json!({"alg": "EdDSA", "kid": "one", "typ": "at+jwt"});
    assert!(matches!(logged_in(&at, &login(&json!({}))), Err(Doubt::Wrong(_))));
}

#[test]
fn a_signature_by_nobody_by_a_shared_secret_or_by_another_key_proves_nothing() {
    let none = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode(login(&json!({})).to_string()));
    let client = ClientId::new("penstock".to_owned());
    let judge = |text: &str| judged(text, |court, token| court.login(token, &client, None)).err();
    assert!(matches!(judge(&none), Some(Doubt::Wrong(_))), "none");
    for alg in ["HS256", "HS512", "RSA-OAEP", "nonsense"] {
        let text = signed(&json!({"alg": alg, "kid": "one"}), &login(&json!({})), &key("one", 1));
        assert!(matches!(judge(&text), Some(Doubt::Wrong(_))), "{alg}");
    }
    let other = signed(&head(), &login(&json!({})), &key("one", 2));
    assert!(matches!(judge(&other), Some(Doubt::Wrong(_))), "a key that only has the same name");
    let strange = signed(&json!({"alg": "EdDSA", "kid": "two"}), &login(&json!({})), &key("two", 2));
    assert_eq!(judge(&strange), Some(Doubt::UnknownKey), "a key that may be new");
    let critical = signed(&json!({"alg": "EdDSA", "kid": "one", "crit": ["x"], "x": 1}), &login(&json!({})), &key("one", 1));
    assert!(matches!(judge(&critical), Some(Doubt::Wrong(_))), "what has to be understood and is not");
    let good = signed(&head(), &login(&json!({})), &key("one", 1));
    let (text, _) = good.rsplit_once('.').expect("three parts");
    assert!(matches!(judge(&format!("{text}.")), Some(Doubt::Wrong(_))), "cut off");
    let changed = good.replace(&BASE64.encode(login(&json!({})).to_string()), &BASE64.encode(login(&json!({"sub": "root"})).to_string()));
    assert!(matches!(judge(&changed), Some(Doubt::Wrong(_))), "changed");
}
