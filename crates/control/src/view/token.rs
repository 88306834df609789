//! Who may call, and how much.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::user::Rights;

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// The id of the user or service account whose it is: it never may more than its owner. When absent, the user who makes it; `null` makes one of
    /// nobody, which stays when that user is shut out, and takes the right to make tokens for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The project that its use is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it may do: `inference` (call models; when no scope, role or rights are given), `admin` (everything; of an owned token all that
    /// its owner may).
    #[schema(required = false)]
    pub scopes: Vec<String>,
    /// And what this role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// And these verbs on kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    /// The models that it may use, by the public names of deployments and routes; all when there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How much.
    #[serde(default)]
    #[schema(required = false)]
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    #[serde(default)]
    #[schema(required = false)]
    pub budget: Budget,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A change of a token, as a JSON merge patch: what is absent stays, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenPatch {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The project that its use is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// And what this role may; `null` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// And these verbs on kinds, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    /// The models that it may use; `null` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How much; takes the place of all limits that there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How much within an hour, a day, a month; takes the place of the whole budget that there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// From when on it is refused; `null` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// How much may be used at a time; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Calls a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// How much may be used up within an hour, a day, a month of the calendar (UTC); what is not said is
/// not limited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// Tokens an hour, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_hour: Option<u64>,
    /// Tokens a day, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens a month, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
    /// Money an hour, in US dollars, by the prices of the deployments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_hour: Option<f64>,
    /// Money a day, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_day: Option<f64>,
    /// Money a month, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd_per_month: Option<f64>,
}

/// What is used now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Use {
    /// Calls since the month (UTC) began.
    pub requests: u64,
    /// Tokens in and out since the month began.
    pub tokens: u64,
    /// What they cost, in US dollars.
    pub usd: f64,
    /// Calls that run now.
    pub running: u32,
    /// How the limits of a minute stand; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Minute>,
    /// How the budgets stand, by their names (`tokens_per_day`); absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<std::collections::BTreeMap<String, Quota>>,
}

/// How the limits of a minute stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Minute {
    /// Calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Rate>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Rate>,
}

/// A limit of a minute: what is used drains evenly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// So much a minute.
    pub limit: u64,
    /// What is left now.
    pub remaining: u64,
    /// How long until all of it is left, in milliseconds.
    pub reset_ms: u64,
}

/// One budget in the present hour, day or month; tokens, or US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// So much within it.
    #[schema(value_type = f64)]
    pub limit: serde_json::Number,
    /// What is used up.
    #[schema(value_type = f64)]
    pub spent: serde_json::Number,
    /// What is set aside for calls that run now.
    #[schema(value_type = f64)]
    pub reserved: serde_json::Number,
    /// When the next one begins.
    #[schema(format = DateTime)]
    pub resets_at: String,
}

/// A token, without the token itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The first characters of the token, to tell one from another.
    pub prefix: String,
    /// Whose it is: the id of a user or a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The project that its use is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// And what this role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// And these verbs on kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
    /// The models that it may use; all when there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// How much at a time.
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// A login made it: it is forgotten soon after its end, and the oldest ones make room for new ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_login: bool,
    /// It was made for a token of an identity provider: what it makes ends with it at the latest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exchanged: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last used, some seconds late; absent when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
    /// What it uses now.
    pub usage: Use,
}

/// A token that was just made. This is the only time that it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecretToken {
    /// The token itself: send it as `Authorization: Bearer psk_…`.
    pub token: String,
    /// What is stored of it.
    #[serde(flatten)]
    pub stored: Token,
}
