//! What people say of a model, and how they want it served.
//!
//! In: the fields of a registration or of a change. Out: [`Card::check`] says all that is wrong. Bounded: every text, list
//! and document has an end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Capability, Parameters, Serving};
use crate::check::{Invalid, Problem};
use crate::name::Name;

/// The tag that always means the newest version, unless somebody has set it.
pub const LATEST: &str = "latest";

/// What people say of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// The project that it belongs to: who has a role within that may do with it what the role says, and it counts for the project's quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// What it is and what it is good for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Under which licence it may be used: an SPDX expression, or words.
    #[serde(skip_serializing_if = "String::is_empty", alias = "license")]
    pub licence: String,
    /// Free labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it can do; what its headers tell when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<BTreeSet<Capability>>,
    /// What it takes, as a JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// What it gives, as a JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// The longest context that is served, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_limit: Option<u32>,
    /// What a call gets where it says nothing itself.
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
    /// In place of the chat template in the file; Jinja.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// It should not be used any more, and this is what to use instead. Calls are still served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

const LONGEST_TEXT: usize = 64 << 10;
/// The kernel takes no longer argument (`MAX_ARG_STRLEN`), and leaves room for its zero.
const LONGEST_TEMPLATE: usize = (128 << 10) - 1;
const LONGEST_WORD: usize = 256;
const MOST_LABELS: usize = 64;
const LONGEST_TAG: usize = 128;

impl Card {
    /// Everything that is wrong with it.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut found = self.parameters.problems();
        let texts = [
            ("description", self.description.len(), LONGEST_TEXT),
            ("licence", self.licence.len(), LONGEST_WORD),
            ("chat_template", self.chat_template.as_ref().map_or(0, String::len), LONGEST_TEMPLATE),
            ("deprecated", self.deprecated.as_ref().map_or(0, String::len), LONGEST_WORD),
            ("input_schema", length(self.input_schema.as_ref()), LONGEST_TEXT),
            ("output_schema", length(self.output_schema.as_ref()), LONGEST_TEXT),
        ];
        for (field, length, most) in texts.into_iter().filter(|(_, length, most)| length > most) {
            found.push(problem(field, format!("{length} bytes are more than {most}"), "make it shorter, and put the rest behind a link"));
        }
        for (field, schema) in [("input_schema", &self.input_schema), ("output_schema", &self.output_schema)] {
            if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
                found.push(problem(field, "it is not an object".to_owned(), "write a JSON schema, such as {\"type\": \"object\"}"));
            }
        }
        if self.context_limit == Some(0) {
            found.push(problem("context_limit", "0 would serve nothing".to_owned(), "write a number of tokens, or leave it out"));
        }
        if self.deprecated.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().any(char::is_control)) {
            let hint = "say in one line what to use instead, or write null";
            found.push(problem("deprecated", "it is empty, or more than one line".to_owned(), hint));
        }
        found.extend(self.labels_problem());
        Invalid::from_problems(found)
    }

    fn labels_problem(&self) -> Option<Problem> {
        if self.labels.len() > MOST_LABELS {
            let what = format!("{} labels are more than {MOST_LABELS}", self.labels.len());
            return Some(problem("labels", what, "keep those that people search by"));
        }
        let word = |text: &str| text.len() <= LONGEST_WORD && !text.chars().any(|c| c.is_control() || c == ',');
        let key = |text: &str| !text.is_empty() && word(text) && !text.contains('=');
        let (bad, _) = self.labels.iter().find(|(name, value)| !key(name) || !word(value))?;
        let hint = "a key has no `=` and no comma, a value no comma; both are one line of at most 256 bytes";
        Some(problem("labels", format!("`{}` cannot be a label", bad.escape_default()), hint))
    }

    /// How it wants its versions served.
    pub fn serving(&self) -> Serving {
        Serving { parameters: self.parameters.clone(), chat_template: self.chat_template.clone(), context_limit: self.context_limit }
    }
}

fn length(schema: Option<&Value>) -> usize {
    schema.map_or(0, |schema| schema.to_string().len())
}

fn problem(field: &str, what: String, hint: &str) -> Problem {
    Problem { field: field.to_owned(), what, hint: hint.to_owned() }
}

/// What whoever uses a deprecated model is told, as the value of a `Warning` header (RFC 7234, 5.5.7): one that lasts, by nobody who
/// is named.
pub fn warning(model: &Name, why: &str) -> String {
    let words = format!("the model `{model}` is deprecated: {why}");
    let mut text = "299 - \"".to_owned();
    for c in words.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// Why a text cannot be a tag. It stands behind the last `:` of a model's name, so it has no `:`, `/` or `@` itself.
pub fn tag_problem(tag: &str) -> Option<Invalid> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = tag.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let hint = "use letters, digits and . _ - ; begin with a letter or digit; at most 128 characters";
    (!begins || tag.len() > LONGEST_TAG || !tag.chars().all(fits))
        .then(|| Invalid::one("tag", format!("`{}` cannot be a tag", tag.escape_default()), hint))
}
