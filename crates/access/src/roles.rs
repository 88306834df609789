//! What do roles stand for, and how do they come, change and go?
//!
//! In: what an operator wants. Out: the store is changed first, then what all users and tokens with the role may. Fails: on a
//! role that is built in, on a name that is taken, and while somebody has what is to go. Holds: the one writer's place.

use std::collections::BTreeMap;

use base::Timestamp;
use serde::{Deserialize, Deserializer};
use spec::{Name, Rights, Role};

use crate::access::Access;
use crate::change::to_the_end;
use crate::error::Error;

/// Roles beside those that are built in.
const MOST_ROLES: usize = 1_000;

/// What names of roles stand for.
#[derive(Debug, Clone)]
pub(crate) struct Roles {
    all: BTreeMap<Name, Role>,
}

impl Roles {
    /// Those that are built in, and these.
    pub(crate) fn new(own: impl IntoIterator<Item = Role>) -> Self {
        let built_in = Role::BUILT_IN.into_iter().filter_map(Role::built_in);
        // The ones that are built in come last: nothing that is stored takes their place.
        Self { all: own.into_iter().chain(built_in).map(|role| (role.name.clone(), role)).collect() }
    }

    /// Nothing for a name that stands for no role.
    pub(crate) fn rights(&self, name: &Name) -> Rights {
        self.all.get(name).map_or(Rights::NONE, |role| role.rights)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Role> {
        self.all.get(name)
    }

    fn with(&self, role: &Role) -> Self {
        let own = self.all.values().filter(|other| other.name != role.name).cloned();
        Self::new(own.chain([role.clone()]).collect::<Vec<_>>())
    }

    fn without(&self, name: &Name) -> Self {
        Self::new(self.all.values().filter(|role| role.name != *name).cloned().collect::<Vec<_>>())
    }
}

/// A role that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// What users and tokens will call it.
    pub name: Name,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Verbs on kinds.
    pub rights: Rights,
}

/// A change of a role: what is not there stays; `null` takes a value away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolePatch {
    /// Another description.
    #[serde(deserialize_with = "there")]
    pub description: Option<Option<String>>,
    /// Other rights, all of them.
    pub rights: Option<Rights>,
}

#[expect(clippy::option_option, reason = "not there, taken away and set are three things")]
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Access {
    /// All roles, by name, with those that are built in.
    pub fn list_roles(&self) -> Vec<Role> {
        self.inner.roles.load().all.values().cloned().collect()
    }

    /// One role.
    pub fn get_role(&self, name: &Name) -> Result<Role, Error> {
        self.inner.roles.load().get(name).cloned().ok_or_else(|| Error::NoRole(name.clone()))
    }

    /// Makes a role.
    pub async fn create_role(&self, new: NewRole) -> Result<Role, Error> {
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            let (now, roles) = (Timestamp::now(), this.inner.roles.load_full());
            let NewRole { name, description, rights } = new;
            let role = Role { name, description, rights, created_at: now, updated_at: now };
            role.check()?;
            if roles.get(&role.name).is_some() {
                return Err(Error::RoleExists(role.name));
            }
            if roles.all.len() >= MOST_ROLES + Role::BUILT_IN.len() {
                return Err(Error::TooMany { what: "roles", most: MOST_ROLES });
            }
            this.keep_role(role).await
        })
        .await
    }

    /// Changes a role, at once for all who have it.
    pub async fn patch_role(&self, name: &Name, patch: RolePatch) -> Result<Role, Error> {
        let (this, name) = (self.clone(), name.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            let before = this.own_role(&name)?;
            let role = Role {
                description: patch.description.unwrap_or(before.description),
                rights: patch.rights.unwrap_or(before.rights),
                updated_at: Timestamp::now(),
                ..before
            };
            role.check()?;
            this.keep_role(role).await
        })
        .await
    }

    /// Removes a role that nobody has.
    pub async fn delete_role(&self, name: &Name) -> Result<(), Error> {
        let (this, name) = (self.clone(), name.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            this.own_role(&name)?;
            let has =
                |user: &spec::User| user.roles_everywhere().contains(&name) || user.roles_within().values().any(|all| all.contains(&name));
            let users = this.inner.store.list_users().await?.iter().filter(|user| has(user)).count();
            let mut tokens = 0;
            this.inner.callers.for_each(|caller| tokens += usize::from(caller.allowance.said.role.as_ref() == Some(&name)));
            if users + tokens > 0 {
                return Err(Error::RoleInUse { name, users, tokens });
            }
            this.inner.store.delete_role(&name).await?;
            this.inner.roles.store(this.inner.roles.load().without(&name).into());
            Ok(())
        })
        .await
    }

    fn own_role(&self, name: &Name) -> Result<Role, Error> {
        let role = self.get_role(name)?;
        if role.is_built_in() { Err(Error::BuiltIn(name.clone())) } else { Ok(role) }
    }

    /// Store first, then memory.
    async fn keep_role(&self, role: Role) -> Result<Role, Error> {
        let roles = self.inner.roles.load().with(&role);
        self.check_operated(&roles).await?;
        self.inner.store.put_role(&role).await?;
        self.inner.allowances.renew(&roles);
        for user in self.inner.store.list_users().await? {
            if let Some(member) = self.member(&user.id) {
                member.owner.set(&user, &roles);
            }
        }
        self.inner.roles.store(roles.into());
        Ok(role)
    }

    /// The names of roles that there are not.
    pub(crate) fn check_roles<'a>(&self, names: impl IntoIterator<Item = &'a Name>) -> Result<(), Error> {
        let roles = self.inner.roles.load();
        names.into_iter().find(|name| roles.get(name).is_none()).map_or(Ok(()), |name| Err(Error::NoRole(name.clone())))
    }
}
