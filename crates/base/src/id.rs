//! Ids that cannot be mixed up: a newtype for each noun, made by [`crate::id!`].
//!
//! In: a noun. Out: a type that prints, parses, sorts and serialises as its text. Random ids are
//! 16 hexadecimal digits (64 bits), unless a face asks for another length. Fails: never.

use rand::RngExt as _;

/// Declares an id type over a string.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(std::sync::Arc::from(text.as_ref()))
            }
            /// A new random id.
            pub fn random() -> Self {
                Self::new($crate::id::random_hex(16))
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Random bytes from the thread's cryptographic generator.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(debug_assertions)]
    if crate::simulated::fill(&mut bytes) {
        return bytes;
    }
    rand::rng().fill(&mut bytes[..]);
    bytes
}

/// `digits` random hexadecimal digits from the thread's cryptographic generator.
pub fn random_hex(digits: usize) -> String {
    #[cfg(debug_assertions)]
    if let Some(made) = crate::simulated::hex(digits) {
        return made;
    }
    let mut rng = rand::rng();
    (0..digits).map(|_| char::from_digit(rng.random_range(0..16), 16).unwrap_or('0')).collect()
}
