//! Life of an address:
//!
//! somebody connects: [`Proxies`] say from where a request really came, when a proxy that is believed brought it. Somebody is to be
//! called: the [`Guard`] says whether a URL may lead there, and the [`Dialer`] looks once more at every address that its host
//! turned out to have, just before it connects, so that neither a name nor a redirect leads inside. What is inside is told by
//! [`inside`]; what is excepted, by [`Range`]s. What goes wrong is an [`Error`]. Where TLS is spoken, [`trust`] says whom the system believes.

mod dialer;
mod guard;
mod proxies;

mod inside;
mod range;
mod trust;

mod error;

pub use dialer::{Dialer, Dialing};
pub use error::Error;
pub use guard::{Allowed, Guard};
pub use inside::inside;
pub use proxies::{Forwarding, Proxies};
pub use range::Range;
pub use trust::trust;

#[cfg(test)]
mod tests;
