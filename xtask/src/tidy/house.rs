//! The tree as `tidy` sees it: crates with their manifests, and text files.
//!
//! In: a root folder. Out: values; everything after this is pure. Fails: when a folder, a manifest
//! or a file cannot be read. Links are not followed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::code::Code;
use super::table::{TABLE, Table};

/// Files with these endings are text that we wrote.
const TEXT_ENDINGS: [&str; 16] =
    ["rs", "toml", "md", "yaml", "yml", "sh", "py", "proto", "json", "html", "css", "js", "ts", "tsx", "sql", "service"];
/// Hidden folders that are part of the tree.
const KNOWN_HIDDEN: [&str; 3] = [".ci", ".cargo", ".github"];

/// The tree.
#[derive(Debug)]
pub(super) struct House {
    /// The workspace's own manifest.
    pub(super) workspace: Manifest,
    pub(super) rooms: Vec<Member>,
    pub(super) files: Vec<File>,
}

/// A manifest, both as text and as read.
#[derive(Debug)]
pub(super) struct Manifest {
    /// Below the root.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) toml: toml::Table,
}

/// One crate.
#[derive(Debug)]
pub(super) struct Member {
    /// Its folder below the root, such as `crates/base`.
    pub(super) folder: String,
    pub(super) manifest: Manifest,
}

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Below the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// The same without comments and strings, for Rust.
    pub(super) code: Option<Code>,
}

impl House {
    /// Reads all of it.
    pub(super) fn read(root: &Path, table: &Table) -> Result<Self> {
        let workspace = Manifest::read(root, "Cargo.toml")?;
        let mut rooms = Vec::new();
        for folder in members(root, &workspace.toml)? {
            let manifest = Manifest::read(root, &format!("{folder}/Cargo.toml"))?;
            rooms.push(Member { folder, manifest });
        }
        let mut files = Vec::new();
        walk(root, "", table, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { workspace, rooms, files })
    }

    /// The Rust files, with their code.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Code)> {
        self.files.iter().filter_map(|file| Some((file, file.code.as_ref()?)))
    }
}

impl Manifest {
    fn read(root: &Path, path: &str) -> Result<Self> {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let toml = text.parse().with_context(|| format!("{path} is not TOML"))?;
        Ok(Self { path: path.to_owned(), text, toml })
    }

    /// The first line that sets `key`, from 1.
    pub(super) fn line_of(&self, key: &str) -> usize {
        let sets = |line: &str| {
            let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
            rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=', '"']))
        };
        self.text.lines().position(sets).map_or(1, |index| index + 1)
    }
}

impl File {
    /// True for tests and benchmarks, which sizes do not count.
    pub(super) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
    }
}

/// The member folders, with `x/*` spelled out.
fn members(root: &Path, workspace: &toml::Table) -> Result<Vec<String>> {
    let listed = workspace.get("workspace").and_then(|w| w.get("members")).and_then(toml::Value::as_array);
    let listed = listed.context("Cargo.toml has no workspace.members")?;
    let mut folders = Vec::new();
    for member in listed.iter().filter_map(toml::Value::as_str) {
        let Some(parent) = member.strip_suffix("/*") else {
            folders.push(member.to_owned());
            continue;
        };
        for name in names_in(&root.join(parent))? {
            if root.join(parent).join(&name).join("Cargo.toml").is_file() {
                folders.push(format!("{parent}/{name}"));
            }
        }
    }
    Ok(folders)
}

fn walk(root: &Path, below: &str, table: &Table, files: &mut Vec<File>) -> Result<()> {
    for name in names_in(&root.join(below))? {
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let hidden = name.starts_with('.') && !KNOWN_HIDDEN.contains(&name.as_str());
        if hidden || table.skip.contains(&name) || table.skip.contains(&path) {
            continue;
        }
        let full = root.join(&path);
        let kind = full.symlink_metadata().with_context(|| format!("cannot look at {path}"))?;
        if kind.is_dir() {
            walk(root, &path, table, files)?;
        } else if kind.is_file() && is_ours(&path) {
            let text = fs::read_to_string(&full).with_context(|| format!("cannot read {path} as text"))?;
            let code = (ending(&path) == Some("rs")).then(|| Code::scan(&text));
            files.push(File { path, text, code });
        }
    }
    Ok(())
}

/// The table names the very words that it forbids, so it is not looked into.
fn is_ours(path: &str) -> bool {
    path != TABLE && (path.starts_with(".ci/") || ending(path).is_some_and(|ending| TEXT_ENDINGS.contains(&ending)))
}

fn ending(path: &str) -> Option<&str> {
    Path::new(path).extension()?.to_str()
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
