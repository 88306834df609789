//! What the person sees: tables, JSON, YAML, complaints.

use std::borrow::Cow;
use std::error::Error as _;
use std::io::{self, IsTerminal as _, Write as _};

use base::Timestamp;
use comfy_table::TableStyle;
use comfy_table::{Row, Table};
use serde_json::Value;

use super::{Failure, Output};

/// Writes to standard output, at once.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::io("standard output cannot be written"))
}

/// One line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// What a model or an engine wrote: a terminal gets no more of it than text, a file or a pipe all of it.
pub(crate) fn foreign(text: &str) -> Result<(), Failure> {
    print(&if io::stdout().is_terminal() { plain(text) } else { Cow::Borrowed(text) })
}

/// Without what a terminal would obey, such as a colour, a title, or a way back over what stands there.
fn plain(text: &str) -> Cow<'_, str> {
    let is_obeyed = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if text.contains(is_obeyed) { Cow::Owned(text.replace(is_obeyed, "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// A text of the answer as a cell, which has one line.
pub(crate) fn cell(text: &str) -> String {
    text.replace('\n', " ")
}

/// One line beside the output.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}"); // nobody reads it: fine
}

/// What went wrong, and what to do.
pub(crate) fn complain(failure: &Failure) {
    let mut text = format!("error: {failure}");
    let mut source = failure.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    note(&plain(&text));
    if let Some(hint) = failure.hint() {
        note(&plain(&format!("hint:  {hint}")));
    }
}

/// The answer as it is, or as rows for people.
pub(crate) fn answer(output: Output, value: &Value, people: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    match output {
        Output::Table => print(&people(value)),
        Output::Json => line(&serde_json::to_string_pretty(value).map_err(|error| Failure::Broken(error.into()))?),
        Output::Csv => Err(no_csv()),
        Output::Yaml => print(&serde_saphyr::to_string(value).map_err(|error| Failure::Broken(error.into()))?),
    }
}

/// For what is no table of numbers.
pub(crate) fn no_csv() -> Failure {
    let what = "only `penstock usage` is printed as csv".to_owned();
    Failure::Misused { what, hint: "use -o table, -o json or -o yaml".to_owned() }
}

/// Rows under headings, without borders.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    columns(headings, rows.into_iter().map(|row| row.map(|text| cell(&text))))
}

/// The same where the columns are only known when it is asked for.
pub(crate) fn columns<R: Into<Row>>(headings: impl Into<Row>, rows: impl IntoIterator<Item = R>) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Pairs of a name and a value.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let row = |(name, value): &(&str, String)| format!("{name:<width$}{}\n", value.replace('\n', &format!("\n{:width$}", "")));
    rows.iter().filter(|(_, value)| !value.is_empty()).map(row).collect::<Vec<_>>().concat()
}

/// A text of the answer; empty when it is not there.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text).into_owned(),
        other => other.to_string(),
    }
}

/// Bytes for people.
pub(crate) fn size(value: &Value) -> String {
    value.as_u64().filter(|bytes| *bytes > 0).map(|bytes| base::ByteSize(bytes).to_string()).unwrap_or_default()
}

/// A large number for people: `869.5 K`.
pub(crate) fn count(value: &Value) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "B"), (1_000_000, "M"), (1000, "K")];
    let Some(number) = value.as_u64().filter(|number| *number > 0) else { return String::new() };
    match UNITS.iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", number / size, number % size * 10 / size),
        None => number.to_string(),
    }
}

/// How long ago, in one unit: `3m`.
pub(crate) fn age(value: &Value, now: Timestamp) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(then) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return String::new() };
    let seconds = now.since(then).as_secs();
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length).unwrap_or(&UNITS[3]);
    format!("{}{}", seconds / unit.0, unit.1)
}
