//! May they give that? Nobody gives what they may not do themselves.
//!
//! In: who gives; a token, roles, rights. Out: nothing. Fails: [`Denied::Beyond`]. Holds: nothing.

use spec::{Name, Rights, Token, UserId};

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

    /// Whether they may change this user: nobody changes who may more.
    pub fn check_over(&self, giver: &Caller, user: &UserId) -> Result<(), Error> {
        let member = self.member(user).ok_or_else(|| Error::NoUser(user.to_string()))?;
        self.check_as(giver, Rights::ALL, Some(&member.owner))
    }

    /// Whether they may make this token.
    pub fn check_gives(&self, giver: &Caller, new: &NewToken) -> Result<(), Error> {
        let said = Said { scopes: new.scopes.clone(), role: new.role.clone(), rights: new.rights, ..Said::default() };
        self.check_said(giver, &said, new.owner.as_ref())
    }

    /// Whether they may make this of a token.
    pub fn check_patch(&self, giver: &Caller, before: &Token, patch: &Patch) -> Result<(), Error> {
        let said = Said::by(&patch.clone().apply(before.clone()));
        self.check_said(giver, &Said::by(before), before.owner.as_ref())?;
        self.check_said(giver, &said, before.owner.as_ref())
    }

    fn check_said(&self, giver: &Caller, said: &Said, owner: Option<&UserId>) -> Result<(), Error> {
        let rights = said.rights(&self.inner.roles.load());
        match owner {
            Some(id) => {
                let member = self.member(id).ok_or_else(|| Error::NoUser(id.to_string()))?;
                self.check_as(giver, rights, Some(&member.owner))
            }
            None => self.check_as(giver, rights, None),
        }
    }

    /// Whether they may all that somebody may who has these rights, as far as this user has them.
    fn check_as(&self, giver: &Caller, rights: Rights, user: Option<&Owner>) -> Result<(), Error> {
        let Some(user) = user else { return self.check_rights_given(giver, rights) };
        self.check_rights_given(giver, rights.and(user.everywhere()))?;
        let within = user.projects();
        let beyond = |(project, theirs): (&Name, &Rights)| !giver.rights_within(project.as_str()).includes(rights.and(*theirs));
        if within.iter().any(beyond) { Err(Error::Forbidden { what: Denied::Beyond }) } else { Ok(()) }
    }
}
