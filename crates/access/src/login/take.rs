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
use super::jwt::{Jwts, Known, Word};
use super::person::Person;
use crate::access::Access;
use crate::caller::Caller;
use crate::error::Error;
use crate::story::Came;
use crate::text::Hash;

impl Access {
    /// Whose it is; nothing when it is of no provider whose tokens are taken.
    pub(crate) fn of_provider(&self, text: &str, from: Option<IpAddr>) -> Option<Result<Arc<Caller>, Error>> {
        let jwts = self.inner.jwts.get().filter(|_| Jwts::looks_like(text))?;
        if let Some(known) = jwts.known(text) {
            return Some(self.caller_until(&known));
        }
        if let Err(slowed) = self.check_tries(from) {
            return Some(Err(slowed));
        }
        Some(match jwts.user(text)? {
            Ok(known) => self.caller_until(&known),
            Err(error) => Err(self.tried(error, text, from)),
        })
    }

    /// Their token ends, and with it all that they make by it.
    fn caller_until(&self, Known { user, until }: &Known) -> Result<Arc<Caller>, Error> {
        Ok(Arc::new(self.caller_of_user(user)?.until(*until)))
    }

    /// Whether somebody there has brought so much that was wrong that nothing is looked at, and nobody asked, for now.
    pub(crate) fn check_tries(&self, from: Option<IpAddr>) -> Result<(), Error> {
        let wait = from.and_then(|from| self.inner.guesses.wait(from));
        wait.map_or(Ok(()), |retry_after| Err(Error::Guessing { retry_after }))
    }

    /// What did not prove who somebody is counts as a try from there; what came of it.
    pub(crate) fn tried(&self, error: Trouble, text: &str, from: Option<IpAddr>) -> Error {
        let counts = matches!(error, Trouble::Untrusted { .. } | Trouble::Refused { .. });
        let slowed = counts.then(|| self.wrong(&Hash::of_any(text), from)).filter(|slowed| matches!(slowed, Error::Guessing { .. }));
        slowed.unwrap_or_else(|| error.into())
    }

    /// Asks for all that has to be asked so that this token of a provider can be told whose it is: for who was told [`Trouble::Coming`]. One
    /// that is wrong after all counts as a try from there.
    pub async fn settle(&self, text: &str, came: &Came) -> Result<(), Error> {
        let Some(jwts) = self.inner.jwts.get() else { return Ok(()) };
        if let Some(proven) = jwts.person(text).await {
            let Word { person, since, .. } = proven.map_err(|error| self.tried(error, text, came.from))?;
            self.arrive(person, since, came).await?;
        }
        Ok(())
    }

    /// Somebody whom a provider knows is, or becomes, a user with just the roles that their groups stood for then; what was
    /// said before what is known of them changes nothing. By a clock that is ahead of ours nothing is said later than now.
    pub(crate) async fn arrive(&self, person: Person, as_of: Timestamp, came: &Came) -> Result<User, Error> {
        let as_of = as_of.min(Timestamp::now());
        let nothing = || Trouble::NoRole { provider: person.provider.clone(), name: person.name.clone() };
        let known = self.inner.store.find_user(&person.provider, &person.subject).await?;
        if person.grants.is_empty() && known.is_none() {
            return Err(nothing().into());
        }
        let user = match known {
            Some(user) if user.disabled => return Err(Error::Disabled { user: user.name }),
            Some(user) if user.last_login_at.is_some_and(|last| last > as_of) => user,
            _ => self.login_user(person.clone().said_at(as_of), came).await?,
        };
        if let Some(jwts) = self.inner.jwts.get() {
            jwts.remember(&person, user.last_login_at.unwrap_or(as_of), &user);
        }
        let has_nothing = user.roles_everywhere().is_empty() && user.roles_within().is_empty();
        if has_nothing { Err(nothing().into()) } else { Ok(user) }
    }

    pub(crate) fn take_jwts(&self, jwts: &Arc<Jwts>) {
        // There is one desk in a house; a second one finds the first one's tokens.
        let _ = self.inner.jwts.set(Arc::clone(jwts));
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
}

#[cfg(test)]
mod tests;
