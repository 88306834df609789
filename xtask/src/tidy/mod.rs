//! Checks what the compiler does not, by the table in `xtask/tidy.toml`.
//!
//! In: the tree. Out: nothing, or findings, each as `path:line: what; what to do`. Fails: when the
//! tree or the table cannot be read. The checks, in the order in which a change meets them: members
//! and edges between our crates, quarantine of heavy dependencies, sizes, docs, words. An exception
//! is one line of the table with its reason, and is itself a finding once nothing needs it.

mod edges;
mod size;
mod words;

mod house;

mod code;
mod table;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use self::house::House;
use self::table::{TABLE, Table};
use crate::say;
use crate::site::Site;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Below the root, with slashes.
    path: String,
    /// From 1.
    line: usize,
    /// Which check found it, as exceptions name it.
    check: &'static str,
    /// The thing within the file that an exception names, such as a function.
    item: Option<String>,
    what: String,
    advice: String,
}

impl Finding {
    /// How an exception names the place: `path`, or `path:item`.
    fn place(&self) -> String {
        match &self.item {
            Some(item) => format!("{}:{item}", self.path),
            None => self.path.clone(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]; {}", self.path, self.line, self.what, self.check, self.advice)
    }
}

/// Prints the findings of the tree; red if there are any.
pub(crate) fn run(site: &Site) -> Result<ExitCode> {
    let findings = findings(&site.root)?;
    for finding in &findings {
        say::result(&finding.to_string());
    }
    if findings.is_empty() {
        say::note("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    say::line(&format!("error: {} findings; an exception is one line in {TABLE} with its reason", findings.len()));
    Ok(ExitCode::FAILURE)
}

/// All findings of a tree, in order of path and line.
pub(crate) fn findings(root: &Path) -> Result<Vec<Finding>> {
    let table = Table::read(root)?;
    let house = House::read(root, &table)?;
    let mut found = table.check();
    edges::check(&house, &table, &mut found);
    size::check(&house, &table, &mut found);
    words::check(&house, &table, &mut found);
    let mut found = except(found, &table);
    found.sort();
    Ok(found)
}

/// Takes out what the table excuses; an excuse that nothing needed becomes a finding.
fn except(found: Vec<Finding>, table: &Table) -> Vec<Finding> {
    let excuses = |finding: &Finding| {
        let place = finding.place();
        table.allow.iter().position(|allow| allow.check == finding.check && allow.at == place)
    };
    let mut needed = vec![false; table.allow.len()];
    let mut left = Vec::new();
    for finding in found {
        match excuses(&finding) {
            Some(index) => needed[index] = true,
            None => left.push(finding),
        }
    }
    let idle = table.allow.iter().zip(needed).filter(|(_, needed)| !needed);
    left.extend(idle.map(|(allow, _)| {
        table.finding(&allow.at, format!("exception `{}` at {} is no longer needed", allow.check, allow.at), "remove its line".to_owned())
    }));
    left
}

#[cfg(test)]
mod tests;
