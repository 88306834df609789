//! Whose is a token, and what may they do now?
//!
//! In: a stored user and what roles stand for. Out: an [`Owner`], which all of the user's tokens and sessions share. Fails:
//! never. Holds: what the user may, so that a role that is taken, or a user who is let in no more, is in force for
//! all of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use spec::{Kind, Name, Rights, User, UserId, Verb};

use crate::bits::LiveRights;
use crate::roles::Roles;

/// Who holds tokens and has sessions: a person, or the account of a program.
#[derive(Debug)]
pub struct Owner {
    id: UserId,
    everywhere: LiveRights,
    is_in: AtomicBool,
    rest: ArcSwap<Rest>,
}

/// What is not asked by every call.
#[derive(Debug)]
struct Rest {
    name: Arc<str>,
    /// What their roles stand for everywhere, also while they are let in no more.
    everywhere: Rights,
    /// The same within projects.
    within: BTreeMap<Name, Rights>,
}

impl Owner {
    pub(crate) fn new(user: &User, roles: &Roles) -> Self {
        let owner = Self::gone(&user.id);
        owner.set(user, roles);
        owner
    }

    /// One who is not there any more: may do nothing.
    pub(crate) fn gone(id: &UserId) -> Self {
        let rest = Rest { name: id.as_str().into(), everywhere: Rights::NONE, within: BTreeMap::new() };
        let (is_in, rest) = (AtomicBool::new(false), ArcSwap::from_pointee(rest));
        Self { id: id.clone(), everywhere: LiveRights::default(), is_in, rest }
    }

    /// As the user is from now on.
    pub(crate) fn set(&self, user: &User, roles: &Roles) {
        let sum = |names: &mut dyn Iterator<Item = &Name>| names.fold(Rights::NONE, |all, role| all.or(roles.rights(role)));
        let within = user.roles_within().into_iter().map(|(project, names)| (project.clone(), sum(&mut names.into_iter())));
        let (within, everywhere) = (within.collect(), sum(&mut user.roles_everywhere().into_iter()));
        // Who may less may less from here on.
        self.is_in.store(!user.disabled, Ordering::Release);
        self.everywhere.set(if user.disabled { Rights::NONE } else { everywhere });
        self.rest.store(Arc::new(Rest { name: user.name.as_str().into(), everywhere, within }));
    }

    /// From here on neither they nor their tokens are let in.
    pub(crate) fn shut_out(&self) {
        self.is_in.store(false, Ordering::Release);
        self.everywhere.set(Rights::NONE);
        let name = self.name();
        self.rest.store(Arc::new(Rest { name, everywhere: Rights::NONE, within: BTreeMap::new() }));
    }

    /// The user's id.
    pub fn id(&self) -> &UserId {
        &self.id
    }

    /// What people call them.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.rest.load().name)
    }

    /// False when they are disabled, or gone.
    pub fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Acquire)
    }

    /// What they may everywhere.
    pub fn everywhere(&self) -> Rights {
        self.everywhere.now()
    }

    /// What they may within this project, beyond what they may everywhere.
    pub fn within(&self, project: &str) -> Rights {
        if self.is_in() { self.rest.load().within.get(project).copied().unwrap_or(Rights::NONE) } else { Rights::NONE }
    }

    /// Whether calls of theirs may be booked on this project now.
    pub fn calls_for(&self, project: &str) -> bool {
        covers(self.everywhere(), self.within(project))
    }

    /// The projects in which they may do something, and what.
    pub fn projects(&self) -> BTreeMap<Name, Rights> {
        if self.is_in() { self.rest.load().within.clone() } else { BTreeMap::new() }
    }

    /// What they could do everywhere, and within projects, if they were let in: for who wants to let them in, or to make something for them.
    pub(crate) fn by_roles(&self) -> (Rights, BTreeMap<Name, Rights>) {
        let rest = self.rest.load();
        (rest.everywhere, rest.within.clone())
    }

    /// Whether their calls could be booked on this project, if they were let in.
    pub(crate) fn could_call_for(&self, project: &str) -> bool {
        let rest = self.rest.load();
        covers(rest.everywhere, rest.within.get(project).copied().unwrap_or(Rights::NONE))
    }

    /// The projects within which they may do this.
    pub(crate) fn projects_with(&self, verb: Verb, kind: Kind) -> Vec<Name> {
        let theirs = self.projects();
        theirs.into_iter().filter(|(_, rights)| rights.has(verb, kind)).map(|(name, _)| name).collect()
    }
}

/// Who calls within a project uses its limits and budget; and who calls everywhere, if they also say how much projects may.
fn covers(everywhere: Rights, within: Rights) -> bool {
    within.has(Verb::Use, Kind::Calls) || (everywhere.has(Verb::Use, Kind::Calls) && everywhere.has(Verb::Update, Kind::Projects))
}
