//! The table that `tidy` goes by: `xtask/tidy.toml`.
//!
//! In: the file. Out: limits, rooms with their levels, quarantine, words, exceptions. Fails: on an
//! unknown key or a wrong type, with the line. Its own sense is checked too: an edge that it allows
//! must go down.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Finding;

/// Where the table stands, below the root.
pub(super) const TABLE: &str = "xtask/tidy.toml";
/// In place of a room's name: the dev-dependencies of any room.
pub(super) const TESTS: &str = "tests";
/// In `uses`: every room below, but for those that are kept for someone else.
const ALL: &str = "*";

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// Folder names that are not looked into.
    #[serde(default)]
    pub(super) skip: Vec<String>,
    pub(super) limits: Limits,
    pub(super) rooms: BTreeMap<String, Room>,
    /// A heavy dependency and the rooms that may have it.
    #[serde(default)]
    pub(super) quarantine: BTreeMap<String, Vec<String>>,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) words: Vec<Word>,
    #[serde(default)]
    pub(super) allow: Vec<Allow>,
    /// The text itself, to find lines in.
    #[serde(skip)]
    text: String,
}

/// Where sizes stop, in lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) file: usize,
    pub(super) function: usize,
    pub(super) room: usize,
}

/// One of our crates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Room {
    pub(super) level: u8,
    pub(super) uses: Vec<String>,
    /// Rooms that its tests use besides.
    #[serde(default)]
    pub(super) tests_use: Vec<String>,
    /// When set, nobody else may use it.
    pub(super) only_for: Option<Vec<String>>,
}

/// Where HTTP statuses of errors may be named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    pub(super) files: Vec<String>,
}

/// A text that must not stand in the tree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) place: Place,
    /// What to do instead.
    pub(super) instead: String,
}

/// Where a word is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// In Rust, outside comments and strings.
    Code,
    /// In every text file.
    Anywhere,
}

/// An exception.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    pub(super) check: String,
    /// `path`, or `path:item`.
    pub(super) at: String,
    pub(super) reason: String,
}

impl Table {
    /// Reads the table of a tree.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let path = root.join(TABLE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table: Self = toml::from_str(&text).with_context(|| format!("{TABLE} is not a table of tidy"))?;
        table.text = text;
        Ok(table)
    }

    /// A finding in the table itself, on the first line that holds `near`.
    pub(super) fn finding(&self, near: &str, what: String, advice: String) -> Finding {
        let line = self.text.lines().position(|line| line.contains(near)).map_or(1, |index| index + 1);
        Finding { path: TABLE.to_owned(), line, check: "table", item: None, what, advice }
    }

    /// May `user`, or only its tests, have an edge to the room `used`?
    pub(super) fn lists(&self, user: &Room, used: &str, for_tests: bool) -> bool {
        if for_tests && user.tests_use.iter().any(|name| name == used) {
            return true;
        }
        let open_to_all = self.rooms.get(used).is_some_and(|room| room.only_for.is_none());
        user.uses.iter().any(|name| name == used || (name == ALL && open_to_all))
    }

    /// May this file name the statuses of errors? A module's own submodules may, too.
    pub(super) fn names_statuses(&self, path: &str) -> bool {
        let below = |module: &str| path.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'));
        self.status.files.iter().any(|file| file == path || file.strip_suffix(".rs").is_some_and(below))
    }

    /// Where the table contradicts itself.
    pub(super) fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for (name, room) in &self.rooms {
            for used in room.uses.iter().chain(&room.tests_use).filter(|used| *used != ALL) {
                match self.rooms.get(used) {
                    None => found.push(self.finding(
                        &format!("{name} ="),
                        format!("room `{name}` may use `{used}`, which is no room"),
                        "correct the name or add the room".to_owned(),
                    )),
                    Some(below) if below.level >= room.level => found.push(self.finding(
                        &format!("{name} ="),
                        format!("room `{name}` (level {}) may use `{used}` (level {})", room.level, below.level),
                        "an edge goes to a strictly lower level: move what is shared down, or turn the edge round".to_owned(),
                    )),
                    Some(_) => {}
                }
            }
        }
        for allow in self.allow.iter().filter(|allow| allow.reason.trim().is_empty()) {
            found.push(self.finding(&allow.at, format!("exception at {} has no reason", allow.at), "say why".to_owned()));
        }
        found
    }
}
