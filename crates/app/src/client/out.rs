//! What the person sees: tables, JSON, YAML, complaints.

use std::error::Error as _;
use std::io::{self, Write as _};

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
    note(&text);
    if let Some(hint) = failure.hint() {
        note(&format!("hint:  {hint}"));
    }
}

/// The answer as it is, or as rows for people.
pub(crate) fn answer(output: Output, value: &Value, people: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    match output {
        Output::Table => print(&people(value)),
        Output::Json => line(&serde_json::to_string_pretty(value).map_err(|error| Failure::Broken(error.into()))?),
        Output::Csv => Err(Failure::Misused {
            what: "only `penstock usage` is printed as csv".to_owned(),
            hint: "use -o table, -o json or -o yaml".to_owned(),
        }),
        Output::Yaml => print(&serde_saphyr::to_string(value).map_err(|error| Failure::Broken(error.into()))?),
    }
}

/// Rows under headings, without borders.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    columns(headings, rows)
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
    rows.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<width$}{value}\n")).collect::<Vec<_>>().concat()
}

/// A text of the answer; empty when it is not there.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
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
