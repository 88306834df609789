//! What is said of a model, as words of the command line.
//!
//! In: words; files with schemas and templates. Out: a change of a model's card, as the API takes it. Fails: on words that are no
//! KEY=VALUE, no number, no JSON.

use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;

/// What is said of a model. What is not said stays; `none` takes it away.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Card {
    /// The project that it belongs to
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// What it is and what it is good for
    #[arg(long, value_name = "WORDS")]
    description: Option<String>,
    /// Under which licence it may be used
    #[arg(long, value_name = "WORDS")]
    licence: Option<String>,
    /// A label: KEY=VALUE, or KEY= to take it away; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// What it can do, in place of what its headers tell; with commas between
    #[arg(long, value_name = "WHAT")]
    capabilities: Option<String>,
    /// A file with the JSON schema of what it takes
    #[arg(long, value_name = "FILE")]
    input_schema: Option<String>,
    /// A file with the JSON schema of what it gives
    #[arg(long, value_name = "FILE")]
    output_schema: Option<String>,
    /// The longest context that is served, in tokens
    #[arg(long, value_name = "TOKENS")]
    context_limit: Option<String>,
    /// What a call gets where it says nothing: temperature=0.7, top_p, top_k, min_p, seed, max_tokens, ...; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
    /// A file with the chat template that stands for the one of the model
    #[arg(long, value_name = "FILE")]
    chat_template: Option<String>,
    /// It should not be used any more: what to use instead
    #[arg(long, value_name = "WORDS")]
    deprecated: Option<String>,
}

impl Card {
    /// As a change of a model has it.
    pub(super) fn patch(&self) -> Result<Map<String, Value>, Failure> {
        let or_none = |text: &String| if text == "none" { Value::Null } else { json!(text) };
        let mut card = Map::new();
        let texts =
            [("project", &self.project), ("description", &self.description), ("licence", &self.licence), ("deprecated", &self.deprecated)];
        card.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), or_none(text.as_ref()?)))));
        if let Some(what) = &self.capabilities {
            let all: Vec<&str> = what.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
            card.insert("capabilities".to_owned(), if what == "none" { Value::Null } else { json!(all) });
        }
        if let Some(limit) = &self.context_limit {
            card.insert("context_limit".to_owned(), number(limit)?);
        }
        for (key, file, is_json) in [
            ("input_schema", &self.input_schema, true),
            ("output_schema", &self.output_schema, true),
            ("chat_template", &self.chat_template, false),
        ] {
            if let Some(file) = file {
                card.insert(key.to_owned(), if file == "none" { Value::Null } else { of_file(file, is_json)? });
            }
        }
        for (key, all) in [("labels", &self.label), ("parameters", &self.parameter)] {
            if !all.is_empty() {
                card.insert(key.to_owned(), Value::Object(given(all, key == "parameters")?));
            }
        }
        Ok(card)
    }
}

/// `KEY=VALUE` each; nothing behind the sign takes it away.
fn given(all: &[String], numbers: bool) -> Result<Map<String, Value>, Failure> {
    let one = |text: &String| {
        let misused =
            || Failure::Misused { what: format!("`{text}` is not KEY=VALUE"), hint: "write KEY=VALUE, or KEY= to take it away".to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(misused)?;
        let value = match value {
            "" => Value::Null,
            value if numbers => number(value)?,
            value => json!(value),
        };
        Ok((key.to_owned(), value))
    };
    all.iter().map(one).collect()
}

fn number(text: &str) -> Result<Value, Failure> {
    let misused = |_| Failure::Misused { what: format!("`{text}` is not a number"), hint: "write a number, or none".to_owned() };
    if text == "none" { Ok(Value::Null) } else { serde_json::from_str::<serde_json::Number>(text).map(Value::Number).map_err(misused) }
}

fn of_file(file: &str, is_json: bool) -> Result<Value, Failure> {
    let words = std::fs::read_to_string(file).map_err(Failure::io(format!("{file} cannot be read")))?;
    let misused = |error| Failure::Misused { what: format!("{file} is not JSON: {error}"), hint: "write a JSON schema".to_owned() };
    if is_json { serde_json::from_str(&words).map_err(misused) } else { Ok(json!(words)) }
}
