//! Why somebody could not log in, and what they can do about it.
//!
//! Nothing here carries a token, a code or a part of one. What a provider said is told in the log and to whoever operates
//! the server; whoever logs in reads what to do.

use std::path::PathBuf;
use std::time::Duration;

use base::{Fault, Kind, Retry};

/// Why a login did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Penstock's secret at the provider is not there.
    #[error("the provider `{provider}` has no secret: {from} is not set")]
    NoSecret {
        /// Which.
        provider: String,
        /// Where it was looked for.
        from: String,
    },
    /// Its file cannot be read.
    #[error("the secret of the provider `{provider}` cannot be read from {}: {source}", path.display())]
    SecretFile {
        /// Which.
        provider: String,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The provider cannot be spoken to at all: this machine's certificates.
    #[error("providers cannot be spoken to: {0}")]
    Net(String),
    /// There is no provider of this name.
    #[error("there is no identity provider `{0}`")]
    NoProvider(String),
    /// It does not answer, or says what nobody can go by.
    #[error("the identity provider `{provider}` cannot be used now: {what}")]
    Away {
        /// Which.
        provider: String,
        /// What happened.
        what: String,
    },
    /// It cannot do this.
    #[error("the identity provider `{provider}` has no {what}")]
    Lacks {
        /// Which.
        provider: String,
        /// What.
        what: &'static str,
    },
    /// The browser comes back without having been sent by us, too late, or a second time.
    #[error("this login was not begun in this browser, or not lately")]
    NotBegun,
    /// The provider's answer is not to our question.
    #[error("the answer of the identity provider does not belong to this login: {0}")]
    NotOurs(&'static str),
    /// The person, or the provider, said no.
    #[error("the identity provider `{provider}` did not log you in: {what}")]
    Refused {
        /// Which.
        provider: String,
        /// Its word for it.
        what: String,
    },
    /// What it says about somebody is not proven.
    #[error("what the identity provider `{provider}` says cannot be trusted: {what}")]
    Untrusted {
        /// Which.
        provider: String,
        /// Why.
        what: String,
    },
    /// Something is not known yet; it is being asked for.
    #[error("what is known at the identity provider `{provider}` is being fetched")]
    Coming {
        /// Which.
        provider: String,
    },
    /// Known there, but nothing here.
    #[error("`{name}` is known to the identity provider `{provider}`, but has no role here")]
    NoRole {
        /// Which.
        provider: String,
        /// Who.
        name: String,
    },
    /// There is none.
    #[error("no identity provider is set")]
    NoProviders,
    /// There are several.
    #[error("there are several identity providers: {0}")]
    WhichProvider(String),
    /// Nobody has agreed yet.
    #[error("nobody has confirmed the login yet")]
    Pending,
    /// It is asked too often.
    #[error("the login is asked for too often; once in {} seconds is enough", .0.as_secs())]
    TooFast(Duration),
    /// Nobody agreed in time.
    #[error("the login was not confirmed in time")]
    TooLate,
    /// Too many logins at once.
    #[error("too many logins are under way")]
    Busy,
    /// No session, or one that is over.
    #[error("the session is over")]
    NoSession,
    /// A change by cookie that another site may have caused.
    #[error("this change was not asked for by a page of this server: {0}")]
    Forged(&'static str),
}

/// What is asked for is there this soon.
const SOON: Duration = Duration::from_secs(1);
/// A provider that is away is asked again about this often.
const AWAY_FOR: Duration = Duration::from_secs(5);

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSecret { .. } | Self::SecretFile { .. } | Self::Net(_) => Kind::Internal,
            Self::NoProvider(_) | Self::NoProviders => Kind::NotFound,
            Self::Away { .. } | Self::Coming { .. } => Kind::Unavailable,
            Self::Lacks { .. } | Self::WhichProvider(_) | Self::NotBegun | Self::NotOurs(_) | Self::Pending | Self::TooLate => {
                Kind::Invalid
            }
            Self::Refused { .. } | Self::Untrusted { .. } | Self::NoSession => Kind::Unauthenticated,
            Self::NoRole { .. } | Self::Forged(_) => Kind::Forbidden,
            Self::TooFast(_) | Self::Busy => Kind::Limited,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Coming { .. } => Retry::After(SOON),
            Self::Away { .. } => Retry::After(AWAY_FOR),
            Self::TooFast(wait) => Retry::After(*wait),
            _ => Retry::No,
        }
    }

    fn public(&self) -> String {
        match self {
            // What it said may be long, and is for whoever operates the server.
            Self::Away { provider, .. } => format!("the identity provider `{provider}` cannot be used now"),
            other => other.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSecret { from, .. } => return Some(format!("set {from}, or take client_secret_env out for a public client")),
            Self::SecretFile { .. } => "check client_secret_file, and that this user may read it",
            Self::Net(_) => "install the package ca-certificates, or set SSL_CERT_FILE",
            Self::NoProvider(_) => "/auth/login shows the providers that there are",
            Self::Away { .. } => "try again later; a token works all the time, and the log of the server says what is wrong",
            Self::Lacks { .. } => "log in with a browser at /auth/login, make a token there, and store it with `penstock login --token`",
            Self::NotBegun | Self::NotOurs(_) | Self::TooLate | Self::Refused { .. } | Self::NoSession => "log in again",
            Self::Untrusted { .. } => "log in again; if it stays, the log of the server says more to whoever operates it",
            Self::Coming { .. } => "send it again",
            Self::NoRole { .. } => "ask whoever operates this server to put one of your groups into `auth.providers`",
            Self::NoProviders => "ask whoever operates this server to set `auth.providers`, or use a token: `penstock login --token`",
            Self::WhichProvider(_) => "say which: `penstock login --provider NAME`",
            Self::Pending | Self::TooFast(_) => "ask again after the interval",
            Self::Busy => "try again in a minute",
            Self::Forged(_) => "send the header x-csrf-token with what GET /auth/session says, or use a token instead of the cookie",
        };
        Some(text.to_owned())
    }
}
