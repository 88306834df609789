//! Whose token is this, and may they call now?
//!
//! In: the text of a token, and where it came from; a caller and what the call may take. Out: a [`Caller`]; a [`Permit`].
//! Fails: as a person at the door would say it. Holds: all tokens, users, roles, projects and
//! deployments in memory, read without a lock; nothing here waits for the store.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use base::Timestamp;
use futures_util::TryStreamExt as _;
use spec::{Event, EventKind, Name, Token, TokenId, User};
use store::Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::admit::{self, Ask};
use crate::allowance::{Allowance, Allowances, Said};
use crate::caller::{Caller, Of};
use crate::callers::Callers;
use crate::error::Error;
use crate::guess::{Guesses, Verdict};
use crate::holder::{Gate, Shared, terms};
use crate::lately_used::{self, LatelyUsed};
use crate::login::Jwts;
use crate::meter::{Rates, Terms};
use crate::permit::Permit;
use crate::roles::Roles;
use crate::story::Bell;
use crate::text::Hash;
use crate::users::Members;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Who brings a token.
    #[default]
    Tokens,
    /// Everybody, as an operator; for loopback only.
    Open,
}

/// What projects use, by their name.
pub(crate) type Projects = HashMap<Arc<str>, Arc<Shared>>;
/// What deployments are used for, by their name.
pub(crate) type Gates = HashMap<Arc<str>, Arc<Gate>>;
/// Tokens that say of themselves that they may do everything, by their id.
pub(crate) type Admins = HashMap<Box<str>, Arc<Caller>>;

/// Where a request came from, as the listener or a trusted proxy says: it stands among the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

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
    pub(crate) callers: Callers,
    pub(crate) allowances: Allowances,
    /// That of sessions: what the user may.
    pub(crate) everything: Arc<Allowance>,
    pub(crate) roles: ArcSwap<Roles>,
    pub(crate) members: ArcSwap<Members>,
    pub(crate) projects: ArcSwap<Projects>,
    pub(crate) gates: ArcSwap<Gates>,
    pub(crate) lately_used: LatelyUsed,
    pub(crate) guesses: Guesses,
    /// Tokens that identity providers have made.
    pub(crate) jwts: OnceLock<Arc<Jwts>>,
    /// One change at a time, so that store and memory tell the same story; readers never wait.
    pub(crate) one_writer: Semaphore,
    /// Held while it is decided that somebody may no longer operate Penstock: never for an I/O.
    pub(crate) deciding: Mutex<Admins>,
    /// Who is told what this room adds to the story.
    pub(crate) bell: OnceLock<Bell>,
    anybody: Arc<Caller>,
}

impl Access {
    /// Reads all tokens, users, roles and projects, and what they have used, into memory.
    pub async fn open(store: Store, mode: Mode) -> Result<Self, Error> {
        let (roles, users) = (Roles::new(store.list_roles().await?), store.list_users().await?);
        let projects = store.list_projects().await?;
        let everything = Arc::new(Allowance::new(Said::everything(), &roles));
        let mut access = Self {
            inner: Arc::new(Inner {
                mode,
                began: Timestamp::now(),
                callers: Callers::new([]),
                allowances: Allowances::default(),
                anybody: Arc::new(Caller::anybody(Arc::clone(&everything))),
                everything,
                roles: ArcSwap::from_pointee(roles),
                members: ArcSwap::default(),
                projects: ArcSwap::default(),
                gates: ArcSwap::default(),
                lately_used: LatelyUsed::default(),
                guesses: Guesses::default(),
                jwts: OnceLock::new(),
                one_writer: Semaphore::new(1),
                deciding: Mutex::default(),
                bell: OnceLock::new(),
                store,
            }),
        };
        for project in projects {
            let shared = access.shared(project.name.as_str());
            shared.project.store(Some(Arc::new(project)));
        }
        access.take_in(&users);
        access.read_tokens().await?;
        access.recount().await?;
        lately_used::keep(&access.inner);
        Ok(access)
    }

    fn take_in(&self, users: &[User]) {
        let roles = self.inner.roles.load();
        let members = users.iter().map(|user| (user.id.clone(), self.member_of(user, &roles))).collect();
        self.inner.members.store(Arc::new(members));
    }

    /// One after the other: there may be a million.
    async fn read_tokens(&mut self) -> Result<(), Error> {
        let mut all = Vec::new();
        let store = self.inner.store.clone();
        let mut tokens = store.stream_tokens();
        while let Some(token) = tokens.try_next().await? {
            all.push(Arc::new(Caller::holding(&token, hash_of(&token)?, self.of(&token))));
        }
        for caller in &all {
            self.note_admin(caller);
        }
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.callers = Callers::new(all);
        }
        Ok(())
    }

    /// Who holds this token (its text, without `Bearer`)?
    pub fn verify(&self, authorization: Option<&str>) -> Result<Arc<Caller>, Error> {
        self.enter(authorization, None)
    }

    /// The same for a token that came from an address: who tries many from there has to wait.
    pub fn enter(&self, authorization: Option<&str>, from: Option<IpAddr>) -> Result<Arc<Caller>, Error> {
        if self.inner.mode == Mode::Open {
            return Ok(Arc::clone(&self.inner.anybody));
        }
        let text = authorization.map(str::trim).filter(|text| !text.is_empty()).ok_or(Error::MissingToken)?;
        if let Some(known) = self.of_provider(text, from) {
            return known;
        }
        let hash = Hash::of(text).ok_or(Error::WrongToken)?;
        let Some(caller) = self.inner.callers.get(&hash) else { return Err(self.wrong(&hash, from)) };
        if let Some(from) = from
            && let Some(retry_after) = self.inner.guesses.wait(from)
            && !caller.came_from(from)
        {
            return Err(Error::Guessing { retry_after });
        }
        caller.check_valid()?;
        if caller.note_use(from) {
            self.inner.lately_used.note(&caller);
        }
        Ok(caller)
    }

    pub(crate) fn wrong(&self, hash: &Hash, from: Option<IpAddr>) -> Error {
        let Some(from) = from else { return Error::WrongToken };
        match self.inner.guesses.wrong(from, hash.first()) {
            Verdict::Wrong => Error::WrongToken,
            Verdict::Wait(retry_after) => Error::Guessing { retry_after },
            Verdict::Begins(retry_after) => {
                let message = format!("many wrong tokens come from {from}: it is slowed down");
                self.tell(vec![Event::now(EventKind::TokensGuessed, spec::Cause::Penstock, message)]);
                Error::Guessing { retry_after }
            }
        }
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

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.inner.callers.len()
    }

    pub(crate) fn caller_of(&self, id: &TokenId) -> Option<Arc<Caller>> {
        self.inner.callers.by_id(id.as_str())
    }

    /// What a token has in common with others. One whose owner is gone may do nothing.
    pub(crate) fn of(&self, token: &Token) -> Of {
        let roles = self.inner.roles.load();
        let owner = token.owner.as_ref().map(|id| match self.member(id) {
            Some(member) => member.owner,
            None => Arc::new(crate::owner::Owner::gone(id)),
        });
        let shared = token.project.as_deref().map(|name| self.shared(name));
        Of { allowance: self.inner.allowances.of(Said::by(token), &roles), owner, shared }
    }

    /// Remembers those that may operate Penstock, so that they need not be looked for among all.
    pub(crate) fn note_admin(&self, caller: &Arc<Caller>) {
        let Some(id) = caller.token() else { return };
        let mut admins = self.inner.deciding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if caller.allowance.rights() == spec::Rights::ALL {
            admins.insert(id.into(), Arc::clone(caller));
        } else {
            admins.remove(id);
        }
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
        f.debug_struct("Access").field("mode", &self.inner.mode).field("tokens", &self.inner.callers.len()).finish_non_exhaustive()
    }
}

pub(crate) fn hash_of(token: &Token) -> Result<Hash, Error> {
    Hash::from_hex(&token.hash).ok_or_else(|| Error::Damaged(token.id.clone()))
}
