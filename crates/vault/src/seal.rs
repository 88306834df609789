//! How is a text made unreadable, and readable again?
//!
//! In: a key of 256 bits, what it is for, bytes. Out: a nonce and the bytes under AES-256-GCM; and back. Fails: when the system has no random bytes; when
//! what is opened is not what was sealed, for that very purpose, by that key. Random nonces do: a data key seals one thing, and a master
//! key wraps fewer than it takes for two to meet.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::Error;

/// Bytes of a key.
pub(crate) const KEY: usize = 32;

/// A key; it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key([u8; KEY]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// A new one.
    pub(crate) fn random() -> Result<Self, Error> {
        Ok(Self(random()?))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).map_err(|_wrong_length| Error::Random)?))
    }

    /// The bytes as nobody can read or change them who does not have the key.
    pub(crate) fn seal(&self, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = bytes.to_vec();
        let sealing =
            self.cipher()?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose.as_bytes()), &mut sealed);
        sealing.map_err(|_too_long| Error::Random)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was sealed, if it was for this.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let cipher = self.cipher().ok()?;
        let opened = cipher.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose.as_bytes()), &mut bytes).ok()?.len();
        bytes.truncate(opened);
        Some(bytes)
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_none| Error::Random)?;
    Ok(bytes)
}
