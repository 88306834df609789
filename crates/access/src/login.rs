//! Life of a login:
//!
//! the config names providers ([`config`]); what each says about itself is asked for and kept (`provider`, over `net`). A person
//! comes with a browser (`code`), which carries something sealed (`seal`) to the provider and back, or with a program that has none
//! (`device`); a program may bring a token that the provider made (`jwt`). What the provider says is proven (`proof`), and becomes a `Person` with what
//! their groups may do here (`person`), who then is a user, and whose browser has a session (`session`); what is over is forgotten (`sweep`). All of it is asked
//! at the `desk`. What goes wrong is an [`Error`].

mod config;

mod desk;

mod provider;

mod code;
mod device;
mod jwt;
mod take;

mod session;
mod sweep;

mod person;
mod proof;

mod net;
mod seal;

mod error;

pub use code::{Answer, Begun, LOGIN_TIME, local_path};
pub use config::{ProviderConfig, is_public_url};
pub use desk::{Config, Entered, Logins, Offer};
pub use device::Shown;
pub use error::Error;
pub use session::{Session, Stay, Who, csrf_token, is_csrf_token};

pub(crate) use jwt::Jwts;

/// How many of what there may be in the course of logins, in the words of the page about limits.
pub const BOUNDS: [(&str, &[usize]); 3] = [
    ("logins of programs", &[device::MOST, device::MOST_OF_ONE]),
    ("questions at once", &[net::MOST_AT_ONCE]),
    ("browsers that are logged in", &[session::MOST, session::MOST_OF_ONE]),
];
