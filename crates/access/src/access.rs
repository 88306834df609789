//! Whose token is this, and may they call now?
//!
//! In: the text of a token; a caller and the tokens that the call may take. Out: a [`Caller`]; a
//! [`Permit`]. Fails: as a person at the door would say it. Holds: a snapshot of all tokens in
//! memory, read without a lock; nothing here waits for the store.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use spec::{Token, TokenId};
use store::Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::error::Error;
use crate::permit::Permit;
use crate::text::Hash;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Who brings a token.
    #[default]
    Tokens,
    /// Everybody, as an operator; for loopback only.
    Open,
}

/// Those who may come in, by the hash of their token.
pub(crate) type Callers = HashMap<Hash, Arc<Caller>>;

/// The door; cheap to clone.
#[derive(Clone)]
pub struct Access {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) mode: Mode,
    pub(crate) callers: ArcSwap<Callers>,
    /// One change at a time, so that store and memory tell the same story; readers never wait.
    pub(crate) one_writer: Semaphore,
    anybody: Arc<Caller>,
}

impl Access {
    /// Reads all tokens into memory.
    pub async fn open(store: Store, mode: Mode) -> Result<Self, Error> {
        let tokens = store.list_tokens().await?;
        let callers = tokens.iter().map(|token| Ok((hash_of(token)?, Arc::new(Caller::holding(token))))).collect::<Result<_, Error>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                mode,
                callers: ArcSwap::from_pointee(callers),
                one_writer: Semaphore::new(1),
                anybody: Arc::new(Caller::anybody()),
            }),
        })
    }

    /// Who holds this token (its text, without `Bearer`)?
    pub fn verify(&self, authorization: Option<&str>) -> Result<Arc<Caller>, Error> {
        if self.inner.mode == Mode::Open {
            return Ok(Arc::clone(&self.inner.anybody));
        }
        let text = authorization.map(str::trim).filter(|text| !text.is_empty()).ok_or(Error::MissingToken)?;
        let hash = Hash::of(text).ok_or(Error::WrongToken)?;
        let callers = self.inner.callers.load();
        let (stored, caller) = callers.get_key_value(&hash).ok_or(Error::WrongToken)?;
        if !stored.is(&hash) {
            return Err(Error::WrongToken);
        }
        caller.check_valid()?;
        Ok(Arc::clone(caller))
    }

    /// Sets aside one request, its tokens and a place among those that run; all or nothing.
    pub fn admit(&self, caller: &Arc<Caller>, tokens_wanted: u64) -> Result<Permit, Error> {
        caller.check_valid()?;
        let taken = caller.meter().take(&caller.limits, tokens_wanted, Instant::now())?;
        Ok(Permit::new(Arc::clone(caller), taken))
    }

    /// Who is let in.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    pub(crate) fn caller_of(&self, id: &TokenId) -> Option<Arc<Caller>> {
        self.inner.callers.load().values().find(|caller| caller.token.as_ref() == Some(id)).map(Arc::clone)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("mode", &self.inner.mode).field("tokens", &self.inner.callers.load().len()).finish_non_exhaustive()
    }
}

pub(crate) fn hash_of(token: &Token) -> Result<Hash, Error> {
    Hash::from_hex(&token.hash).ok_or_else(|| Error::Damaged(token.id.clone()))
}
