//! The signature of an event: HMAC-SHA256 over its id, the time and its body.
//!
//! In: a secret (`whsec_` and base64 of 24 to 64 bytes). Out: `v1,` and base64. Fails: on a secret that is none. Pure.
//! From: Standard Webhooks 1.0.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const LEAST_BYTES: usize = 24;
const MOST_BYTES: usize = 64;

/// What signs; it prints as stars.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Takes a secret as receivers have it.
    pub fn parse(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).ok()?;
        let is_long_enough = (LEAST_BYTES..=MOST_BYTES).contains(&bytes.len());
        is_long_enough.then(|| Hmac::new_from_slice(&bytes).ok().map(Self)).flatten()
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Two that sign alike are one; how long the comparison takes tells nothing.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// The value of `webhook-signature`: one signature of each key, with spaces between.
pub fn signature(keys: &[Key], id: &str, seconds: i64, body: &[u8]) -> String {
    keys.iter().map(|key| key.sign(id, seconds, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
