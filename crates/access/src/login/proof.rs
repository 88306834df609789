//! Is what a token says proven?
//!
//! In: a token of a provider, the provider's keys, the time. Out: what it says. Fails: as [`Doubt`]: a signature by another
//! key, by none or by a shared secret; another issuer; another audience; too late, too early; a kind of token that proves
//! something else; a date that is no number. Clocks may differ by [`SKEW`]. From: OpenID Connect Core 3.1.3.7, RFC 7519, RFC 9068, RFC 8725.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreGenderClaim, CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    Audience, ClaimsVerificationError, ClientId, IdTokenVerifier, IssuerUrl, JsonWebTokenType, Nonce, NormalizedJsonWebTokenType,
    SignatureVerificationError,
};
use serde_json::{Map, Value};

use super::person::{Claims, Said};

/// Clocks may differ by so much.
pub(crate) const SKEW: Duration = Duration::from_mins(1);

/// A token as it came, parsed and not yet proven.
pub(crate) type Token = openidconnect::IdToken<Claims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, Algorithm>;
type Proven = openidconnect::IdTokenClaims<Claims, CoreGenderClaim>;

/// Only what needs the provider's private key: whoever knows a shared secret could sign as well.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// What a token tells of dates: numbers, with a fraction or without (RFC 7519, 2).
const DATES: [&str; 3] = ["iat", "exp", "nbf"];

/// Why it is not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It is signed by a key that we do not know: perhaps a new one.
    UnknownKey,
    /// It was good once.
    Expired,
    /// Anything else.
    Wrong(String),
}

/// What it is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Court<'a> {
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) keys: &'a CoreJsonWebKeySet,
    pub(crate) now: DateTime<Utc>,
}

/// What was proven, when it was said, and until when it holds.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) said: Said,
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
}

impl Court<'_> {
    /// A token that tells us, and nobody else, who has just logged in.
    pub(crate) fn login(&self, token: &Token, client: &ClientId, nonce: Option<&Nonce>) -> Result<Said, Doubt> {
        let verifier = self.verifier(client).set_other_audience_verifier_fn(|_: &Audience| false);
        let nonce = |found: Option<&Nonce>| match nonce {
            Some(nonce) if found.is_none_or(|found| !same(found.secret(), nonce.secret())) => {
                Err("it has not the nonce of this login".to_owned())
            }
            _ => Ok(()),
        };
        let claims = token.claims(&verifier, nonce).map_err(doubt)?;
        self.times(token, claims)?;
        match claims.authorized_party() {
            Some(party) if party != client => Err(Doubt::Wrong("it was made for another client".to_owned())),
            _ => Ok(said(claims)),
        }
    }

    /// A token that opens what it was made for: an access token.
    pub(crate) fn access(&self, token: &Token, audiences: &[String]) -> Result<Fact, Doubt> {
        let types = ["JWT", "at+jwt"].into_iter().filter_map(kind);
        // The audience is looked at below: any of several is right.
        let verifier = self.verifier(&ClientId::new(String::new())).require_audience_match(false).set_allowed_jose_types(types);
        let claims = token.claims(&verifier, |_: Option<&Nonce>| Ok(())).map_err(doubt)?;
        self.times(token, claims)?;
        if !claims.audiences().iter().any(|audience| audiences.iter().any(|wanted| *wanted == **audience)) {
            return Err(Doubt::Wrong("it was made for another audience".to_owned()));
        }
        // What tells a client who logged in is no key to anything, even if it names the right audience.
        let told = matches!(claims.additional_claims().text("typ"), Some("ID" | "Refresh" | "Logout"));
        if told || claims.nonce().is_some() || claims.access_token_hash().is_some() || claims.code_hash().is_some() {
            return Err(Doubt::Wrong("it is no access token".to_owned()));
        }
        let mut said = said(claims);
        // A program has no name of its own there but that of its client.
        let client = || said.others.text("client_id").or_else(|| claims.authorized_party().map(|party| party.as_str())).map(str::to_owned);
        said.username = said.username.clone().or_else(client);
        Ok(Fact { said, since: claims.issue_time(), until: claims.expiration() + skew() })
    }

    fn verifier(&self, client: &ClientId) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let late = self.now - skew();
        IdTokenVerifier::new_public_client(client.clone(), self.issuer.clone(), self.keys.clone())
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || late)
    }

    fn times(&self, token: &Token, claims: &Proven) -> Result<(), Doubt> {
        // As they were written: elsewhere a date may be text, and is read as well as can be.
        let written: Map<String, Value> = part(&token.to_string(), 1).unwrap_or_default();
        if let Some(date) = DATES.iter().find(|date| written.get(**date).is_some_and(|value| !value.is_number())) {
            return Err(Doubt::Wrong(format!("its `{date}` is no number")));
        }
        let soon = self.now + skew();
        let not_before = claims.additional_claims().seconds("nbf");
        if claims.issue_time() > soon || not_before.is_some_and(|at| at > soon.timestamp()) {
            return Err(Doubt::Wrong("it does not hold yet; do the clocks differ?".to_owned()));
        }
        if claims.subject().trim().is_empty() {
            return Err(Doubt::Wrong("it does not say of whom it speaks".to_owned()));
        }
        Ok(())
    }
}

/// A part of a token, as JSON.
pub(super) fn part<T: serde::de::DeserializeOwned>(text: &str, index: usize) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(text.split('.').nth(index)?).ok()?).ok()
}

/// Compared in constant time.
pub(crate) fn same(one: &str, other: &str) -> bool {
    use subtle::ConstantTimeEq as _;
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn skew() -> TimeDelta {
    TimeDelta::from_std(SKEW).unwrap_or_default()
}

fn kind(name: &str) -> Option<NormalizedJsonWebTokenType> {
    JsonWebTokenType::new(name.to_owned()).normalize().ok()
}

fn doubt(error: ClaimsVerificationError) -> Doubt {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => Doubt::UnknownKey,
        ClaimsVerificationError::Expired(_) => Doubt::Expired,
        other => Doubt::Wrong(base::chain(&other)),
    }
}

fn said(claims: &Proven) -> Said {
    Said {
        subject: claims.subject().to_string(),
        username: claims.preferred_username().map(|name| name.to_string()),
        email: claims.email().filter(|_| claims.email_verified() != Some(false)).map(|email| email.to_string()),
        others: claims.additional_claims().clone(),
    }
}

#[cfg(test)]
pub(super) mod tests;
