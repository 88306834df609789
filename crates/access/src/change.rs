//! How do tokens come, change and go?
//!
//! In: what an operator wants. Out: store and memory, changed. Fails: on a wish that makes no sense, and
//! on one after which nobody could operate Penstock. Holds: the one writer's place. A change that
//! has begun runs to its end, also when whoever asked for it has gone away: between store and memory
//! there is no place to stop.
//!
//! **What is given** (a new token, a change) goes to the store first: nobody is let in by something
//! that a restart would not know. **What is taken back** is refused in memory first, at once, however
//! slow the store is and whatever change of the same token is under way, and whoever asked hears that it
//! is done when the store has forgotten it: a crash before that has promised nothing, one after it
//! finds nothing. A token that the store cannot forget stays refused. A change never stores a token
//! that is not there, and what it makes of a caller shares the standing of the one before, so a late
//! change brings nothing back.

use std::sync::{Arc, PoisonError};

use base::{Secret, Timestamp, tasks};
use spec::{Budget, Limits, Rights, Scope, Token, TokenId};
use store::TokenQuery;
use tokio::sync::{SemaphorePermit, oneshot};

use crate::access::{Access, Admins, Mode, hash_of};
use crate::ask::{self, NewToken, Patch};
use crate::caller::Caller;
use crate::error::Error;
use crate::text::{self, Hash};

/// The id and the name of the token that is made at the first start.
const ADMIN: &str = "admin";
/// Tokens that are kept in memory.
const MOST_TOKENS: usize = 2_000_000;

impl Access {
    /// Sees to it that somebody can operate Penstock.
    ///
    /// A given token becomes *the* admin token: it takes the place of the one given or made before.
    /// With none given, one is made if no token may operate Penstock; it is returned, and this is
    /// the only time that it can be seen.
    pub async fn first_token(&self, given: Option<&Secret>) -> Result<Option<Secret>, Error> {
        let (this, given) = (self.clone(), given.cloned());
        to_the_end(async move {
            match given {
                Some(secret) => this.adopt(&secret).await.map(|()| None),
                None => this.make_first().await,
            }
        })
        .await
    }

    /// Makes a token; its text is returned here and never again.
    pub async fn create(&self, new: NewToken) -> Result<(Token, Secret), Error> {
        let secret = text::random();
        let token = Token {
            id: TokenId::random(),
            name: new.name,
            prefix: text::prefix(&secret),
            hash: hash(&secret)?.to_hex(),
            owner: new.owner,
            project: new.project,
            scopes: new.scopes,
            role: new.role,
            rights: new.rights,
            models: new.models,
            limits: new.limits,
            budget: new.budget,
            expires_at: new.expires_at,
            from_login: new.from_login,
            exchanged: new.exchanged,
            created_at: Timestamp::now(),
            last_used_at: None,
        };
        ask::check(&token)?;
        ask::check_end(token.expires_at)?;
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            if this.inner.callers.len() >= MOST_TOKENS {
                return Err(Error::TooMany { what: "tokens", most: MOST_TOKENS });
            }
            this.check_names(&token)?;
            this.check_room(token.project.as_deref()).await?;
            let caller = Caller::holding(&token, hash_of(&token)?, this.of(&token));
            this.inner.store.put_token(&token).await?;
            this.remember(caller);
            Ok((token, secret))
        })
        .await
    }

    /// All tokens, oldest first.
    pub async fn list(&self) -> Result<Vec<Token>, Error> {
        let mut tokens = self.inner.store.list_tokens().await?;
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    /// Some of the tokens, oldest first.
    pub async fn page(&self, query: &TokenQuery) -> Result<Vec<Token>, Error> {
        Ok(self.inner.store.page_tokens(query).await?)
    }

    /// One token.
    pub async fn get(&self, id: &TokenId) -> Result<Token, Error> {
        self.inner.store.get_token(id).await?.ok_or_else(|| Error::NotFound(id.clone()))
    }

    /// Changes a token, at once also for those who hold it; what they use now stays used.
    pub async fn patch(&self, id: &TokenId, patch: Patch) -> Result<Token, Error> {
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move { this.apply(&id, patch).await }).await
    }

    /// Takes a token back: it opens nothing from now on, and calls in flight can see it.
    pub async fn revoke(&self, id: &TokenId) -> Result<(), Error> {
        self.refuse(id)?;
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            this.forget(&id).await
        })
        .await
    }

    /// Forgets tokens that open nothing any more.
    pub(crate) async fn forget_all(&self, ids: &[TokenId]) -> Result<(), Error> {
        let (this, ids) = (self.clone(), ids.to_vec());
        to_the_end(async move {
            let _alone = this.alone().await;
            for id in ids {
                this.forget(&id).await?;
            }
            Ok(())
        })
        .await
    }

    async fn apply(&self, id: &TokenId, patch: Patch) -> Result<Token, Error> {
        let _alone = self.alone().await;
        let before = self.get(id).await?;
        let known = self.caller_of(id).filter(|caller| !caller.is_revoked()).ok_or_else(|| Error::NotFound(id.clone()))?;
        let token = patch.apply(before.clone());
        ask::check(&token)?;
        self.check_names(&token)?;
        if token.project != before.project {
            self.check_room(token.project.as_deref()).await?;
        }
        if token.expires_at != before.expires_at {
            ask::check_end(token.expires_at)?;
        }
        let after = known.changed(&token, self.of(&token));
        if known.can_operate() && (!after.can_operate() || (after.ends() && !known.ends())) {
            self.step_down(&known)?;
        }
        let stored = self.inner.store.update_token(&token).await;
        if matches!(stored, Ok(true)) {
            self.remember(after);
        }
        known.step_down(false);
        if stored? { Ok(token) } else { Err(Error::NotFound(id.clone())) }
    }

    /// From here on the token opens nothing, whatever becomes of it in the store.
    fn refuse(&self, id: &TokenId) -> Result<(), Error> {
        let admins = self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = self.caller_of(id).ok_or_else(|| Error::NotFound(id.clone()))?;
        if caller.can_operate() {
            self.check_not_last(&admins, &caller)?;
        }
        caller.revoke();
        Ok(())
    }

    /// From here on nobody counts on this one to operate Penstock.
    fn step_down(&self, caller: &Caller) -> Result<(), Error> {
        let admins = self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_not_last(&admins, caller)?;
        caller.step_down(true);
        Ok(())
    }

    /// Who goes without having an end leaves somebody without one: those that end leave nobody in time.
    fn check_not_last(&self, admins: &Admins, going: &Caller) -> Result<(), Error> {
        let id = going.token().unwrap_or_default();
        let others = admins.iter().any(|(other, caller)| **other != *id && caller.can_operate() && (going.ends() || !caller.ends()));
        if others || self.inner.mode == Mode::Open { Ok(()) } else { Err(Error::LastAdmin(TokenId::new(id))) }
    }

    /// Its owner and its role are there.
    fn check_names(&self, token: &Token) -> Result<(), Error> {
        if let Some(owner) = token.owner.as_ref().filter(|owner| self.member(owner).is_none()) {
            return Err(Error::NoUser(owner.to_string()));
        }
        self.check_roles(&token.role)
    }

    /// The project may have one more token.
    async fn check_room(&self, project: Option<&str>) -> Result<(), Error> {
        let Some(name) = project else { return Ok(()) };
        let most = self.shared(name).project.load().as_ref().and_then(|project| project.quota.tokens);
        let Some(most) = most else { return Ok(()) };
        let used = self.inner.store.count_tokens_of(name).await?;
        if used >= u64::from(most) { Err(Error::Quota { project: name.to_owned(), what: "tokens", most, used }) } else { Ok(()) }
    }

    async fn make_first(&self) -> Result<Option<Secret>, Error> {
        let _alone = self.alone().await;
        if self.inner.mode == Mode::Open || self.somebody_operates() {
            return Ok(None);
        }
        let secret = text::random();
        self.keep_admin(&secret).await?;
        Ok(Some(secret))
    }

    async fn adopt(&self, secret: &Secret) -> Result<(), Error> {
        text::check(secret)?;
        let hash = hash(secret)?;
        let _alone = self.alone().await;
        let there = match self.inner.callers.get(&hash).and_then(|caller| caller.token().map(TokenId::new)) {
            Some(id) => self.inner.store.get_token(&id).await?,
            None => None,
        };
        match there {
            Some(token) if token.id.as_str() == ADMIN && can_operate(&token) => Ok(()),
            Some(token) if token.id.as_str() != ADMIN => {
                tracing::warn!(token = %token.id, name = token.name, "this token was given as the admin token and becomes it");
                self.forget(&token.id).await?;
                self.keep_admin(secret).await
            }
            _ => self.keep_admin(secret).await,
        }
    }

    async fn keep_admin(&self, secret: &Secret) -> Result<(), Error> {
        let token = Token {
            id: TokenId::new(ADMIN),
            name: ADMIN.to_owned(),
            prefix: text::prefix(secret),
            hash: hash(secret)?.to_hex(),
            owner: None,
            project: None,
            scopes: vec![Scope::Admin],
            role: None,
            rights: Rights::NONE,
            models: None,
            limits: Limits::default(),
            budget: Budget::default(),
            expires_at: None,
            from_login: false,
            exchanged: false,
            created_at: Timestamp::now(),
            last_used_at: None,
        };
        let before = self.caller_of(&token.id);
        let caller = Caller::holding(&token, hash_of(&token)?, self.of(&token));
        self.inner.store.put_token(&token).await?;
        self.remember(caller);
        if let Some(before) = before {
            before.revoke();
        }
        Ok(())
    }

    /// In memory; the store knows it already.
    fn remember(&self, caller: Caller) {
        let caller = Arc::new(caller);
        self.inner.callers.put(&caller);
        self.note_admin(&caller);
    }

    fn somebody_operates(&self) -> bool {
        let admins = self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        admins.values().any(|caller| caller.can_operate())
    }

    /// A token that is refused already, or is to become another one.
    async fn forget(&self, id: &TokenId) -> Result<(), Error> {
        let caller = self.caller_of(id);
        let forgotten = self.inner.store.delete_token(id).await;
        forgotten.map_err(|source| Error::NotForgotten { id: id.clone(), source })?;
        self.inner.callers.remove(id.as_str());
        self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner).remove(id.as_str());
        if let Some(caller) = caller {
            caller.revoke();
        }
        Ok(())
    }

    pub(crate) async fn alone(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore, so there is always a permit.
        self.inner.one_writer.acquire().await.ok()
    }
}

pub(crate) async fn to_the_end<T: Send + 'static>(change: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    let (done, outcome) = oneshot::channel();
    // Nobody listens any more when whoever asked has gone; the change is made all the same.
    tasks::spawn("access-change", async move { drop(done.send(change.await)) }).detach();
    outcome.await.map_err(Error::Interrupted)?
}

fn hash(secret: &Secret) -> Result<Hash, Error> {
    Hash::of(secret.expose()).ok_or(Error::WrongToken)
}

/// May operate Penstock, now and for good.
fn can_operate(token: &Token) -> bool {
    token.scopes.contains(&Scope::Admin) && token.expires_at.is_none()
}
