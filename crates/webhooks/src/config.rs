//! Who is told of what: an entry of the config's `webhooks`.
//!
//! In: a name, a URL, where the secret is, which events. Out: keys and a place in the story. Fails: with all that is wrong
//! with it by itself ([`Webhook::check`]); when its secret cannot be read or is none.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use base::clock::human;
use base::{Backoff, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use spec::{Event, EventKind, Invalid, Name, Phase, Problem, check, suggest};
use store::WebhookPlace;

use crate::error::Error;
use crate::sign::Key;

/// A receiver of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// What it is called; its place in the story goes by it.
    pub name: Name,
    /// Where events are posted to.
    pub url: String,
    /// The environment variable with its secret, `whsec_` and base64; several with spaces between sign each event, so that a receiver
    /// can change over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file with its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Only these events; all but `audit` when there is no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Topic>,
    /// How long it may take to answer.
    #[serde(default = "usual_timeout", with = "human")]
    pub timeout: Duration,
    /// So many events may wait for it; beyond that the oldest are dropped.
    #[serde(default = "usual_queue")]
    pub queue: u64,
    /// How it is tried again.
    #[serde(default)]
    pub retry: Retry,
}

/// How often a receiver that fails is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The first wait, at most.
    #[serde(with = "human")]
    pub first: Duration,
    /// Each wait is twice the one before, up to this.
    #[serde(with = "human")]
    pub most: Duration,
    /// An event that is older than this, and was not taken, is dropped.
    #[serde(with = "human")]
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        // Days, so that a receiver that fails over a weekend misses nothing.
        Self { first: Duration::from_secs(1), most: Duration::from_mins(5), give_up: Duration::from_hours(72) }
    }
}

impl Retry {
    /// As a schedule of waits.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.first, most: self.most }
    }
}

fn usual_timeout() -> Duration {
    Duration::from_secs(10)
}

fn usual_queue() -> u64 {
    10_000
}

/// Which events: a kind, or `instance_phase:PHASE` for the instances that come to that phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    kind: EventKind,
    phase: Option<Phase>,
}

impl Topic {
    fn takes(self, event: &Event) -> bool {
        self.kind == event.kind && self.phase.is_none_or(|phase| event.phase.is_some_and(|(_, to)| to == phase))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        self.phase.map_or(Ok(()), |phase| write!(f, ":{phase}"))
    }
}

impl FromStr for Topic {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (word, phase) = text.split_once(':').map_or((text, None), |(word, phase)| (word, Some(phase)));
        let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let near = suggest(word, EventKind::ALL.iter().map(|kind| kind.as_str()));
            let hint = near
                .map_or_else(|| "see the list of kinds in the reference of the config".to_owned(), |near| format!("did you mean {near}?"));
            format!("`{word}` is no kind of event; {hint}")
        })?;
        let Some(word) = phase else { return Ok(Self { kind, phase: None }) };
        let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == word);
        match (kind, phase) {
            (EventKind::InstancePhase, Some(_)) => Ok(Self { kind, phase }),
            (EventKind::InstancePhase, None) => Err(format!("`{word}` is no phase; write instance_phase:failed, for example")),
            _ => Err(format!("only instance_phase has a phase behind it; write {kind}")),
        }
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// More than a secret of one receiver has.
const MOST_WAITING: u64 = 100_000;

impl Webhook {
    /// Everything that is wrong with it by itself.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found: Vec<Problem> = [
            check::time("timeout", self.timeout, Some("would end every try before it begins")),
            check::time("retry.first", self.retry.first, Some("would try again without a pause")),
            check::time("retry.most", self.retry.most, Some("would try again without a pause")),
            check::time("retry.give_up", self.retry.give_up, Some("would drop every event that is not taken at once")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut add = |field: &str, what: &str, hint: &str| {
            found.push(Problem { field: field.to_owned(), what: what.to_owned(), hint: hint.to_owned() });
        };
        match self.url.parse::<http::Uri>() {
            Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
                if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                    add("url", "it holds a user or a password", "leave them out: each event is signed by the secret");
                }
            }
            _ => add("url", "it is no URL", "write https://HOST/PATH"),
        }
        match (&self.secret_env, &self.secret_file) {
            (None, None) => {
                add("secret_env", "events are sent only signed", "name the variable with the secret here, or its file in secret_file");
            }
            (Some(_), Some(_)) => add("secret_file", "secret_env says where the secret is already", "keep one of the two"),
            _ => {}
        }
        if !(1..=MOST_WAITING).contains(&self.queue) {
            add("queue", "that many events are not kept", "write 1 to 100000; leave it out for 10000");
        }
        if self.retry.first > self.retry.most {
            add("retry.first", "it is longer than retry.most", "write a shorter one, or raise retry.most");
        }
        Invalid::from_problems(found)
    }

    /// Whether it wants this event.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        // Who changed what, before and after, is sent only to who asks for it by name.
        (self.kinds.is_empty() && event.kind != EventKind::Audit) || self.kinds.iter().any(|topic| topic.takes(event))
    }

    /// Whether there is what events for it are signed with.
    pub fn check_secret(&self, secret: &dyn Fn(&str) -> Option<Secret>) -> Result<(), Error> {
        self.keys(secret).map(drop)
    }

    /// The keys that sign for it, newest first as they are given.
    pub(crate) fn keys(&self, secret: &dyn Fn(&str) -> Option<Secret>) -> Result<Vec<Key>, Error> {
        let (from, found) = match (&self.secret_env, &self.secret_file) {
            (Some(variable), _) => (variable.clone(), secret(variable)),
            (None, Some(path)) => {
                let read = crate::read_secret(path);
                let unread = |source| Error::SecretFile { name: self.name.clone(), path: path.clone(), source };
                (path.display().to_string(), Some(read.map_err(unread)?))
            }
            (None, None) => (String::new(), None),
        };
        let missing = || Error::NoSecret { name: self.name.clone(), from: from.clone() };
        let found = found.ok_or_else(missing)?;
        let keys: Option<Vec<Key>> = found.expose().split_whitespace().map(Key::parse).collect();
        keys.filter(|keys| !keys.is_empty()).ok_or(Error::BadSecret { name: self.name.clone(), from })
    }

    /// Where it goes on: where it was, or with what happens next. One that is sent elsewhere than before is no longer disabled.
    pub(crate) fn place(&self, stored: Option<WebhookPlace>, newest: u64) -> WebhookPlace {
        let target = self.target();
        match stored {
            Some(place) if place.target == target => place,
            Some(place) => WebhookPlace { target, disabled: None, ..place },
            None => WebhookPlace { name: self.name.to_string(), target, after: newest, sent: 0, dropped: 0, disabled: None },
        }
    }

    /// The URL as what cannot be read back: its path may be a secret.
    fn target(&self) -> String {
        STANDARD.encode(Sha256::digest(self.url.as_bytes()))
    }

    /// Where it is, without what may be a secret.
    pub fn origin(&self) -> String {
        let uri = self.url.parse::<http::Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}", uri.scheme_str().unwrap_or_default())
    }
}
