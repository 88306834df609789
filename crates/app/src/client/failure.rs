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
    /// Somebody answers, and knows nothing of what every Penstock knows.
    #[error("what answers at {url} is no Penstock: it says {status}")]
    Stranger {
        /// Where it was looked for.
        url: String,
        /// What it said.
        status: u16,
    },
    /// The server said no.
    #[error("{what}")]
    Refused {
        /// The status.
        status: u16,
        /// What programs tell refusals apart by; empty when it said none.
        code: String,
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
        let listed = parsed["problems"].as_array().map(|problems| problems.iter().map(problem).collect::<Vec<_>>().join("\n       "));
        // Where there is no field for a hint, it stands behind the words; we have our own.
        let said = text(&parsed["error"]["message"]);
        let said = if status == 401 { said.map(|said| said.split("; ").take(1).collect()) } else { said };
        let what = listed.filter(|lines| !lines.is_empty()).or_else(|| text(&parsed["detail"])).or(said).or_else(|| text(&parsed["title"]));
        let what = what.unwrap_or_else(|| format!("the server answered with status {status}"));
        let code = text(&parsed["code"]).or_else(|| text(&parsed["error"]["code"])).unwrap_or_default();
        let listed = parsed["problems"].as_array().and_then(|problems| text(&problems.first()?["hint"])).filter(|hint| !hint.is_empty());
        let hint = text(&parsed["hint"]).or(listed).map(|hint| in_our_words(&hint));
        Self::Refused { status, code, what, hint }
    }
    /// The same, said at this address: a missing page without a word of ours was said by something else.
    pub(super) fn by(self, url: &str) -> Self {
        match self {
            Self::Refused { status: status @ (404 | 405 | 501), code, hint: None, .. } if code.is_empty() => {
                Self::Stranger { url: url.to_owned(), status }
            }
            other => other,
        }
    }
    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Misused { hint, .. } | Self::Failed { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
            Self::NoServer { source, .. } if super::trust::is_distrust(source) => Some(
                "say where the server is with --server, by a name that its certificate has, and name the authority of that with --cacert".to_owned(),
            ),
            Self::NoServer { .. } | Self::Stranger { .. } => Some("start one with `penstock serve`, or say where it is with --server or PENSTOCK_URL".to_owned()),
            Self::Refused { status: 401, .. } => Some(
                "say `penstock login`, say --token TOKEN, or set PENSTOCK_TOKEN; the first token stands in the server's data directory, in admin-token".to_owned(),
            ),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Broken(_) | Self::Io { .. } => None,
        }
    }
    /// Whether the same may go well a while later: the line broke, or somebody else was at it.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::NoServer { .. } | Self::Broken(_) | Self::Refused { status: 409 | 423 | 502..=504, .. })
    }
    /// Whether what was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code, .. } if code != "no_instance")
    }
    /// Whether the reader of our output has left, which is no failure.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
    /// The status that scripts see.
    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Misused { .. } | Self::Refused { status: 400 | 422, .. } => 2,
            Self::Refused { status: 404, .. } => 3,
            Self::Refused { status: 401 | 403, .. } => 4,
            Self::NoServer { .. } | Self::Stranger { .. } => 5,
            Self::Refused { .. } | Self::Broken(_) | Self::Io { .. } | Self::Failed { .. } => 1,
        })
    }
}

/// A field that is wrong. Where it stands in the JSON that we sent is nothing to a person.
fn problem(problem: &Value) -> String {
    let what = problem["what"].as_str().unwrap_or_default();
    let what = what.split(" at line ").next().unwrap_or_default();
    format!("{}: {what}", problem["field"].as_str().unwrap_or_default())
}

/// The server speaks to programs; people get the verb that does the same.
fn in_our_words(hint: &str) -> String {
    const LISTS: [(&str, &str); 11] = [
        ("models", "model list"),
        ("deployments", "list"),
        ("instances", "ps"),
        ("nodes", "top"),
        ("projects", "project list"),
        ("roles", "role list"),
        ("routes", "route list"),
        ("secrets", "secret list"),
        ("tokens", "token list"),
        ("users", "user list"),
        ("webhooks", "webhook list"),
    ];
    let is_of = |noun: &str| hint.starts_with(&format!("GET /api/v1/{noun} ")) || hint.starts_with(&format!("list the {noun} "));
    if let Some(name) = hint.strip_prefix("GET /api/v1/deployments/").and_then(|rest| rest.split_once("/revisions ")) {
        return format!("`penstock rollout history {}` shows what there is", name.0);
    }
    let list = LISTS.iter().find(|(noun, _)| is_of(noun));
    list.map_or_else(|| hint.to_owned(), |(_, verb)| format!("`penstock {verb}` shows what there is"))
}
