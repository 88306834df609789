//! Whose is a token that a provider has made?
//!
//! In: a JWT that came in the place of a token of ours. Out: the [`Caller`] of the user whom it speaks of. Fails: when it is not proven,
//! and with [`Error::Coming`] when first something has to be asked: the provider for a new key, the store for somebody who has not called before; with
//! [`Error::Away`] when the provider cannot be asked. Holds: what was proven, by the hash of the token, until its time is over, at most [`MOST`]; who
//! is who, at most as many. A token that is known is found with one look under a short lock, and waits for nobody. From: RFC 9068.

use std::collections::HashMap;
use std::hash::Hash;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use spec::{Grants, User, UserId};

use super::code::untrusted;
use super::error::Error;
use super::person::Person;
use super::proof::{Court, Doubt, Fact, Token, part};
use super::provider::Provider;

/// Tokens that are known, and people.
const MOST: usize = 10_000;
/// Unknown keys that are remembered for being asked for.
const MOST_KEYS: usize = 64;
/// No token is longer.
const LONGEST: usize = 16 << 10;

/// What a token's hash stands for.
type Digest = [u8; 32];

/// Who may bring tokens of providers, and what is known of such tokens.
#[derive(Debug)]
pub(crate) struct Jwts {
    providers: Vec<Arc<Provider>>,
    known: Mutex<HashMap<Digest, Known>>,
    people: Mutex<HashMap<(String, String), Who>>,
    strange: Mutex<HashMap<String, u64>>,
}

/// Whose a token is that was proven.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) user: UserId,
    /// Its end.
    pub(crate) until: Timestamp,
}

/// What a token was proven to say.
#[derive(Debug)]
pub(crate) struct Word {
    /// Of whom.
    pub(crate) person: Person,
    /// When it was said.
    pub(crate) since: Timestamp,
    /// Until when it holds.
    pub(crate) until: Timestamp,
}

/// Somebody who is in the store, as the provider described them.
#[derive(Debug)]
struct Who {
    user: UserId,
    grants: Grants,
    as_of: Timestamp,
}

/// What can be read of a token before anything is proven.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

#[derive(Deserialize)]
struct Head {
    kid: Option<String>,
}

impl Jwts {
    pub(crate) fn new(providers: &[Arc<Provider>]) -> Self {
        let takes = |provider: &&Arc<Provider>| !provider.config.allowed_audiences.is_empty();
        let providers = providers.iter().filter(takes).map(Arc::clone).collect();
        Self { providers, known: Mutex::default(), people: Mutex::default(), strange: Mutex::default() }
    }

    /// Whether it could be one: three parts, the first of which is the beginning of JSON.
    pub(crate) fn looks_like(text: &str) -> bool {
        text.starts_with("eyJ") && text.len() <= LONGEST && text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Whose it is, if it has been here before.
    pub(crate) fn known(&self, text: &str) -> Option<Known> {
        let found = lock(&self.known).get(&digest(text)).cloned();
        found.filter(|known| Timestamp::now() < known.until)
    }

    /// Whose it is; nothing when it is of no provider whose tokens are taken.
    pub(crate) fn user(&self, text: &str) -> Option<Result<Known, Error>> {
        let now = Timestamp::now();
        let provider = self.provider_of(text)?;
        Some(self.prove(provider, text).and_then(|Word { person, since, until }| {
            let coming = || Error::Coming { provider: provider.name().to_owned() };
            let user = self.known_user(&person, since).ok_or_else(coming)?;
            let known = Known { user, until };
            put(&mut lock(&self.known), digest(text), known.clone(), |known| known.until > now);
            Ok(known)
        }))
    }

    /// Whom it speaks of, when all that can be asked has been.
    pub(crate) async fn person(&self, text: &str) -> Option<Result<Word, Error>> {
        let provider = self.provider_of(text)?;
        if let Err(Error::Coming { .. }) = self.prove(provider, text)
            && let Err(error) = provider.once_more().await
        {
            return Some(Err(error));
        }
        Some(self.prove(provider, text))
    }

    /// Somebody is in the store, with just the roles that are stored as of then.
    pub(crate) fn remember(&self, person: &Person, as_of: Timestamp, user: &User) {
        let key = (person.provider.clone(), person.subject.clone());
        let who = Who { user: user.id.clone(), grants: user.mapped.clone(), as_of };
        put(&mut lock(&self.people), key, who, |_| true);
    }

    /// Who has come into other groups has to be written down first; what was said before the last login does not count any more.
    fn known_user(&self, person: &Person, since: Timestamp) -> Option<UserId> {
        let people = lock(&self.people);
        let who = people.get(&(person.provider.clone(), person.subject.clone()))?;
        (since <= who.as_of || who.grants == person.grants).then(|| who.user.clone())
    }

    fn provider_of(&self, text: &str) -> Option<&Arc<Provider>> {
        let Claimed { iss } = part(text, 1)?;
        self.providers.iter().find(|provider| provider.config.issuer == iss)
    }

    fn prove(&self, provider: &Provider, text: &str) -> Result<Word, Error> {
        let tries = provider.tries();
        let Some(known) = provider.known_now() else {
            provider.want_keys();
            return Err(Error::Coming { provider: provider.name().to_owned() });
        };
        let wrong = |what: String| untrusted(provider, Doubt::Wrong(what));
        let token = Token::from_str(text).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        let court = Court { issuer: &provider.issuer, keys: known.keys(), now: chrono::Utc::now() };
        match court.access(&token, &provider.config.allowed_audiences) {
            Ok(Fact { said, since, until }) => {
                let [since, until] = [since, until].map(|at| Timestamp::from_millis(at.timestamp_millis()));
                Ok(Word { person: said.person(&provider.config), since, until })
            }
            Err(Doubt::UnknownKey) => Err(self.strange_key(provider, tries, text)),
            Err(doubt) => Err(untrusted(provider, doubt)),
        }
    }

    /// A key that was not known after so many tries may be a new one: the provider is asked once for each. While it cannot be asked nobody can tell, so
    /// that none is remembered then.
    fn strange_key(&self, provider: &Provider, tries: u64, text: &str) -> Error {
        let unknown = || untrusted(provider, Doubt::UnknownKey);
        let Some(Head { kid: Some(kid) }) = part(text, 0) else { return unknown() };
        if let Some(away) = provider.unasked() {
            provider.want_keys();
            return away;
        }
        let key = format!("{} {kid}", provider.name());
        let mut strange = lock(&self.strange);
        if strange.len() >= MOST_KEYS && !strange.contains_key(&key) {
            strange.clear();
        }
        if *strange.entry(key).or_insert(tries) != tries {
            return unknown();
        }
        provider.want_keys();
        Error::Coming { provider: provider.name().to_owned() }
    }
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text).into()
}

/// One more; when there are too many, those that are not needed go, else any.
fn put<K: Hash + Eq + Clone, V>(all: &mut HashMap<K, V>, key: K, value: V, needed: impl Fn(&V) -> bool) {
    if all.len() >= MOST && !all.contains_key(&key) {
        all.retain(|_, value| needed(value));
        if all.len() >= MOST
            && let Some(any) = all.keys().next().cloned()
        {
            all.remove(&any);
        }
    }
    all.insert(key, value);
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
