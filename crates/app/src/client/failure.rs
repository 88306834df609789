//! Why a client verb did not do what was asked, and the status that it ends with.

use std::process::ExitCode;

use serde_json::Value;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The words make no sense together.
    #[error("{what}")]
    Misused {
        /// What is wrong.
        what: String,
        /// What to write.
        hint: String,
    },
    /// Nobody answers.
    #[error("no server answers at {url}")]
    NoServer {
        /// Where it was looked for.
        url: String,
        /// What the network said.
        source: Box<ureq::Error>,
    },
    /// The server said no.
    #[error("{what}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        what: String,
        /// What it proposes.
        hint: Option<String>,
    },
    /// The talk with the server broke off, or it said something strange.
    #[error("the server's answer could not be read")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file or the terminal failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It did not come so far.
    #[error("{what}")]
    Failed {
        /// What happened.
        what: String,
        /// What to do.
        hint: String,
    },
}

impl Failure {
    /// For `map_err` on files and terminals.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
    /// From an answer that is not 2xx: problem JSON, or OpenAI's error shape.
    pub(crate) fn refused(status: u16, body: &str) -> Self {
        let parsed: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let listed = parsed["problems"].as_array().map(|problems| {
            let lines =
                problems.iter().map(|p| format!("{}: {}", p["field"].as_str().unwrap_or_default(), p["what"].as_str().unwrap_or_default()));
            lines.collect::<Vec<_>>().join("\n       ")
        });
        let what = listed
            .filter(|lines| !lines.is_empty())
            .or_else(|| text(&parsed["detail"]))
            .or_else(|| text(&parsed["error"]["message"]))
            .or_else(|| text(&parsed["title"]));
        let what = what.unwrap_or_else(|| format!("the server answered with status {status}"));
        Self::Refused { status, what, hint: text(&parsed["hint"]) }
    }
    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Misused { hint, .. } | Self::Failed { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
            Self::NoServer { .. } => Some("start one with `penstock serve`, or say where it is with --url or PENSTOCK_URL".to_owned()),
            Self::Refused { status: 401, hint, .. } => hint.clone().or_else(|| Some("say --token TOKEN or set PENSTOCK_TOKEN".to_owned())),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Broken(_) | Self::Io { .. } => None,
        }
    }
    /// The status that scripts see.
    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Misused { .. } => 2,
            Self::Refused { status: 404, .. } => 3,
            Self::Refused { status: 401 | 403, .. } => 4,
            Self::NoServer { .. } => 5,
            Self::Refused { .. } | Self::Broken(_) | Self::Io { .. } | Self::Failed { .. } => 1,
        })
    }
}
