//! What may a token do and how much, apart from whose it is?
//!
//! In: what is stored of a token. Out: an [`Allowance`], which all tokens share that say the same: of a
//! million tokens most do. Fails: never. Holds: the set of them, under a short lock when a token comes or changes; those
//! that no token has any more are forgotten now and then.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use spec::{Budget, Limits, Name, Rights, Scope, Token};

use crate::bits::LiveRights;
use crate::roles::Roles;

/// What a token says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    pub(crate) scopes: Vec<Scope>,
    pub(crate) role: Option<Name>,
    pub(crate) rights: Rights,
    pub(crate) models: Option<BTreeSet<String>>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
}

impl Said {
    pub(crate) fn by(token: &Token) -> Self {
        Self {
            scopes: token.scopes.clone(),
            role: token.role.clone(),
            rights: token.rights,
            models: token.models.as_ref().map(|models| models.iter().cloned().collect()),
            limits: token.limits.clone(),
            budget: token.budget.clone(),
        }
    }

    /// Everything, without a limit.
    pub(crate) fn everything() -> Self {
        Self { scopes: vec![Scope::Admin], ..Self::default() }
    }

    pub(crate) fn rights(&self, roles: &Roles) -> Rights {
        let scopes = self.scopes.iter().fold(self.rights, |all, scope| all.or(scope.rights()));
        scopes.or(self.role.as_ref().map_or(Rights::NONE, |role| roles.rights(role)))
    }
}

/// What tokens that say the same may do.
#[derive(Debug)]
pub(crate) struct Allowance {
    pub(crate) said: Said,
    rights: LiveRights,
}

impl Allowance {
    pub(crate) fn new(said: Said, roles: &Roles) -> Self {
        Self { rights: LiveRights::new(said.rights(roles)), said }
    }

    /// What they may now: a role may have changed.
    pub(crate) fn rights(&self) -> Rights {
        self.rights.now()
    }
}

/// All that there are.
#[derive(Debug, Default)]
pub(crate) struct Allowances(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashSet<Interned>,
    /// So many are looked through for those that nobody has any more.
    full: usize,
}

/// When it is first looked for those that nobody has any more.
const FEW: usize = 256;

#[derive(Debug)]
struct Interned(Arc<Allowance>);

impl PartialEq for Interned {
    fn eq(&self, other: &Self) -> bool {
        self.0.said == other.0.said
    }
}
impl Eq for Interned {}
impl Hash for Interned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.said.hash(state);
    }
}
impl Borrow<Said> for Interned {
    fn borrow(&self) -> &Said {
        &self.0.said
    }
}

impl Allowances {
    /// The one that says this.
    pub(crate) fn of(&self, said: Said, roles: &Roles) -> Arc<Allowance> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Interned(found)) = known.all.get(&said) {
            return Arc::clone(found);
        }
        if known.all.len() >= known.full.max(FEW) {
            known.all.retain(|Interned(one)| Arc::strong_count(one) > 1);
            known.full = 2 * known.all.len();
        }
        let made = Arc::new(Allowance::new(said, roles));
        known.all.insert(Interned(Arc::clone(&made)));
        made
    }

    /// A role stands for something else now.
    pub(crate) fn renew(&self, roles: &Roles) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Interned(one) in &known.all {
            one.rights.set(one.said.rights(roles));
        }
    }
}
