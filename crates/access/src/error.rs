//! Why somebody is turned away, and what they can do about it.
//!
//! Nothing here carries a token or a part of one.

use std::time::Duration;

use base::{Fault, Kind, Retry, Timestamp};
use spec::{Invalid, Name, TokenId, UserId};

use crate::meter::NEXT_PLACE;
use crate::words::{Denied, Quota, Resource, Whose};

/// What can go wrong at the door.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No token came with the call.
    #[error("a token is needed")]
    MissingToken,
    /// No token came with a question that is answered without one on this machine only.
    #[error("from another machine, or under a name that is not this one's, a token is needed here")]
    Afar,
    /// The token is unknown, or has been taken back.
    #[error("the token is not valid")]
    WrongToken,
    /// The token's time is over.
    #[error("the token expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Known, but not allowed.
    #[error("this token may not {what}")]
    Forbidden {
        /// To do what.
        what: Denied,
    },
    /// The token's owner is let in no more.
    #[error("the user `{user}` is disabled")]
    Disabled {
        /// Whose it is.
        user: String,
    },
    /// Many wrong tokens came from where this one comes from.
    #[error("too many wrong tokens came from this address")]
    Guessing {
        /// When the next one is looked at.
        retry_after: Duration,
    },
    /// A limit is reached.
    #[error("the limit of {limit} {what} of {whose} is reached{}", again(*what, *asked, *retry_after))]
    Limited {
        /// Of what.
        what: Resource,
        /// Whose.
        whose: Whose,
        /// How much is asked for.
        asked: u64,
        /// The limit.
        limit: u64,
        /// When there will be room for this ask.
        retry_after: Duration,
    },
    /// The ask is bigger than the whole limit: it would never be admitted.
    #[error("{asked} {what} are asked for at once; the limit of {whose} is {limit}")]
    NeverFits {
        /// Of what.
        what: Resource,
        /// Whose.
        whose: Whose,
        /// How much is asked for.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// A budget is spent, or set aside for others.
    #[error("{whose}: {quota}")]
    Budget {
        /// Whose.
        whose: Whose,
        /// How it stands.
        quota: Box<Quota>,
    },
    /// There is no such token.
    #[error("there is no token `{0}`")]
    NotFound(TokenId),
    /// After this nobody could operate Penstock any more.
    #[error("`{0}` is the last token that may operate this server")]
    LastAdmin(TokenId),
    /// After this nobody could operate Penstock any more.
    #[error("user `{0}` has the only tokens that may operate this server")]
    LastAdminUser(UserId),
    /// The same, by what a role stands for.
    #[error("no token could operate this server after this")]
    LastAdminRole,
    /// There is no such user.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// There is a user of this name.
    #[error("there is a user `{0}` already")]
    UserExists(String),
    /// There is no such role.
    #[error("there is no role `{0}`")]
    NoRole(Name),
    /// There is a role of this name.
    #[error("there is a role `{0}` already")]
    RoleExists(Name),
    /// It does not change.
    #[error("the role `{0}` is built in")]
    BuiltIn(Name),
    /// Who has it would lose what it stands for.
    #[error("{users} users and {tokens} tokens have the role `{name}`")]
    RoleInUse {
        /// The role.
        name: Name,
        /// How many users.
        users: usize,
        /// How many tokens.
        tokens: usize,
    },
    /// A project has as many as it may have.
    #[error("project `{project}` may have {}, and has {used}", base::counted((*most).into(), what))]
    Quota {
        /// Which.
        project: String,
        /// Of what.
        what: &'static str,
        /// So many it may have.
        most: u32,
        /// So many it has.
        used: u64,
    },
    /// There is no such project.
    #[error("there is no project `{0}`")]
    NoProject(Name),
    /// There is a project of this name.
    #[error("there is a project `{0}` already")]
    ProjectExists(Name),
    /// Something belongs to the project: without it tokens would have no limits, and nobody would know whose the rest is.
    #[error("project `{name}` still has {}", things(owned))]
    ProjectInUse {
        /// The project.
        name: Name,
        /// What belongs to it.
        owned: Box<store::Owned>,
    },
    /// There are more than are kept in memory.
    #[error("there are {most} {what} already")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The ask itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A stored token cannot be used.
    #[error("the stored hash of token `{0}` is damaged")]
    Damaged(TokenId),
    /// The change did not come to its end.
    #[error("the change was interrupted")]
    Interrupted(#[source] tokio::sync::oneshot::error::RecvError),
    /// The token opens nothing any more, but a restart would know it again.
    #[error("token `{id}` is refused from now on, but it could not be removed from the store")]
    NotForgotten {
        /// The token.
        id: TokenId,
        /// Why.
        source: store::Error,
    },
    /// Who logs in, or brings a token of an identity provider, is not let in.
    #[error(transparent)]
    Login(#[from] crate::login::Error),
    /// It could not be remembered.
    #[error("the tokens could not be stored")]
    Store(#[from] store::Error),
}

/// What belongs to a project, with some of its names.
fn things(owned: &store::Owned) -> String {
    const NAMED: usize = 3;
    let so_many = |many: usize, noun: &str| format!("{many} {noun}{}", if many == 1 { "" } else { "s" });
    let named = |noun: &str, names: &[Name]| {
        let words = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED { ", …" } else { "" };
        (!names.is_empty()).then(|| format!("{} ({words}{more})", so_many(names.len(), noun)))
    };
    let tokens = (owned.tokens > 0).then(|| so_many(usize::try_from(owned.tokens).unwrap_or(usize::MAX), "token"));
    let all = [tokens, named("deployment", &owned.deployments), named("model", &owned.models)];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What a limit of a minute leaves room for, and when.
fn again(what: Resource, asked: u64, wait: Duration) -> String {
    let wait = base::clock::human::print(wait);
    match what {
        Resource::Concurrency => String::new(),
        Resource::Requests => format!("; there is room again in {wait}"),
        Resource::Tokens => format!("; there is room for {asked} in {wait}"),
    }
}

impl Error {
    /// For good, or until a budget begins anew: asking again will not help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Budget { quota, .. } => !quota.is_only_reserved(),
            Self::NeverFits { .. } => true,
            _ => false,
        }
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::MissingToken | Self::Afar | Self::WrongToken | Self::Expired { .. } | Self::Disabled { .. } => Kind::Unauthenticated,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::Limited { .. } | Self::NeverFits { .. } | Self::Budget { .. } | Self::Guessing { .. } => Kind::Limited,
            Self::NotFound(_) | Self::NoProject(_) | Self::NoUser(_) | Self::NoRole(_) => Kind::NotFound,
            Self::LastAdminUser(_)
            | Self::LastAdminRole
            | Self::UserExists(_)
            | Self::RoleExists(_)
            | Self::BuiltIn(_)
            | Self::RoleInUse { .. }
            | Self::Quota { .. }
            | Self::LastAdmin(_)
            | Self::TooMany { .. }
            | Self::ProjectExists(_)
            | Self::ProjectInUse { .. } => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Damaged(_) | Self::Interrupted(_) => Kind::Internal,
            Self::Login(error) => error.kind(),
            Self::Store(error) | Self::NotForgotten { source: error, .. } => error.kind(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Limited { retry_after, .. } | Self::Guessing { retry_after } => Retry::After(*retry_after),
            Self::Budget { quota, .. } if quota.is_only_reserved() => Retry::After(NEXT_PLACE),
            Self::Login(error) => error.retry(),
            Self::Store(error) | Self::NotForgotten { source: error, .. } => error.retry(),
            _ => Retry::No,
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Login(error) => error.public(),
            other if other.kind() == Kind::Internal => "something went wrong inside; the log has the request id".to_owned(),
            other => other.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::MissingToken => "send the header `Authorization: Bearer psk_…`; `penstock token create` makes a token",
            Self::Afar => {
                "send the header `Authorization: Bearer psk_…` with a token that may `get server` (`penstock token create prometheus --right get:server`), \
                 ask for 127.0.0.1 on the machine itself, or set metrics.access to `open`"
            }
            Self::WrongToken => "check the token for missing characters; if it was taken back, ask for a new one",
            Self::Forbidden { what: Denied::Metered } => {
                "ask with a token that has neither limits nor a budget, or log in: `penstock login`"
            }
            Self::Expired { .. } | Self::Forbidden { .. } => "ask whoever operates this server for a token that may",
            Self::Limited { what: Resource::Concurrency, .. } => "wait until one of your requests has ended",
            Self::Limited { .. } => "wait, or ask whoever operates this server for a higher limit",
            Self::NeverFits { .. } => "ask for fewer tokens (a shorter prompt, a smaller max_tokens), or for a higher limit",
            Self::Budget { quota, .. } if quota.is_only_reserved() => "wait until one of those calls has ended, or ask for fewer tokens",
            Self::Budget { quota, .. } if quota.asked > quota.limit => {
                "ask for fewer tokens (a shorter prompt, a smaller max_tokens), or for a larger budget"
            }
            Self::Budget { .. } => "wait until then, set a smaller max_tokens, or ask whoever operates this server for a larger budget",
            Self::Disabled { .. } => "ask whoever operates this server to let you in again",
            Self::Guessing { .. } => "wait, and check the token before the next try",
            Self::NoUser(_) => "list the users to see which there are",
            Self::NoRole(_) => "list the roles to see which there are; admin, operator, developer and viewer are built in",
            Self::BuiltIn(_) => "make a role of your own with the rights that you want",
            Self::RoleInUse { .. } => "give them another role first",
            Self::Quota { project, what, .. } => {
                return Some(format!(
                    "remove one that nobody uses any more, or raise the quota: `penstock project set {project} --most-{what} COUNT`"
                ));
            }
            Self::NoProject(_) => "list the projects to see which there are",
            Self::ProjectExists(_) | Self::UserExists(_) | Self::RoleExists(_) => "change it, or choose another name",
            Self::ProjectInUse { .. } => "remove them, or move them to another project, first",
            Self::NotForgotten { .. } => "revoke it again when the store answers, before the next restart",
            Self::NotFound(_) => "list the tokens to see which there are",
            Self::LastAdmin(_) | Self::LastAdminUser(_) | Self::LastAdminRole => {
                "make another token with the scope `admin` and without an end first"
            }
            Self::TooMany { .. } => "remove those that nobody uses any more",
            Self::Interrupted(_) => "list the tokens to see what came of it",
            Self::Damaged(_) => "delete the token and make a new one",
            Self::Invalid(error) => return error.hint(),
            Self::Login(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
        };
        Some(text.to_owned())
    }
}
