//! What is a content called?
//!
//! In: `sha256:` and 64 hexadecimal digits, or the digits alone. Out: a [`Digest`] in small letters.
//! Fails: on anything else, so that a digest is safe as a file's name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";
/// Of SHA-256, in hexadecimal.
const DIGITS: usize = 64;

/// The SHA-256 of a content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

/// The text is no digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest; write sha256: and 64 hexadecimal digits")]
pub struct BadDigest(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_bytes(&Sha256::digest(bytes))
    }
    /// From the 32 bytes of the hash.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16));
        Self(digits.collect::<String>().into())
    }
    /// The 64 digits alone.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = BadDigest;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).unwrap_or(text);
        if digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(digits.to_ascii_lowercase().into()))
        } else {
            Err(BadDigest(text.chars().take(2 * DIGITS).collect()))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
