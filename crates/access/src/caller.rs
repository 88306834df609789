//! Who calls, and what may they do?
//!
//! In: a stored token, or a user. Out: a [`Caller`], shared by all calls with this token. Fails:
//! [`Error::Forbidden`]. Holds: whether the token has been taken back since, and, from its first call on, its meter. There may
//! be a million of them, so what many have in common is shared and what few need is not there until it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base::Timestamp;
use spec::{Kind, Name, Rights, Token, UserId, Verb};
use tokio::time::Instant;

use crate::allowance::Allowance;
use crate::error::Error;
use crate::holder::{Shared, terms};
use crate::meter::{Meter, Rates, Terms};
use crate::owner::Owner;
use crate::text::Hash;
use crate::words::Denied;

/// Somebody who was let in.
#[derive(Debug)]
pub struct Caller {
    /// Of the token; nothing that a token could have where there is none.
    pub(crate) hash: Hash,
    /// The token's id, empty where there is none, and what it is called.
    words: Words,
    pub(crate) allowance: Arc<Allowance>,
    owner: Option<Arc<Owner>>,
    /// What its project uses.
    pub(crate) shared: Option<Arc<Shared>>,
    expires: i64,
    life: Arc<Life>,
}

/// A token without an end ends then.
const NEVER: i64 = i64::MAX;

/// An id and a name in one piece.
#[derive(Clone)]
struct Words {
    both: Box<str>,
    id: u32,
}

/// What holds for a token through all of its changes, and is known before the store knows it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    meter: OnceLock<Box<Meter>>,
    /// From where it last came.
    address: AtomicU32,
    /// It opens nothing any more.
    revoked: AtomicBool,
    /// A change is under way after which it may no longer operate Penstock.
    stepping_down: AtomicBool,
    /// It was used since its last use was written down.
    used: AtomicBool,
    /// A person has logged in for it: it stands for them.
    of_person: bool,
}

/// Of whom somebody may see or change what is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Of everybody.
    Everything,
    /// Of these projects, and of this user.
    Some {
        /// The projects.
        projects: Vec<Name>,
        /// The user: themselves.
        user: Option<UserId>,
    },
}

impl Caller {
    /// The holder of a token.
    pub(crate) fn holding(token: &Token, hash: Hash, of: Of) -> Self {
        let Of { allowance, owner, shared } = of;
        let expires = token.expires_at.map_or(NEVER, Timestamp::as_millis);
        let life = Arc::new(Life { of_person: token.from_login && !token.exchanged, ..Life::default() });
        Self { hash, words: Words::new(token.id.as_str(), &token.name), allowance, owner, shared, expires, life }
    }

    /// The same holder after the token has changed: what is used now stays used.
    pub(crate) fn changed(&self, token: &Token, of: Of) -> Self {
        Self { life: Arc::clone(&self.life), ..Self::holding(token, self.hash, of) }
    }

    /// A user without a token: what they may, and no limit of their own.
    pub(crate) fn of_user(owner: Arc<Owner>, allowance: Arc<Allowance>) -> Self {
        let (hash, words) = (Hash::of_nobody(), Words::new("", &owner.name()));
        Self { hash, words, allowance, owner: Some(owner), shared: None, expires: NEVER, life: Arc::default() }
    }

    /// The same for as long as what they have brought holds.
    pub(crate) fn until(&self, end: Timestamp) -> Self {
        let (words, allowance, owner) = (self.words.clone(), Arc::clone(&self.allowance), self.owner.clone());
        let (shared, life) = (self.shared.clone(), Arc::clone(&self.life));
        Self { hash: self.hash, words, allowance, owner, shared, expires: end.as_millis(), life }
    }

    /// Anybody, where no token is needed: may do everything.
    pub(crate) fn anybody(allowance: Arc<Allowance>) -> Self {
        let (hash, words) = (Hash::of_nobody(), Words::new("", "anybody"));
        Self { hash, words, allowance, owner: None, shared: None, expires: NEVER, life: Arc::default() }
    }

    /// The id of their token; none where none is needed, or in a session of a user.
    pub fn token(&self) -> Option<&str> {
        Some(self.words.id()).filter(|id| !id.is_empty())
    }

    /// What the token is called, or the user.
    pub fn name(&self) -> &str {
        self.words.name()
    }

    /// The project that the use is booked on.
    pub fn project(&self) -> Option<&str> {
        self.shared.as_deref().map(|shared| &*shared.name)
    }

    /// The same to keep.
    pub fn project_name(&self) -> Option<Arc<str>> {
        self.shared.as_deref().map(|shared| Arc::clone(&shared.name))
    }

    /// Whose token or session it is.
    pub fn user(&self) -> Option<&Arc<Owner>> {
        self.owner.as_ref()
    }

    /// What they may everywhere: what the token may and its owner may too.
    pub fn rights(&self) -> Rights {
        let own = self.allowance.rights();
        self.owner.as_ref().map_or(own, |owner| own.and(owner.everywhere()))
    }

    /// What they may within this project.
    pub fn rights_within(&self, project: &str) -> Rights {
        let own = self.allowance.rights();
        self.owner.as_ref().map_or(own, |owner| own.and(owner.everywhere().or(owner.within(project))))
    }

    /// What they may within projects, beyond what they may everywhere.
    pub fn within(&self) -> BTreeMap<Name, Rights> {
        let own = self.allowance.rights();
        let all = self.owner.as_ref().map(|owner| owner.projects()).unwrap_or_default();
        all.into_iter().map(|(project, rights)| (project, rights.and(own))).collect()
    }

    /// Whether they may do this, everywhere.
    pub fn may(&self, verb: Verb, kind: Kind) -> Result<(), Error> {
        if self.rights().has(verb, kind) { Ok(()) } else { Err(Error::Forbidden { what: Denied::Right { verb, kind } }) }
    }

    /// Whether they may do this to what belongs to this project.
    pub fn may_within(&self, verb: Verb, kind: Kind, project: Option<&str>) -> Result<(), Error> {
        let within = |owner: &Arc<Owner>| project.is_some_and(|project| owner.within(project).has(verb, kind));
        let may = self.rights().has(verb, kind) || (self.allowance.rights().has(verb, kind) && self.owner.as_ref().is_some_and(within));
        if may { Ok(()) } else { Err(Error::Forbidden { what: Denied::Right { verb, kind } }) }
    }

    /// Of whom they may see or change what is theirs. Users may so much with their own tokens and their own use, but not with a token
    /// that was made for less.
    pub fn reach(&self, verb: Verb, kind: Kind) -> Result<Reach, Error> {
        if self.rights().has(verb, kind) {
            return Ok(Reach::Everything);
        }
        let denied = || Error::Forbidden { what: Denied::Right { verb, kind } };
        let owner = self.owner.as_ref().filter(|owner| owner.is_in() && self.allowance.rights().has(verb, kind)).ok_or_else(denied)?;
        let user = matches!(kind, Kind::Tokens | Kind::Usage).then(|| owner.id().clone());
        let projects = owner.projects_with(verb, kind);
        if user.is_none() && projects.is_empty() { Err(denied()) } else { Ok(Reach::Some { projects, user }) }
    }

    /// Whether they may call models at all. What is booked on a project is called by who may call for it now: a right to call what belongs to nobody
    /// is no right to the project's limits and budget.
    pub fn may_call(&self) -> Result<(), Error> {
        let denied = |what| Err(Error::Forbidden { what });
        if !self.allowance.rights().has(Verb::Use, Kind::Calls) {
            return denied(Denied::Inference);
        }
        match (&self.owner, self.project()) {
            (Some(owner), Some(project)) if !owner.calls_for(project) => denied(Denied::Project(project.to_owned())),
            (Some(owner), None) if !owner.everywhere().has(Verb::Use, Kind::Calls) => denied(Denied::Inference),
            _ => Ok(()),
        }
    }

    /// Whether the deployments of all projects are there for their calls: for who calls, and sees them all.
    pub fn calls_everywhere(&self) -> bool {
        let rights = self.rights();
        rights.has(Verb::Use, Kind::Calls) && rights.has(Verb::Get, Kind::Deployments)
    }

    /// Whether what belongs to this project is there for their calls: what belongs to none is for all.
    pub fn calls_reach(&self, project: Option<&str>) -> bool {
        project.is_none() || self.calls_everywhere() || (project == self.project() && self.may_call().is_ok())
    }

    /// Whether they may call this model.
    pub fn may_infer(&self, model: &str) -> Result<(), Error> {
        self.may_call()?;
        match &self.allowance.said.models {
            Some(models) if !models.contains(model) => Err(Error::Forbidden { what: Denied::Model(model.to_owned()) }),
            _ => Ok(()),
        }
    }

    /// Whether they may do everything.
    pub fn may_admin(&self) -> Result<(), Error> {
        if self.rights() == Rights::ALL { Ok(()) } else { Err(Error::Forbidden { what: Denied::Admin }) }
    }

    /// False when the token has been taken back, or its time is over, since it was verified: a call
    /// in flight may be ended.
    pub fn still_valid(&self) -> bool {
        self.check_valid().is_ok()
    }

    /// The token's own limits as they are now.
    pub fn rates(&self) -> Rates {
        self.meter().rates(self.terms(), Instant::now())
    }

    /// Their calls that run now.
    pub fn running(&self) -> u32 {
        self.metered().map_or(0, Meter::running)
    }

    /// Whether the tokens or the money of their calls are limited, by their token or by their project.
    pub fn is_metered(&self) -> bool {
        let limited = |terms: Terms<'_>| terms.limits.tokens_per_minute.is_some() || !terms.budget.is_none();
        limited(self.terms()) || self.shared.as_ref().is_some_and(|shared| limited(terms(shared.project.load().as_deref())))
    }

    /// Whether the token still opens anything.
    pub fn check_valid(&self) -> Result<(), Error> {
        if self.is_revoked() {
            return Err(Error::WrongToken);
        }
        if let Some(owner) = self.owner.as_ref().filter(|owner| !owner.is_in()) {
            return Err(Error::Disabled { user: owner.name().to_string() });
        }
        if self.ends() && self.expires <= Timestamp::now().as_millis() {
            return Err(Error::Expired { at: Timestamp::from_millis(self.expires) });
        }
        Ok(())
    }

    /// The end that what they make may have at most. The token of `penstock login` ends so that its person logs in again; what they make is theirs as
    /// much as what they make with a browser. What a provider has made, and what was made for that, is nobody's word for longer.
    pub(crate) fn latest_end(&self) -> Option<Timestamp> {
        (self.ends() && !self.life.of_person).then(|| Timestamp::from_millis(self.expires))
    }

    /// Whether they are let in until some time only.
    pub(crate) fn ends(&self) -> bool {
        self.expires != NEVER
    }

    /// Whether what they may use is counted by a meter of their own, which whatever they make would not share.
    pub(crate) fn has_meter(&self) -> bool {
        let Terms { limits, budget } = self.terms();
        !limits.is_none() || !budget.is_none()
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.life.revoked.load(Ordering::Acquire)
    }

    /// For good: whatever is made of this token later shares its standing.
    pub(crate) fn revoke(&self) {
        self.life.revoked.store(true, Ordering::Release);
    }

    /// May operate Penstock, now and when the change that is under way has been made.
    pub(crate) fn can_operate(&self) -> bool {
        let steps_down = self.life.stepping_down.load(Ordering::Acquire);
        !steps_down && self.rights() == Rights::ALL && self.check_valid().is_ok()
    }

    pub(crate) fn step_down(&self, does: bool) {
        self.life.stepping_down.store(does, Ordering::Release);
    }

    /// Remembers that it was used, and from where; true when nobody has noted yet that it was.
    pub(crate) fn note_use(&self, from: Option<IpAddr>) -> bool {
        let life = &*self.life;
        if let Some(tag) = from.map(tag)
            && life.address.load(Ordering::Relaxed) != tag
        {
            life.address.store(tag, Ordering::Relaxed);
        }
        !life.used.load(Ordering::Relaxed) && !life.used.swap(true, Ordering::Relaxed)
    }

    /// Its last use is written down: the next one is to be noted again.
    pub(crate) fn use_is_written(&self) {
        self.life.used.store(false, Ordering::Relaxed);
    }

    /// Whether it last came from there.
    pub(crate) fn came_from(&self, from: IpAddr) -> bool {
        self.life.address.load(Ordering::Relaxed) == tag(from)
    }

    pub(crate) fn meter(&self) -> &Meter {
        self.life.meter.get_or_init(|| Box::new(Meter::new()))
    }

    /// Its meter, if it was ever counted.
    pub(crate) fn metered(&self) -> Option<&Meter> {
        self.life.meter.get().map(|meter| &**meter)
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms { limits: &self.allowance.said.limits, budget: &self.allowance.said.budget }
    }
}

/// What a token has in common with others.
pub(crate) struct Of {
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) owner: Option<Arc<Owner>>,
    pub(crate) shared: Option<Arc<Shared>>,
}

impl Words {
    fn new(id: &str, name: &str) -> Self {
        let (both, id) = (format!("{id}{name}").into(), u32::try_from(id.len()).unwrap_or(0));
        Self { both, id }
    }
    fn split(&self) -> (&str, &str) {
        self.both.split_at_checked(self.id as usize).unwrap_or(("", &self.both))
    }
    fn id(&self) -> &str {
        self.split().0
    }
    fn name(&self) -> &str {
        self.split().1
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Words").field(&self.id()).field(&self.name()).finish()
    }
}

/// An address in four bytes: itself, or of the longer ones a mix of the network's.
fn tag(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let [.., a, b] = [address.to_bits() >> 96, address.to_bits() >> 64 & u128::from(u32::MAX)];
            u32::try_from(a.rotate_left(7) & u128::from(u32::MAX)).unwrap_or(0) ^ u32::try_from(b).unwrap_or(0)
        }
    }
}
