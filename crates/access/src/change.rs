//! How do tokens come, change and go?
//!
//! In: what an operator wants. Out: the store is changed first, then the snapshot in memory, so
//! that nobody is let in by a token that a restart would not know. Fails: on a wish that makes no
//! sense, and on one after which nobody could operate Penstock. Holds: the one writer's place. A
//! change that has begun runs to its end, also when whoever asked for it has gone away: between
//! store and memory there is no place to stop.

use std::sync::Arc;

use base::{Secret, Timestamp, tasks};
use spec::{Limits, Scope, Token, TokenId};
use tokio::sync::{SemaphorePermit, oneshot};

use crate::access::{Access, Callers, Mode, hash_of};
use crate::ask::{self, NewToken, Patch};
use crate::caller::Caller;
use crate::error::Error;
use crate::text::{self, Hash};

/// The id and the name of the token that is made at the first start.
const ADMIN: &str = "admin";
/// Tokens that are kept in memory.
const MOST_TOKENS: usize = 10_000;

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
            project: new.project,
            scopes: new.scopes,
            models: new.models,
            limits: new.limits,
            expires_at: new.expires_at,
            created_at: Timestamp::now(),
        };
        ask::check(&token)?;
        ask::check_end(token.expires_at)?;
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            if this.inner.callers.load().len() >= MOST_TOKENS {
                return Err(Error::TooMany { most: MOST_TOKENS });
            }
            this.keep(&token, Caller::holding(&token)).await?;
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

    /// One token.
    pub async fn get(&self, id: &TokenId) -> Result<Token, Error> {
        self.list().await?.into_iter().find(|token| token.id == *id).ok_or_else(|| Error::NotFound(id.clone()))
    }

    /// Changes a token, at once also for those who hold it; what they use now stays used.
    pub async fn patch(&self, id: &TokenId, patch: Patch) -> Result<Token, Error> {
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move { this.apply(&id, patch).await }).await
    }

    /// Takes a token back: it opens nothing from now on, and calls in flight can see it.
    pub async fn revoke(&self, id: &TokenId) -> Result<(), Error> {
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move { this.take_back(&id).await }).await
    }

    async fn apply(&self, id: &TokenId, patch: Patch) -> Result<Token, Error> {
        let _alone = self.alone().await;
        let before = self.get(id).await?;
        let token = patch.apply(before.clone());
        ask::check(&token)?;
        if token.expires_at != before.expires_at {
            ask::check_end(token.expires_at)?;
        }
        if can_operate(&before) && !can_operate(&token) {
            self.check_not_last(id).await?;
        }
        let caller = self.caller_of(id).map_or_else(|| Caller::holding(&token), |caller| caller.changed(&token));
        self.keep(&token, caller).await?;
        Ok(token)
    }

    async fn take_back(&self, id: &TokenId) -> Result<(), Error> {
        let _alone = self.alone().await;
        if can_operate(&self.get(id).await?) {
            self.check_not_last(id).await?;
        }
        self.forget(id).await
    }

    async fn make_first(&self) -> Result<Option<Secret>, Error> {
        let _alone = self.alone().await;
        if self.inner.mode == Mode::Open || self.list().await?.iter().any(can_operate) {
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
        let there = self.list().await?.into_iter().find(|token| token.hash == hash.to_hex());
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
            project: None,
            scopes: vec![Scope::Admin],
            models: None,
            limits: Limits::default(),
            expires_at: None,
            created_at: Timestamp::now(),
        };
        let before = self.caller_of(&token.id);
        self.keep(&token, Caller::holding(&token)).await?;
        if let Some(before) = before {
            before.revoke();
        }
        Ok(())
    }

    /// Store first, then memory.
    async fn keep(&self, token: &Token, caller: Caller) -> Result<(), Error> {
        let hash = hash_of(token)?;
        self.inner.store.put_token(token).await?;
        let caller = Arc::new(caller);
        self.inner.callers.rcu(|callers| {
            let mut callers = without(callers, &token.id);
            callers.insert(hash, Arc::clone(&caller));
            callers
        });
        Ok(())
    }

    /// Store first, then memory.
    async fn forget(&self, id: &TokenId) -> Result<(), Error> {
        let caller = self.caller_of(id);
        self.inner.store.delete_token(id).await?;
        self.inner.callers.rcu(|callers| without(callers, id));
        if let Some(caller) = caller {
            caller.revoke();
        }
        Ok(())
    }

    async fn check_not_last(&self, id: &TokenId) -> Result<(), Error> {
        let others = self.list().await?.iter().any(|token| token.id != *id && can_operate(token));
        if others || self.inner.mode == Mode::Open { Ok(()) } else { Err(Error::LastAdmin(id.clone())) }
    }

    async fn alone(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore, so there is always a permit.
        self.inner.one_writer.acquire().await.ok()
    }
}

async fn to_the_end<T: Send + 'static>(change: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    let (done, outcome) = oneshot::channel();
    // Nobody listens any more when whoever asked has gone; the change is made all the same.
    tasks::spawn("access-change", async move { drop(done.send(change.await)) }).detach();
    outcome.await.map_err(Error::Interrupted)?
}

fn without(callers: &Callers, id: &TokenId) -> Callers {
    callers.iter().filter(|(_, caller)| caller.token.as_ref() != Some(id)).map(|(hash, caller)| (*hash, Arc::clone(caller))).collect()
}

fn hash(secret: &Secret) -> Result<Hash, Error> {
    Hash::of(secret.expose()).ok_or(Error::WrongToken)
}

/// May operate Penstock, now and for good.
fn can_operate(token: &Token) -> bool {
    token.scopes.contains(&Scope::Admin) && token.expires_at.is_none_or(|at| at > Timestamp::now())
}
