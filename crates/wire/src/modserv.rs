//! How does the older service API under `/api/v1/modserv` read?
//!
//! In: the bodies of its requests. Out: its answers, each in the same envelope. Fails: on members that it does not know
//! (a field is honoured or refused, never dropped) and on values that cannot be.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::scan;

/// The code of an envelope when all is well.
pub const OK: i64 = 0;
/// Digits of a service id.
pub const ID_DIGITS: usize = 8;

/// What every answer is wrapped in, an error too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// 0, or the HTTP status of the error.
    pub code: i64,
    /// What happened, for a person.
    pub message: String,
    /// What was asked for; null in an error.
    pub data: Option<T>,
}

impl<T> Envelope<T> {
    /// All is well.
    pub fn ok(message: impl Into<String>, data: T) -> Self {
        Self { code: OK, message: message.into(), data: Some(data) }
    }
    /// It is not.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        Self { code: i64::from(status), message: message.into(), data: None }
    }
}

/// The body of `POST /deploy` and of `PUT /{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deploy {
    /// The service, in a `PUT`; it must be the one in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The model's name, by which callers ask for it.
    pub model_name: String,
    /// Where its files lie, if not where the registry knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_file_dir: Option<String>,
    /// What one replica may hold.
    pub resource_requirements: Resources,
    /// How many replicas.
    pub replica_count: u32,
    /// Tokens of context; the model's own if absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// Environment of the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// Which pipeline takes it into service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

/// What one replica may hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// The kind of accelerator, such as `NVIDIA GPU`; empty or `cpu` for none.
    #[serde(default)]
    pub accelerator_type: String,
    /// How many of them.
    #[serde(default)]
    pub accelerator_count: u32,
    /// Processor cores: `4`, `"4"` or `"500m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory: a number of bytes or `"16Gi"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// An amount, as a number or as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A plain number.
    Number(f64),
    /// A number with a suffix.
    Text(String),
}

/// Suffixes of [`Quantity`] and what they multiply with.
const SUFFIXES: [(&str, f64); 13] = [
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("m", 1e-3),
];

impl Quantity {
    /// The number that it stands for, in cores or bytes; `None` if it is none or below zero.
    pub fn amount(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => {
                let text = text.trim();
                let text = text.strip_suffix("iB").map_or(Cow::Borrowed(text), |stem| Cow::Owned(format!("{stem}i")));
                let (digits, factor) = SUFFIXES
                    .iter()
                    .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)))
                    .unwrap_or((text.as_ref(), 1.0));
                digits.trim().parse::<f64>().ok()? * factor
            }
        };
        (number.is_finite() && number >= 0.0).then_some(number)
    }
}

/// A variable of the engine's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Deploy {
    /// Reads and checks the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        scan::object(body)?;
        let deploy: Self = serde_json::from_slice(body).map_err(Error::Shape)?;
        deploy.check()?;
        Ok(deploy)
    }

    /// Refuses values that cannot be.
    pub fn check(&self) -> Result<(), Error> {
        let value = |param, problem| Err(Error::Value { param, problem: Cow::Borrowed(problem) });
        let bad = |quantity: &Option<Quantity>| quantity.as_ref().is_some_and(|quantity| quantity.amount().is_none());
        let bad_name = |name: &str| name.is_empty() || name.contains(['=', '\0']);
        match self {
            _ if self.model_name.trim().is_empty() => value("modelName", "must name a model"),
            _ if bad(&self.resource_requirements.cpu) => {
                value("resourceRequirements.cpu", "must be a number of cores such as 4 or \"500m\"")
            }
            _ if bad(&self.resource_requirements.memory) => {
                value("resourceRequirements.memory", "must be a number of bytes or a size such as \"16Gi\"")
            }
            _ if self.env.iter().any(|variable| bad_name(&variable.key)) => value("env", "has a key that cannot be a variable's name"),
            _ => Ok(()),
        }
    }
}

/// The data of an answer to a deploy, an update or a delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// Eight hexadecimal digits.
    pub service_id: String,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Wished for; nothing is running yet.
    Pending,
    /// On its way: fetching, placing, starting.
    Creating,
    /// It answers.
    Running,
    /// It gave up, or tries again later.
    Failed,
    /// On its way out.
    Terminating,
    /// Gone.
    Terminated,
}

/// The data of `GET /{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Eight hexadecimal digits.
    pub service_id: String,
    /// Where it stands.
    pub status: Status,
    /// Where to send chat completions; empty while it cannot answer.
    pub endpoint: String,
    /// When it last changed.
    pub update_time: Timestamp,
    /// Steps of its pipeline that are done.
    pub current_step: u32,
    /// Steps that its pipeline has.
    pub total_steps: u32,
}

/// One item of `GET /list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The model's name.
    pub model_name: String,
    /// Where it comes from.
    pub model_path: String,
}

/// Where a step of a pipeline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Its turn has not come.
    Pending,
    /// It is being worked on.
    Running,
    /// It is done.
    Done,
    /// It cannot be done.
    Failed,
}

/// One item of `GET /{id}/pipeline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name, such as `fetch`.
    pub name: String,
    /// Where it stands.
    pub state: StepState,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// Why it waits or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
