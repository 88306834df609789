//! Which verbs on which kinds?
//!
//! In: pairs, or a JSON object of kinds with their verbs, in which `*` stands for all. Out: a set of 114
//! bits. Fails: on a word that is not one, with the one that was probably meant.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::words::{Kind, Verb};
use crate::check::suggest;

/// Stands for all kinds, or for all verbs.
const EVERY: &str = "*";
const HALF: u32 = u64::BITS;

/// A set of verbs on kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights([u64; 2]);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self([0; 2]);
    /// Everything.
    pub const ALL: Self = Self::NONE.with_all(&Verb::ALL, &Kind::ALL);

    /// These verbs on these kinds too.
    #[must_use]
    pub const fn with_all(mut self, verbs: &[Verb], kinds: &[Kind]) -> Self {
        let mut kind = kinds;
        while let [first, rest @ ..] = kind {
            let mut verb = verbs;
            while let [one, more @ ..] = verb {
                self = self.with(*one, *first);
                verb = more;
            }
            kind = rest;
        }
        self
    }

    /// This verb on this kind too.
    #[must_use]
    pub const fn with(self, verb: Verb, kind: Kind) -> Self {
        let Self([low, high]) = self;
        let bit = bit(verb, kind);
        if bit < HALF { Self([low | 1 << bit, high]) } else { Self([low, high | 1 << (bit - HALF)]) }
    }

    /// Whether this verb on this kind is among them.
    pub const fn has(self, verb: Verb, kind: Kind) -> bool {
        let Self([low, high]) = self;
        let bit = bit(verb, kind);
        if bit < HALF { low >> bit & 1 == 1 } else { high >> (bit - HALF) & 1 == 1 }
    }

    /// What is in one of them.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// Whether all of the other ones are among these.
    pub const fn includes(self, other: Self) -> bool {
        let both = self.and(other);
        both.0[0] == other.0[0] && both.0[1] == other.0[1]
    }

    /// Nothing at all.
    pub const fn is_empty(self) -> bool {
        self.0[0] == 0 && self.0[1] == 0
    }

    /// The same, as serde asks it.
    pub const fn is_none(&self) -> bool {
        self.is_empty()
    }

    /// One by one, kind after kind.
    pub fn iter(self) -> impl Iterator<Item = (Verb, Kind)> {
        Kind::ALL.into_iter().flat_map(move |kind| self.verbs(kind).map(move |verb| (verb, kind)))
    }

    /// As two numbers, for who keeps it in two atomics.
    pub const fn to_bits(self) -> [u64; 2] {
        self.0
    }

    /// The way back; bits that mean nothing are left out.
    pub const fn from_bits(bits: [u64; 2]) -> Self {
        Self(bits).and(Self::ALL)
    }

    fn verbs(self, kind: Kind) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb, kind))
    }
}

const fn bit(verb: Verb, kind: Kind) -> u32 {
    // Both are small, and their places in the list.
    kind as u32 * 6 + verb as u32
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("everything");
        }
        let parts: Vec<String> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let verbs: Vec<&str> = self.verbs(kind).map(Verb::as_str).collect();
                (!verbs.is_empty()).then(|| format!("{} {kind}", verbs.join("/")))
            })
            .collect();
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| self.verbs(*kind).next().is_some()).collect();
        let mut map = serializer.serialize_map(Some(kinds.len()))?;
        for kind in kinds {
            map.serialize_entry(kind.as_str(), &self.verbs(kind).map(Verb::as_str).collect::<Vec<_>>())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        let mut rights = Self::NONE;
        for (kind, verbs) in words {
            let kinds = meant(&kind, "kind", &Kind::ALL, Kind::as_str)?;
            for verb in verbs {
                rights = rights.with_all(&meant(&verb, "verb", &Verb::ALL, Verb::as_str)?, &kinds);
            }
        }
        Ok(rights)
    }
}

fn meant<T: Copy, E: de::Error>(word: &str, what: &str, all: &[T], text: fn(T) -> &'static str) -> Result<Vec<T>, E> {
    if word == EVERY {
        return Ok(all.to_vec());
    }
    if let Some(found) = all.iter().find(|one| text(**one) == word) {
        return Ok(vec![*found]);
    }
    let words: Vec<&str> = all.iter().map(|one| text(*one)).collect();
    let meant = suggest(word, words.iter().copied());
    let hint = meant.map_or_else(|| format!("use one of *, {}", words.join(", ")), |meant| format!("did you mean `{meant}`?"));
    Err(E::custom(format!("`{word}` is not a {what}; {hint}")))
}
