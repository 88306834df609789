//! What a call gets where it says nothing itself: temperature and the like.
//!
//! A caller's body is never changed, so these go to the engine as its own defaults.

use serde::{Deserialize, Serialize};

use crate::check::Problem;

/// Defaults of a call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// How freely the next token is chosen; 0 takes the likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that together have this share of the probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens; 0 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Only tokens that are at least this share as likely as the likeliest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Makes tokens less likely that were there lately; 1 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f64>,
    /// Makes tokens less likely that were there at all; 0 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Makes tokens less likely the more often they were there; 0 does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// The same seed makes the same choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// An answer ends after so many tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

impl Parameters {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each that is given, with the flag by which llama.cpp's programs take it.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let of = |value: Option<f64>| value.map(|value| value.to_string());
        [
            ("--temp", of(self.temperature)),
            ("--top-p", of(self.top_p)),
            ("--top-k", self.top_k.map(|value| value.to_string())),
            ("--min-p", of(self.min_p)),
            ("--repeat-penalty", of(self.repeat_penalty)),
            ("--presence-penalty", of(self.presence_penalty)),
            ("--frequency-penalty", of(self.frequency_penalty)),
            ("--seed", self.seed.map(|value| value.to_string())),
            ("--predict", self.max_tokens.map(|value| value.to_string())),
        ]
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?)))
        .collect()
    }

    /// Everything that is wrong with them.
    pub(super) fn problems(&self) -> Vec<Problem> {
        // As OpenAI's API has them, and llama.cpp where that has none.
        let ranges = [
            ("temperature", self.temperature, 0.0, 2.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 0.0, 10.0),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
        ];
        let mut found: Vec<Problem> = ranges
            .into_iter()
            .filter_map(|(name, value, least, most)| {
                let value = value.filter(|value| !(least..=most).contains(value))?;
                let what = format!("{value} is not between {least} and {most}");
                Some(Problem { field: format!("parameters.{name}"), what, hint: format!("write a number from {least} to {most}") })
            })
            .collect();
        if self.max_tokens == Some(0) {
            let hint = "write 1 or more, or leave it out for answers of any length".to_owned();
            found.push(Problem { field: "parameters.max_tokens".to_owned(), what: "0 would answer nothing".to_owned(), hint });
        }
        found
    }
}
