//! What does a token look like, and what is kept of it?
//!
//! In: chance, or a text. Out: a new token (`psk_` and 43 letters and digits, 256 bits), the hash
//! that is stored and compared, the few characters that are shown in lists. Fails: on a given text
//! that no header could carry.

use base::Secret;
use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};
use spec::Invalid;
use subtle::ConstantTimeEq as _;

/// What tokens begin with, so that a leaked one is recognised by scanners.
const MARK: &str = "psk_";
/// 43 of 62 characters carry 256 bits.
const RANDOM: usize = 43;
/// Nobody's token is longer; nothing longer is hashed.
const LONGEST: usize = 512;
/// Characters that are shown.
const SHOWN: usize = 8;

/// SHA-256 of a token.
#[derive(Debug, Clone, Copy, Eq)]
pub(crate) struct Hash([u8; 32]);

/// Compared in constant time, so that the time tells nothing about the stored one.
impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for Hash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hash {
    /// Of a text that may be a token; `None` for one that certainly is not.
    pub(crate) fn of(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= LONGEST).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Of any text, however long.
    pub(crate) fn of_any(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// That of no token.
    pub(crate) fn of_nobody() -> Self {
        Self([0; 32])
    }

    /// As much of it as tells wrong tokens apart.
    pub(crate) fn first(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    pub(crate) fn last(&self) -> u8 {
        let [.., last] = self.0;
        last
    }

    /// 64 hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
    }

    /// From 64 hexadecimal digits.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() || !hex.is_ascii() {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// A new token.
pub(crate) fn random() -> Secret {
    Secret::new(format!("{MARK}{}", Alphanumeric.sample_string(&mut rand::rng(), RANDOM)))
}

/// The characters that are shown in lists: a quarter of a short token at most.
pub(crate) fn prefix(secret: &Secret) -> String {
    let text = secret.expose();
    text.chars().take(SHOWN.min(text.len() / 4)).collect()
}

/// Whether a given text can be a token.
pub(crate) fn check(secret: &Secret) -> Result<(), Invalid> {
    let text = secret.expose();
    let wrong = |what: &str| Err(Invalid::one("token", what, "use 1 to 512 visible ASCII characters, best some 40 random ones"));
    if text.is_empty() {
        return wrong("the token that was given is empty");
    }
    if text.len() > LONGEST {
        return wrong("the token that was given is too long");
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return wrong("the token that was given has a character that no header can carry");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_marked_and_long_and_never_the_same() {
        let (one, two) = (random(), random());
        assert_ne!(one, two);
        assert!(one.expose().starts_with("psk_"));
        assert_eq!(one.expose().len(), 47);
        assert!(one.expose()[4..].chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(prefix(&one), one.expose()[..8]);
    }

    #[test]
    fn a_hash_survives_its_hexadecimal_form() {
        let hash = Hash::of("abc").expect("a hash");
        assert_eq!(hash.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Hash::from_hex(&hash.to_hex()), Some(hash));
        for bad in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Hash::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_short_token_is_hardly_shown_and_an_impossible_one_is_refused() {
        assert_eq!(prefix(&Secret::new("secret12")), "se");
        for bad in ["", "a b", "naïve", "a\nb", &"x".repeat(513)] {
            assert!(check(&Secret::new(bad)).is_err(), "{bad}");
        }
        assert!(check(&Secret::new("s")).is_ok());
        assert_eq!(Hash::of(&"x".repeat(513)), None);
    }
}
