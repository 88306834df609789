//! How much somebody may use, as flags: for tokens and for projects.
//!
//! In: `--rpm 60 --budget-usd-per-month 12.50`; `none` takes a limit away. Out: `limits` and `budget` as the
//! API takes them, on top of those that there are; words for a table. Fails: on what is no number.

use clap::Args;
use serde_json::{Map, Value, json};

use super::out::text;

/// Limits and budgets.
#[derive(Debug, Clone, Default, Args)]
pub struct Allowance {
    /// Calls a minute
    #[arg(long, value_name = "CALLS", value_parser = number)]
    rpm: Option<Value>,
    /// Tokens a minute, in and out
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    tpm: Option<Value>,
    /// Calls at once
    #[arg(long, value_name = "CALLS", value_parser = number)]
    concurrency: Option<Value>,
    /// Tokens in an hour of the calendar (UTC), in and out
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    budget_tokens_per_hour: Option<Value>,
    /// Tokens in a day
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    budget_tokens_per_day: Option<Value>,
    /// Tokens in a month
    #[arg(long, value_name = "TOKENS", value_parser = number)]
    budget_tokens_per_month: Option<Value>,
    /// Money in an hour, by the prices of the deployments
    #[arg(long, value_name = "USD", value_parser = money)]
    budget_usd_per_hour: Option<Value>,
    /// Money in a day
    #[arg(long, value_name = "USD", value_parser = money)]
    budget_usd_per_day: Option<Value>,
    /// Money in a month
    #[arg(long, value_name = "USD", value_parser = money)]
    budget_usd_per_month: Option<Value>,
}

/// The word for no limit.
const NONE: &str = "none";

pub(super) fn number(word: &str) -> Result<Value, String> {
    if word == NONE {
        return Ok(Value::Null);
    }
    word.parse::<u64>().ok().map(Value::from).ok_or_else(|| "write a whole number, or none".to_owned())
}

fn money(word: &str) -> Result<Value, String> {
    if word == NONE {
        return Ok(Value::Null);
    }
    word.parse::<spec::Usd>().ok().map(|usd| json!(usd)).ok_or_else(|| "write an amount such as 50 or 12.50, or none".to_owned())
}

impl Allowance {
    /// `limits` and `budget`, each only if something is said of it, on top of those that there are.
    pub(super) fn onto(&self, stored: &Value) -> Map<String, Value> {
        let limits = [("requests_per_minute", &self.rpm), ("tokens_per_minute", &self.tpm), ("concurrency", &self.concurrency)];
        let budget = [
            ("tokens_per_hour", &self.budget_tokens_per_hour),
            ("tokens_per_day", &self.budget_tokens_per_day),
            ("tokens_per_month", &self.budget_tokens_per_month),
            ("usd_per_hour", &self.budget_usd_per_hour),
            ("usd_per_day", &self.budget_usd_per_day),
            ("usd_per_month", &self.budget_usd_per_month),
        ];
        let mut said = Map::new();
        said.extend(changed(&stored["limits"], &limits).map(|limits| ("limits".to_owned(), limits)));
        said.extend(changed(&stored["budget"], &budget).map(|budget| ("budget".to_owned(), budget)));
        said
    }
}

fn changed(stored: &Value, flags: &[(&str, &Option<Value>)]) -> Option<Value> {
    let mut all = stored.as_object().cloned().unwrap_or_default();
    let said: Vec<_> = flags.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?))).collect();
    for (key, value) in &said {
        if value.is_null() {
            all.shift_remove(*key);
        } else {
            all.insert((*key).to_owned(), (*value).clone());
        }
    }
    (!said.is_empty()).then_some(Value::Object(all))
}

/// `60 calls/min, 2 at once`
pub(super) fn limits(limits: &Value) -> String {
    let all = [("requests_per_minute", "calls/min"), ("tokens_per_minute", "tokens/min"), ("concurrency", "at once")];
    let set = all.iter().filter_map(|(key, unit)| Some(format!("{} {unit}", limits[*key].as_u64()?)));
    set.collect::<Vec<_>>().join(", ")
}

/// `1000 tokens/day, 12.5 USD/month`
pub(super) fn budget(budget: &Value) -> String {
    let set = budget.as_object().into_iter().flatten().filter_map(|(key, limit)| {
        let (coin, period) = key.split_once("_per_")?;
        Some(format!("{} {}/{period}", text(limit), if coin == "usd" { "USD" } else { coin }))
    });
    set.collect::<Vec<_>>().join(", ")
}

/// `990 of 1000 tokens/day`, for each budget: what is spent and set aside.
pub(super) fn spent(budget: &Value) -> String {
    let set = budget.as_object().into_iter().flatten().filter_map(|(key, quota)| {
        let (coin, period) = key.split_once("_per_")?;
        let gone = quota["spent"].as_f64()? + quota["reserved"].as_f64()?;
        Some(format!("{gone} of {} {}/{period}", text(&quota["limit"]), if coin == "usd" { "USD" } else { coin }))
    });
    set.collect::<Vec<_>>().join(", ")
}
