//! How does a token of an identity provider come in where a token of ours would?
//!
//! In: a text that may be one, and where it came from. Out: the caller of its user. Fails: as [`Error`]; who tries many from one address has to
//! wait, as with tokens of ours. Holds: nothing; what is known lies in [`Jwts`].

use std::net::IpAddr;
use std::sync::Arc;

use base::Timestamp;
use spec::User;
use store::Store;

use super::error::Error as Trouble;
use super::jwt::Jwts;
use super::person::Person;
use crate::access::Access;
use crate::caller::Caller;
use crate::error::Error;
use crate::text::Hash;

impl Access {
    /// Whose it is; nothing when it is of no provider whose tokens are taken.
    pub(crate) fn of_provider(&self, text: &str, from: Option<IpAddr>) -> Option<Result<Arc<Caller>, Error>> {
        let jwts = self.inner.jwts.get().filter(|_| Jwts::looks_like(text))?;
        if let Some(user) = jwts.known(text) {
            return Some(self.caller_of_user(&user));
        }
        if let Some(retry_after) = from.and_then(|from| self.inner.guesses.wait(from)) {
            return Some(Err(Error::Guessing { retry_after }));
        }
        Some(match jwts.user(text)? {
            Ok(user) => self.caller_of_user(&user),
            Err(error @ Trouble::Untrusted { .. }) => Err(self.guessed(text, from).unwrap_or(error.into())),
            Err(error) => Err(error.into()),
        })
    }

    /// Asks for all that has to be asked so that this token of a provider can be told whose it is: for who was told [`Trouble::Coming`].
    pub async fn settle(&self, text: &str) -> Result<(), Error> {
        let Some(jwts) = self.inner.jwts.get() else { return Ok(()) };
        if let Some(proven) = jwts.person(text).await {
            let (person, since) = proven?;
            self.arrive(person, since).await?;
        }
        Ok(())
    }

    /// Somebody whom a provider knows is, or becomes, a user with just the roles that their groups stood for then; what was
    /// said before their last login changes nothing.
    pub(crate) async fn arrive(&self, person: Person, as_of: Timestamp) -> Result<User, Error> {
        let nothing = || Trouble::NoRole { provider: person.provider.clone(), name: person.name.clone() };
        let known = self.inner.store.find_user(&person.provider, &person.subject).await?;
        if person.grants.is_empty() && known.is_none() {
            return Err(nothing().into());
        }
        let user = match known {
            Some(user) if user.last_login_at.is_some_and(|last| last > as_of) => user,
            _ => self.login_user(person.clone().into()).await?,
        };
        if let Some(jwts) = self.inner.jwts.get() {
            jwts.remember(&person, user.last_login_at.unwrap_or(as_of), &user.id);
        }
        let has_nothing = user.roles_everywhere().is_empty() && user.roles_within().is_empty();
        if has_nothing { Err(nothing().into()) } else { Ok(user) }
    }

    /// One that is wrong counts as a try.
    fn guessed(&self, text: &str, from: Option<IpAddr>) -> Option<Error> {
        let signature = text.rsplit('.').next().unwrap_or_default();
        let hash = Hash::of(signature.get(..signature.len().min(64)).unwrap_or_default()).unwrap_or(Hash::of_nobody());
        Some(self.wrong(&hash, from)).filter(|error| matches!(error, Error::Guessing { .. }))
    }

    pub(crate) fn take_jwts(&self, jwts: &Arc<Jwts>) {
        // There is one desk in a house; a second one finds the first one's tokens.
        let _ = self.inner.jwts.set(Arc::clone(jwts));
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
}
