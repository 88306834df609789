//! Whose token is this, and may they call now?
//!
//! In: the text of a token; a caller and what the call may take. Out: a [`Caller`]; a [`Permit`].
//! Fails: as a person at the door would say it. Holds: snapshots of all tokens, projects and
//! deployments in memory, read without a lock; nothing here waits for the store.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use base::Timestamp;
use spec::{Name, Token, TokenId};
use store::Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::admit::{self, Ask};
use crate::caller::Caller;
use crate::error::Error;
use crate::holder::{Gate, Shared, terms};
use crate::meter::{Rates, Terms};
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
pub(crate) type Callers = HashMap<Hash, Arc<Caller>, BuildHasherDefault<Spread>>;
/// What projects use, by their name.
pub(crate) type Projects = HashMap<Arc<str>, Arc<Shared>>;
/// What deployments are used for, by their name.
pub(crate) type Gates = HashMap<Arc<str>, Arc<Gate>>;

/// The door; cheap to clone.
#[derive(Clone)]
pub struct Access {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) mode: Mode,
    /// When this process began to count: what was used before stands in the store.
    pub(crate) began: Timestamp,
    pub(crate) callers: ArcSwap<Callers>,
    pub(crate) projects: ArcSwap<Projects>,
    pub(crate) gates: ArcSwap<Gates>,
    /// One change at a time, so that store and memory tell the same story; readers never wait.
    pub(crate) one_writer: Semaphore,
    /// Held while it is decided that somebody may no longer operate Penstock: never for an I/O.
    pub(crate) deciding: Mutex<()>,
    anybody: Arc<Caller>,
}

/// A hash of SHA-256 is spread evenly already: its first bytes are as good as any.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.0 ^= u64::from_le_bytes(first);
    }
}

impl Access {
    /// Reads all tokens and projects, and what they have used, into memory.
    pub async fn open(store: Store, mode: Mode) -> Result<Self, Error> {
        let (tokens, projects) = (store.list_tokens().await?, store.list_projects().await?);
        let access = Self {
            inner: Arc::new(Inner {
                store,
                mode,
                began: Timestamp::now(),
                callers: ArcSwap::default(),
                projects: ArcSwap::default(),
                gates: ArcSwap::default(),
                one_writer: Semaphore::new(1),
                deciding: Mutex::new(()),
                anybody: Arc::new(Caller::anybody()),
            }),
        };
        for project in projects {
            let shared = access.shared(project.name.as_str());
            shared.project.store(Some(Arc::new(project)));
        }
        let holding = |token: &Token| Ok((hash_of(token)?, Arc::new(Caller::holding(token, access.shared_by(token)))));
        let callers: Callers = tokens.iter().map(holding).collect::<Result<_, Error>>()?;
        access.inner.callers.store(Arc::new(callers));
        access.recount().await?;
        Ok(access)
    }

    /// Who holds this token (its text, without `Bearer`)?
    pub fn verify(&self, authorization: Option<&str>) -> Result<Arc<Caller>, Error> {
        if self.inner.mode == Mode::Open {
            return Ok(Arc::clone(&self.inner.anybody));
        }
        let text = authorization.map(str::trim).filter(|text| !text.is_empty()).ok_or(Error::MissingToken)?;
        let hash = Hash::of(text).ok_or(Error::WrongToken)?;
        let callers = self.inner.callers.load();
        let caller = callers.get(&hash).ok_or(Error::WrongToken)?;
        caller.check_valid()?;
        Ok(Arc::clone(caller))
    }

    /// What the callers of this deployment use together.
    pub fn gate(&self, deployment: &Name) -> Arc<Gate> {
        self.gate_of(deployment.as_str())
    }

    /// Counts a call with its token, its project and its deployment; all or nothing.
    pub fn admit(&self, ask: &Ask<'_>) -> Result<Permit, Error> {
        ask.caller.check_valid()?;
        admit::admit(ask)
    }

    /// The tightest limits as they are now, for whom no permit was given.
    pub fn rates(&self, ask: &Ask<'_>) -> Rates {
        let now = Instant::now();
        let rates = ask.caller.rates().tighter(ask.gate.meter.rates(Terms { limits: ask.limits, budget: ask.budget }, now));
        match &ask.caller.shared {
            Some(shared) => rates.tighter(shared.meter.rates(terms(shared.project.load().as_deref()), now)),
            None => rates,
        }
    }

    /// Who is let in.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    pub(crate) fn caller_of(&self, id: &TokenId) -> Option<Arc<Caller>> {
        self.inner.callers.load().values().find(|caller| caller.token.as_ref() == Some(id)).map(Arc::clone)
    }

    pub(crate) fn shared_by(&self, token: &Token) -> Option<Arc<Shared>> {
        token.project.as_deref().map(|name| self.shared(name))
    }

    /// What a project uses; remembered from the first time that somebody names it.
    pub(crate) fn shared(&self, name: &str) -> Arc<Shared> {
        remembered(&self.inner.projects, name, Shared::new, |shared| {
            Arc::strong_count(shared) > IN_BOTH || shared.project.load().is_some() || shared.meter.running() > 0
        })
    }

    pub(crate) fn gate_of(&self, name: &str) -> Arc<Gate> {
        remembered(&self.inner.gates, name, Gate::new, |gate| Arc::strong_count(gate) > IN_BOTH || gate.running() > 0)
    }
}

/// Names that are remembered; beyond it those that nobody uses any more are forgotten.
const MOST_NAMES: usize = 10_000;
/// While names are forgotten, the map before and the map after hold each value.
const IN_BOTH: usize = 2;

/// The value of this name; made when it is not there. Only who makes one waits for another.
fn remembered<T>(all: &ArcSwap<HashMap<Arc<str>, Arc<T>>>, name: &str, make: fn(&str) -> T, needed: fn(&Arc<T>) -> bool) -> Arc<T> {
    if let Some(found) = all.load().get(name) {
        return Arc::clone(found);
    }
    let made = Arc::new(make(name));
    all.rcu(|all| {
        let mut all = HashMap::clone(all);
        if all.len() >= MOST_NAMES {
            all.retain(|_, value| needed(value));
        }
        all.entry(name.into()).or_insert_with(|| Arc::clone(&made));
        all
    });
    // Somebody else may have been first.
    all.load().get(name).map_or(made, Arc::clone)
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("mode", &self.inner.mode).field("tokens", &self.inner.callers.load().len()).finish_non_exhaustive()
    }
}

pub(crate) fn hash_of(token: &Token) -> Result<Hash, Error> {
    Hash::from_hex(&token.hash).ok_or_else(|| Error::Damaged(token.id.clone()))
}
