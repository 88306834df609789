//! May they give that? Nobody gives what they may not do themselves.
//!
//! In: who gives; a token, roles, rights. Out: nothing. Fails: [`Denied::Beyond`], [`Denied::Looser`],
//! [`Denied::Metered`]. Holds: nothing.
//!
//! What somebody may is not what they may this minute: a user who is shut out has their roles still, and gets more tomorrow. So a user is weighed by
//! the roles that are stored, and a token by what it says of itself, since its owner may grow into that. A token that is bounded (models, an
//! end) makes none, and changes none into one, that is bounded less. One with limits or a budget makes none at all, since each would have a meter of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Timestamp;
use spec::{Invalid, Name, Rights, Token, UserId};

use crate::access::Access;
use crate::allowance::Said;
use crate::ask::{NewToken, Patch};
use crate::caller::Caller;
use crate::error::Error;
use crate::owner::Owner;
use crate::words::Denied;

impl Access {
    /// Whether they may give these rights to somebody.
    pub fn check_rights_given(&self, giver: &Caller, rights: Rights) -> Result<(), Error> {
        if giver.rights().includes(rights) { Ok(()) } else { Err(Error::Forbidden { what: Denied::Beyond }) }
    }

    /// Whether they may give these roles.
    pub fn check_roles_given<'a>(&self, giver: &Caller, names: impl IntoIterator<Item = &'a Name>) -> Result<(), Error> {
        let roles = self.inner.roles.load();
        names.into_iter().try_for_each(|name| self.check_rights_given(giver, roles.rights(name)))
    }

    /// Whether they may change this user: nobody changes who may more, or could if they were let in.
    pub fn check_over(&self, giver: &Caller, user: &UserId) -> Result<(), Error> {
        let user = self.owner(user)?;
        self.check_as(giver, Rights::ALL, &user)
    }

    /// Whether they may make this token.
    pub fn check_gives(&self, giver: &Caller, new: &NewToken) -> Result<(), Error> {
        check_meter(giver)?;
        let said = Said { scopes: new.scopes.clone(), role: new.role.clone(), rights: new.rights, ..Said::default() };
        self.check_said(giver, &said, new.owner.as_ref())?;
        self.check_stated(giver, &said, new.owner.as_ref())?;
        let models = new.models.as_ref().map(|models| models.iter().cloned().collect());
        check_models(giver, models.as_ref())?;
        check_end(giver, new.expires_at)?;
        self.check_booked(new.owner.as_ref(), new.project.as_deref())
    }

    /// Whether they may make this of a token.
    pub fn check_patch(&self, giver: &Caller, before: &Token, patch: &Patch) -> Result<(), Error> {
        let is_name_only = *patch == Patch { name: patch.name.clone(), ..Patch::default() };
        if !is_name_only {
            check_meter(giver)?;
        }
        let after = patch.clone().apply(before.clone());
        let (was, said) = (Said::by(before), Said::by(&after));
        self.check_said(giver, &was, before.owner.as_ref())?;
        self.check_said(giver, &said, before.owner.as_ref())?;
        let roles = self.inner.roles.load();
        if said.role != was.role || !was.rights(&roles).includes(said.rights(&roles)) {
            self.check_stated(giver, &said, before.owner.as_ref())?;
        }
        patch.models.as_ref().map_or(Ok(()), |_| check_models(giver, said.models.as_ref()))?;
        patch.expires_at.map_or(Ok(()), |end| check_end(giver, end))?;
        patch.project.as_ref().map_or(Ok(()), |project| self.check_booked(before.owner.as_ref(), project.as_deref()))
    }

    fn owner(&self, id: &UserId) -> Result<Arc<Owner>, Error> {
        Ok(self.member(id).ok_or_else(|| Error::NoUser(id.to_string()))?.owner)
    }

    /// Whether they may all that a token may that says this, as far as its owner could by their roles.
    fn check_said(&self, giver: &Caller, said: &Said, owner: Option<&UserId>) -> Result<(), Error> {
        let rights = said.rights(&self.inner.roles.load());
        match owner {
            Some(id) => {
                let owner = self.owner(id)?;
                self.check_as(giver, rights, &owner)
            }
            None => self.check_rights_given(giver, rights),
        }
    }

    /// Whether what a token says of itself is theirs to give, whatever its owner may: for oneself, what one's own token says; for another, what
    /// one may.
    fn check_stated(&self, giver: &Caller, said: &Said, owner: Option<&UserId>) -> Result<(), Error> {
        let rights = said.rights(&self.inner.roles.load());
        let is_own = owner.is_some() && giver.user().map(|user| user.id()) == owner;
        let own = if is_own { giver.allowance.rights() } else { giver.rights() };
        if own.includes(rights) { Ok(()) } else { Err(Error::Forbidden { what: Denied::Beyond }) }
    }

    /// Whether what this user calls may be booked on this project, as far as their roles go.
    fn check_booked(&self, owner: Option<&UserId>, project: Option<&str>) -> Result<(), Error> {
        let (Some(owner), Some(project)) = (owner, project) else { return Ok(()) };
        let owner = self.owner(owner)?;
        if owner.could_call_for(project) {
            return Ok(());
        }
        let (what, role) = (format!("its owner may not call models for project `{project}`"), format!("{project}:developer"));
        let hint = format!("give them a role there first: `penstock user role {} --add {role}`, or leave the project out", owner.name());
        Err(Invalid::one("project", what, hint).into())
    }

    /// Whether they may all that somebody may who has these rights, as far as this user has them by their roles.
    fn check_as(&self, giver: &Caller, rights: Rights, user: &Owner) -> Result<(), Error> {
        let (everywhere, within) = user.by_roles();
        self.check_rights_given(giver, rights.and(everywhere))?;
        let beyond = |(project, theirs): (&Name, &Rights)| !giver.rights_within(project.as_str()).includes(rights.and(*theirs));
        if within.iter().any(beyond) { Err(Error::Forbidden { what: Denied::Beyond }) } else { Ok(()) }
    }
}

fn check_models(giver: &Caller, wanted: Option<&BTreeSet<String>>) -> Result<(), Error> {
    let own = giver.allowance.said.models.as_ref();
    held(own.is_none_or(|own| wanted.is_some_and(|wanted| wanted.is_subset(own))), "models")
}

fn check_end(giver: &Caller, wanted: Option<Timestamp>) -> Result<(), Error> {
    let own = giver.latest_end();
    held(own.is_none_or(|own| wanted.is_some_and(|wanted| wanted <= own)), "expires_at")
}

fn check_meter(giver: &Caller) -> Result<(), Error> {
    if giver.has_meter() { Err(Error::Forbidden { what: Denied::Metered }) } else { Ok(()) }
}

fn held(holds: bool, field: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Forbidden { what: Denied::Looser(field) }) }
}
