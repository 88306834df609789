//! Life of a caller:
//!
//! a token is made ([`NewToken`], [`Access::create`]) and shown once (`text`); from then on only
//! its hash is known. A call brings it along and [`Access::verify`] tells from memory whose it is: a
//! [`Caller`], who may use some models, or everything. Before the call goes to an engine
//! [`Access::admit`] counts it (`admit`) with its token, its project and its deployment (`holder`),
//! each of which has a `meter`: what drains by the minute (`bucket`), what is gone of an hour's, a
//! day's, a month's budget (`window`), how many run. The [`Permit`] gives back what was not used when
//! it is dropped, and teaches how long answers are (`lately`). What was used before a restart comes
//! from the store (`past`). Tokens and projects are changed and taken back (`change`, `projects`)
//! by one writer at a time, and a caller that is on its way learns by [`Caller::check_valid`] that its
//! token is gone. People see how much is used as a [`Use`], and what logins have changed in the `story`. What goes wrong is an [`Error`].

mod access;
mod ask;
mod change;
mod given;
mod lately_used;
mod projects;
mod roles;
mod story;
mod used;
mod users;

pub mod table;

mod guess;

mod past;

mod admit;
mod permit;

mod callers;

mod allowance;
mod caller;
mod holder;
mod meter;
mod owner;

mod bits;
mod bucket;
mod lately;
mod window;

mod text;

pub mod login;

mod error;
mod words;

pub use access::{Access, Address, Mode};
pub use admit::Ask;
pub use ask::{NewToken, Patch};
pub use bucket::Rate;
pub use caller::{Caller, Reach};
pub use error::Error;
pub use holder::Gate;
pub use meter::Rates;
pub use owner::Owner;
pub use permit::{Permit, Used};
pub use projects::{NewProject, ProjectPatch};
pub use roles::{NewRole, RolePatch};
pub use story::Came;
pub use used::{Minute, Quotas, Use};
pub use users::{Login, NewUser, UserPatch};
pub use words::{Coin, Denied, Quota, Resource, Whose};
