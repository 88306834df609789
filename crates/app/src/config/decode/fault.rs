//! What serde finds wrong, in words for people, with the place and the path of what is at fault.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::config::tree::{Origin, Step};

/// One fault.
#[derive(Debug, Default)]
pub(super) struct Fault {
    /// Innermost first.
    pub(super) steps: Vec<Step>,
    pub(super) at: Option<Origin>,
    pub(super) what: String,
    pub(super) hint: String,
    /// The key that is not there.
    pub(super) missing: Option<String>,
    /// The words name what is at fault already.
    pub(super) names_itself: bool,
    /// The keys that would have been known.
    #[cfg_attr(not(test), expect(dead_code, reason = "by this the tests see what serde knows"))]
    pub(super) known: &'static [&'static str],
}

impl Fault {
    /// The innermost place is the best.
    pub(super) fn at(mut self, at: Origin) -> Self {
        self.at.get_or_insert(at);
        self
    }
    /// One step further out.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(what: T) -> Self {
        let what = what.to_string();
        let what = if what.starts_with("data did not match") { "this is not of the right kind".to_owned() } else { what };
        // Our own types say what to write after a semicolon.
        match what.split_once("; ") {
            Some((what, hint)) => Self { what: what.to_owned(), hint: hint.to_owned(), ..Self::default() },
            None => Self { what, ..Self::default() },
        }
    }
    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let wanted = words(&wanted.to_string());
        Self { what: format!("{} stands where {wanted} is needed", shown(found)), ..Self::default() }
    }
    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let hint = near(field, known, "known here:");
        Self { what: format!("there is no key `{field}`"), hint, known, names_itself: true, ..Self::default() }
    }
    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        let hint = near(found, known, "write");
        Self { what: format!("`{found}` is not known"), hint, ..Self::default() }
    }
    fn missing_field(field: &'static str) -> Self {
        let what = format!("`{field}` is missing");
        Self { what, missing: Some(field.to_owned()), hint: format!("add {field}:"), ..Self::default() }
    }
}

/// What was meant, or what there is.
fn near(word: &str, known: &[&str], otherwise: &str) -> String {
    match spec::suggest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{otherwise} {}", known.join(", ")),
    }
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(yes) => format!("`{yes}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a group of keys".to_owned(),
        other => other.to_string(),
    }
}

/// What serde expects, for people who know no Rust.
fn words(wanted: &str) -> String {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "path string" => "a path".to_owned(),
        other if other.starts_with("struct ") || other == "a map" => "a group of keys".to_owned(),
        other if other.starts_with("enum ") => "one of a few words".to_owned(),
        other => other.to_owned(),
    }
}
