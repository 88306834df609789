//! What was used: `usage`.

use std::str::FromStr;

use base::Timestamp;
use base::clock::human;
use clap::Args;
use serde_json::Value;
use spec::Usd;

use super::http::{Server, segment};
use super::look::items;
use super::out::{answer, columns, note, print, text};
use super::{Failure, Output};

/// Which calls, and by what they are summed.
#[derive(Debug, Args)]
pub struct Words {
    /// By what: day, hour, model, deployment, token, project, operation, ending
    #[arg(long, value_name = "WHAT,...", default_value = "model", value_delimiter = ',')]
    by: Vec<String>,
    /// From then on: 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 24h, 30d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    from: When,
    /// Before then; until now when not given
    #[arg(long, value_name = "TIME")]
    to: Option<When>,
}

/// A time, as the server understands it.
#[derive(Debug, Clone)]
struct When(String);

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_time = text.parse::<Timestamp>().is_ok() || format!("{text}T00:00:00Z").parse::<Timestamp>().is_ok();
        if is_time {
            return Ok(Self(text.to_owned()));
        }
        let ago = human::parse(text).and_then(|ago| i64::try_from(ago.as_millis()).ok());
        let then = ago.map(|ago| Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(ago)));
        then.map(|then| Self(then.to_string()))
            .ok_or_else(|| "write 2026-01-31, 2026-01-31T12:00:00Z, or 24h, 30d for so long ago".to_owned())
    }
}

pub(crate) fn usage(server: &Server, words: &Words, output: Output) -> Result<(), Failure> {
    let mut query = format!("/api/v1/usage?group_by={}&from={}", segment(&words.by.join(",")), segment(&words.from.0));
    if let Some(to) = &words.to {
        query = format!("{query}&to={}", segment(&to.0));
    }
    if output == Output::Csv {
        return print(&server.text(&format!("{query}&format=csv"))?);
    }
    let sums = server.get(&query)?;
    if output == Output::Table && items(&sums).next().is_none() {
        note("nobody has called in that time; --from 30d looks further back");
    }
    answer(output, &sums, |sums| usage_table(sums, &words.by))
}

/// A column for each group, then the sums that people look at.
pub(super) fn usage_table(sums: &Value, by: &[String]) -> String {
    const SUMS: [(&str, &str); 5] = [
        ("CALLS", "calls"),
        ("COMPLETED", "completed"),
        ("TOKENS IN", "prompt_tokens"),
        ("CACHED", "cached_tokens"),
        ("TOKENS OUT", "completion_tokens"),
    ];
    let groups: Vec<&str> = by.iter().map(|group| group.trim()).filter(|group| !group.is_empty()).collect();
    let headings =
        groups.iter().map(|group| group.to_uppercase()).chain(SUMS.map(|(heading, _)| heading.to_owned())).chain(["COST USD".to_owned()]);
    let rows = items(sums).map(|sum| {
        let keys = groups.iter().map(|group| key(sum, group));
        keys.chain(SUMS.map(|(_, field)| text(&sum[field]))).chain([cost(&sum["cost_usd"])]).collect::<Vec<_>>()
    });
    columns(headings.collect::<Vec<_>>(), rows)
}

fn cost(usd: &Value) -> String {
    serde_json::from_value::<Usd>(usd.clone()).map(|usd| usd.to_string()).unwrap_or_default()
}

fn key(sum: &Value, group: &str) -> String {
    let named = if group == "token" { &sum["token_name"] } else { &Value::Null };
    let key = if named.is_null() { &sum[group] } else { named };
    if key.is_null() { "-".to_owned() } else { text(key) }
}
