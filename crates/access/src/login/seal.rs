//! How does a browser carry something for us that it must not change?
//!
//! In: a value. Out: a text for a cookie; and the value again, if it is ours and its time is not over. Fails: with nothing. Holds: a
//! key that is made at the start: what was under way during a restart is begun again. The browser may read what it
//! carries: it is its own login.

use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Signs and checks.
#[derive(Debug)]
pub(crate) struct Seal([u8; KEY]);

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    until: i64,
    value: T,
}

const KEY: usize = 32;

impl Seal {
    pub(crate) fn new() -> Self {
        Self(base::id::random_bytes())
    }

    pub(crate) fn seal<T: Serialize>(&self, value: T, until: Timestamp) -> String {
        let text = serde_json::to_vec(&Sealed { until: until.as_millis(), value }).unwrap_or_default();
        format!("{}.{}", BASE64.encode(&text), BASE64.encode(self.mac(&text).finalize().into_bytes()))
    }

    pub(crate) fn open<T: DeserializeOwned>(&self, sealed: &str, now: Timestamp) -> Option<T> {
        let (text, mac) = sealed.split_once('.')?;
        let (text, mac) = (BASE64.decode(text).ok()?, BASE64.decode(mac).ok()?);
        self.mac(&text).verify_slice(&mac).ok()?;
        let Sealed { until, value } = serde_json::from_slice(&text).ok()?;
        (now.as_millis() < until).then_some(value)
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "a key of any length will do for HMAC")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key");
        mac.update(text);
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_sealed_comes_back_unless_it_is_changed_late_or_sealed_by_another() {
        let (seal, now) = (Seal::new(), Timestamp::now());
        let until = now.plus(Duration::from_secs(1));
        let sealed = seal.seal("a value".to_owned(), until);
        assert_eq!(seal.open::<String>(&sealed, now).as_deref(), Some("a value"));
        assert_eq!(seal.open::<String>(&sealed, until), None);
        assert_eq!(Seal::new().open::<String>(&sealed, now), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open::<String>(&String::from_utf8(changed).expect("text"), now), None, "{at}");
        }
        for bad in ["", ".", "a.b", &sealed[..sealed.len() - 1]] {
            assert_eq!(seal.open::<String>(bad, now), None, "{bad}");
        }
    }
}
