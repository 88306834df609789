//! How do users and service accounts come, change and go?
//!
//! In: what an operator wants, or what an identity provider says of somebody who logs in. Out: store and memory, changed. Fails: on a
//! name that is taken, on a role that is not there, and when nobody could operate Penstock afterwards. Holds: the one writer's place.
//!
//! As with tokens, what is given goes to the store first, and what is taken back is in force in memory first: a user who is
//! disabled or loses a role has lost it before the store hears of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use base::Timestamp;
use serde::{Deserialize, Deserializer};
use spec::user::Origin;
use spec::{Grants, Invalid, Name, User, UserId};

use crate::access::{Access, Mode};
use crate::caller::Caller;
use crate::change::to_the_end;
use crate::error::Error;
use crate::owner::Owner;
use crate::roles::Roles;
use crate::story::{self, Came};

/// Users that are kept in memory.
const MOST_USERS: usize = 100_000;

/// A user in memory.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) owner: Arc<Owner>,
    /// Who calls in a session of theirs.
    pub(crate) session: Arc<Caller>,
}

/// All of them.
pub(crate) type Members = HashMap<UserId, Member>;

/// A user or a service account that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What people will call it.
    pub name: String,
    /// Where it gets mail.
    #[serde(default)]
    pub email: Option<String>,
    /// An account of a program: it never logs in.
    #[serde(default)]
    pub service: bool,
    /// What it may do everywhere.
    #[serde(default)]
    pub roles: Vec<Name>,
    /// What it may do within projects.
    #[serde(default)]
    pub projects: BTreeMap<Name, Vec<Name>>,
}

/// A change of a user: what is not there stays; `null` takes a value away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another address.
    #[serde(deserialize_with = "there")]
    pub email: Option<Option<String>>,
    /// Other roles everywhere, all of them.
    pub roles: Option<Vec<Name>>,
    /// Other roles within projects, all of them.
    pub projects: Option<BTreeMap<Name, Vec<Name>>>,
    /// Whether it is let in no more.
    pub disabled: Option<bool>,
}

#[expect(clippy::option_option, reason = "not there, taken away and set are three things")]
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What an identity provider says of somebody who has just logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The provider's name in the config.
    pub provider: String,
    /// What it calls them for good.
    pub subject: String,
    /// What it says that they are called.
    pub name: String,
    /// Where they get mail.
    pub email: Option<String>,
    /// What their groups stand for.
    pub mapped: Grants,
    /// When the provider said so.
    pub as_of: Timestamp,
}

impl Access {
    /// All users and service accounts, by name.
    pub async fn list_users(&self) -> Result<Vec<User>, Error> {
        Ok(self.inner.store.list_users().await?)
    }

    /// One user, by id or by name.
    pub async fn get_user(&self, id_or_name: &str) -> Result<User, Error> {
        let id = UserId::new(id_or_name);
        if let Some(user) = self.inner.store.get_user(&id).await? {
            return Ok(user);
        }
        let named = self.list_users().await?.into_iter().find(|user| user.name == id_or_name);
        named.ok_or_else(|| Error::NoUser(id_or_name.to_owned()))
    }

    /// The caller of a session of this user.
    pub fn caller_of_user(&self, id: &UserId) -> Result<Arc<Caller>, Error> {
        let member = self.member(id).ok_or_else(|| Error::NoUser(id.to_string()))?;
        member.session.check_valid()?;
        Ok(member.session)
    }

    /// Makes a user or a service account.
    pub async fn create_user(&self, new: NewUser) -> Result<User, Error> {
        check_seen(&new.name)?;
        let this = self.clone();
        to_the_end(async move {
            let _alone = this.alone().await;
            let now = Timestamp::now();
            let user = User {
                id: UserId::random(),
                name: new.name,
                email: new.email,
                origin: if new.service { Origin::Service } else { Origin::Local },
                roles: new.roles,
                projects: new.projects,
                mapped: Grants::default(),
                disabled: false,
                created_at: now,
                updated_at: now,
                last_login_at: None,
            };
            this.keep_user(user).await
        })
        .await
    }

    /// Somebody has logged in: makes the user at the first time, and takes over what the provider says, unless what is known was said later.
    /// What changes by that is written down with how they came.
    pub async fn login_user(&self, login: Login, came: &Came) -> Result<User, Error> {
        let (this, came) = (self.clone(), came.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            let before = this.inner.store.find_user(&login.provider, &login.subject).await?;
            let after = match before.clone() {
                Some(user) if user.disabled => return Err(Error::Disabled { user: user.name }),
                Some(user) if user.last_login_at.is_some_and(|last| last > login.as_of) => return Ok(user),
                Some(user) => {
                    User { email: login.email.or(user.email.clone()), mapped: login.mapped, last_login_at: Some(login.as_of), ..user }
                }
                None => this.first_login(login, Timestamp::now()).await?,
            };
            let after = this.keep_user(after).await?;
            this.tell(story::of_user(&came, before.as_ref(), &after));
            Ok(after)
        })
        .await
    }

    async fn first_login(&self, login: Login, now: Timestamp) -> Result<User, Error> {
        let taken = self.list_users().await?.into_iter().any(|user| user.name == login.name);
        let name = if taken { format!("{}@{}/{}", login.name, login.provider, login.subject) } else { login.name };
        Ok(User {
            id: UserId::random(),
            name: name.chars().filter(|c| !base::is_unseen(*c)).take(100).collect(),
            email: login.email,
            origin: Origin::Provider { provider: login.provider, subject: login.subject },
            roles: Vec::new(),
            projects: BTreeMap::new(),
            mapped: login.mapped,
            disabled: false,
            created_at: now,
            updated_at: now,
            last_login_at: Some(login.as_of),
        })
    }

    /// Changes a user, at once also for their tokens and sessions.
    pub async fn patch_user(&self, id: &UserId, patch: UserPatch) -> Result<User, Error> {
        patch.name.as_deref().map_or(Ok(()), check_seen)?;
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            let before = this.inner.store.get_user(&id).await?.ok_or_else(|| Error::NoUser(id.to_string()))?;
            let user = User {
                name: patch.name.unwrap_or(before.name),
                email: patch.email.unwrap_or(before.email),
                roles: patch.roles.unwrap_or(before.roles),
                projects: patch.projects.unwrap_or(before.projects),
                disabled: patch.disabled.unwrap_or(before.disabled),
                updated_at: Timestamp::now(),
                ..before
            };
            this.keep_user(user).await
        })
        .await
    }

    /// Removes a user with all of their tokens: none of them opens anything from now on.
    pub async fn delete_user(&self, id: &UserId) -> Result<(), Error> {
        let (this, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let _alone = this.alone().await;
            let member = this.member(&id).ok_or_else(|| Error::NoUser(id.to_string()))?;
            this.check_others_operate(&id)?;
            member.owner.shut_out();
            let mut tokens = Vec::new();
            this.inner.callers.for_each(|caller| {
                if caller.user().is_some_and(|owner| *owner.id() == id) {
                    caller.revoke();
                    tokens.extend(caller.token().map(str::to_owned));
                }
            });
            this.inner.store.delete_user(&id).await?;
            for token in &tokens {
                this.inner.callers.remove(token);
            }
            this.change_members(|members| drop(members.remove(&id)));
            Ok(())
        })
        .await
    }

    pub(crate) fn member(&self, id: &UserId) -> Option<Member> {
        self.inner.members.load().get(id).cloned()
    }

    pub(crate) fn member_of(&self, user: &User, roles: &Roles) -> Member {
        let owner = Arc::new(Owner::new(user, roles));
        Member { session: Arc::new(Caller::of_user(Arc::clone(&owner), Arc::clone(&self.inner.everything))), owner }
    }

    /// What is taken back is in force before it is stored, what is given after.
    async fn keep_user(&self, user: User) -> Result<User, Error> {
        user.check()?;
        self.check_roles(user.roles.iter().chain(user.projects.values().flatten()))?;
        let roles = self.inner.roles.load_full();
        let known = self.member(&user.id);
        if known.is_none() && self.inner.members.load().len() >= MOST_USERS {
            return Err(Error::TooMany { what: "users", most: MOST_USERS });
        }
        let after = Owner::new(&user, &roles);
        if let Some(member) = known.as_ref().filter(|member| !after.everywhere().includes(member.owner.everywhere()) || !after.is_in()) {
            if !can_operate(&after) {
                self.check_others_operate(&user.id)?;
            }
            member.owner.set(&user, &roles);
        }
        self.inner.store.put_user(&user).await.map_err(taken)?;
        match known {
            Some(member) => {
                member.owner.set(&user, &roles);
                if member.session.name() != user.name {
                    let session = Arc::new(Caller::of_user(Arc::clone(&member.owner), Arc::clone(&self.inner.everything)));
                    self.change_members(|members| drop(members.insert(user.id.clone(), Member { session, ..member })));
                }
            }
            None => self.change_members(|members| drop(members.insert(user.id.clone(), self.member_of(&user, &roles)))),
        }
        Ok(user)
    }

    /// Only in the one writer's place.
    fn change_members(&self, change: impl FnOnce(&mut Members)) {
        let mut members = Members::clone(&self.inner.members.load());
        change(&mut members);
        self.inner.members.store(Arc::new(members));
    }

    /// Whether a token of somebody else may operate Penstock.
    fn check_others_operate(&self, id: &UserId) -> Result<(), Error> {
        let admins = self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let is_theirs = |caller: &Caller| caller.user().is_some_and(|owner| owner.id() == id);
        let mut all = admins.values().filter(|caller| caller.can_operate()).peekable();
        if self.inner.mode == Mode::Open || all.peek().is_none() || all.any(|caller| !is_theirs(caller)) {
            return Ok(());
        }
        Err(Error::LastAdminUser(id.clone()))
    }

    /// Whether somebody may operate Penstock when roles stand for this.
    pub(crate) async fn check_operated(&self, roles: &Roles) -> Result<(), Error> {
        let users: HashMap<UserId, User> = self.list_users().await?.into_iter().map(|user| (user.id.clone(), user)).collect();
        let admins = self.inner.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut able = admins.values().filter(|caller| caller.can_operate()).peekable();
        let stays = |caller: &Arc<Caller>| {
            let owner = caller.user().map(|owner| users.get(owner.id()).is_some_and(|user| can_operate(&Owner::new(user, roles))));
            let own = crate::allowance::Allowance::new(caller.allowance.said.clone(), roles).rights();
            own == spec::Rights::ALL && owner.unwrap_or(true)
        };
        if self.inner.mode == Mode::Open || able.peek().is_none() || able.any(stays) { Ok(()) } else { Err(Error::LastAdminRole) }
    }
}

/// A name that is given is seen as it is; who has another one from before keeps it, and can be shut out.
fn check_seen(name: &str) -> Result<(), Error> {
    let hint = "use 1 to 128 visible characters, and none that turns or hides others";
    let odd = name.chars().find(|c| base::is_unseen(*c));
    odd.map_or(Ok(()), |c| Err(Invalid::one("name", format!("not a name: it holds {c:?}"), hint).into()))
}

fn can_operate(owner: &Owner) -> bool {
    owner.is_in() && owner.everywhere() == spec::Rights::ALL
}

fn taken(error: store::Error) -> Error {
    match error {
        store::Error::UserTaken(name) => Error::UserExists(name),
        other => other.into(),
    }
}
