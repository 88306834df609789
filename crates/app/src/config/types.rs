//! The small types of the settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Only this machine can reach it.
    pub fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = local.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok());
        address.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not an address to listen on; write IP:PORT, such as 127.0.0.1:8080, or [::1]:8080"
            ))
        })
    }
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Who brings a token.
    Token,
    /// Everybody; on loopback only.
    Open,
}

/// Who is told the numbers at `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Anybody.
    Open,
    /// Who asks from this machine, and from elsewhere who brings a token that may.
    Loopback,
    /// Who brings a token that may.
    Token,
}

impl From<MetricsAccess> for gateway::MetricsAccess {
    fn from(access: MetricsAccess) -> Self {
        match access {
            MetricsAccess::Open => Self::Open,
            MetricsAccess::Loopback => Self::Loopback,
            MetricsAccess::Token => Self::Token,
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To standard error.
    Stderr,
    /// Behind what stands in this file.
    File(PathBuf),
}

impl AccessLog {
    /// A file without a folder and without a dot is more likely a slip of the pen.
    pub(super) fn is_path(word: &str) -> bool {
        word.contains(['/', '.'])
    }
    pub(super) fn path(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }
}

impl Serialize for AccessLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Stdout => serializer.serialize_str("stdout"),
            Self::Stderr => serializer.serialize_str("stderr"),
            Self::File(path) => path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AccessLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            word if Self::is_path(word) => Ok(Self::File(text.into())),
            word => Err(serde::de::Error::custom(format!(
                "`{word}` is no place for a log; write off, stdout, stderr or a path, such as ./access.log"
            ))),
        }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// A person must act.
    Error,
    /// We coped.
    Warn,
    /// An operator's action or a change of state.
    Info,
    /// What happens to each call.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// On which of several cards with room a model goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// The one that is filled best.
    Pack,
    /// The emptiest.
    Spread,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A duration that may be missing; 0 counts as missing.
pub(super) mod maybe {
    use std::time::Duration;

    use base::clock::human;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    struct Human(#[serde(with = "human")] Duration);

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => human::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let found = Option::<Human>::deserialize(deserializer)?;
        Ok(found.map(|human| human.0).filter(|duration| !duration.is_zero()))
    }
}

/// A secret: read, and never written.
pub(super) mod hidden {
    use base::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(_: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()).map(Secret::new))
    }
}
