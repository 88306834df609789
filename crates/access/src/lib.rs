//! Life of a caller:
//!
//! a token is made ([`NewToken`], [`Access::create`]) and shown once (`text`); from then on only
//! its hash is known. A call brings it along and [`Access::verify`] tells from memory whose it is: a
//! [`Caller`], who may use some models, or everything. Before the call goes to an engine
//! [`Access::admit`] sets aside a request, its tokens and a place among those that run (`meter`,
//! `bucket`); the [`Permit`] gives back what was not used when it is dropped. Tokens are changed
//! and taken back (`change`) by one writer at a time: store first, memory next, and a caller that
//! is on its way learns by [`Caller::still_valid`] that its token is gone. What goes wrong is an
//! [`Error`].

mod access;
mod ask;
mod bucket;
mod caller;
mod change;
mod error;
mod meter;
mod permit;
mod text;

pub use access::{Access, Mode};
pub use ask::{NewToken, Patch};
pub use bucket::Rate;
pub use caller::Caller;
pub use error::{Denied, Error, Resource};
pub use meter::Rates;
pub use permit::Permit;
