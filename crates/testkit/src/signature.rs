//! What is the signature of a webhook, by the standard and not by our code?
//!
//! In: a secret as users write it, and what was sent. Out: what `webhook-signature` must say. From: Standard Webhooks; HMAC-SHA256
//! as RFC 2104 has it, from nothing but the hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 64;
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// What the receiver of this event expects; none if the secret is not one.
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mut key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok().filter(|key| key.len() <= BLOCK)?;
    key.resize(BLOCK, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let inner = Sha256::digest([pad(INNER), signed].concat());
    let outer = Sha256::digest([pad(OUTER).as_slice(), inner.as_slice()].concat());
    Some(format!("v1,{}", STANDARD.encode(outer)))
}
