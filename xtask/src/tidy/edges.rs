//! Members are named after their folders, and use only what the table lets them.
//!
//! In: the manifests and the table. Out: findings at the line of the manifest. Three questions of
//! each dependency: is its version stated once, for the whole workspace; if it is ours, does the
//! edge stand in the table; if it is heavy, is this its room?

use super::Finding;
use super::house::{House, Manifest, Member};
use super::table::{TABLE, TESTS, Table};

/// One entry of a manifest's dependencies.
struct Dependency<'a> {
    name: &'a str,
    entry: &'a toml::Value,
    /// From `[dev-dependencies]`.
    for_tests: bool,
}

pub(super) fn check(house: &House, table: &Table, found: &mut Vec<Finding>) {
    for member in &house.rooms {
        check_member(member, house, found);
        check_uses(member, house, table, found);
    }
    for name in table.rooms.keys() {
        if !house.rooms.iter().any(|member| member.name() == name) {
            found.push(table.finding(&format!("{name} ="), format!("room `{name}` does not exist"), "remove its line".to_owned()));
        }
    }
    for name in table.quarantine.keys() {
        if lookup(&house.workspace.toml, &["workspace", "dependencies", name]).is_none() {
            let what = format!("`{name}` is in quarantine, but nobody has it");
            found.push(table.finding(&format!("{name} ="), what, "remove its line".to_owned()));
        }
    }
}

impl Member {
    fn name(&self) -> &str {
        lookup(&self.manifest.toml, &["package", "name"]).and_then(toml::Value::as_str).unwrap_or_default()
    }

    fn dependencies(&self) -> Vec<Dependency<'_>> {
        let toml = &self.manifest.toml;
        let platforms = toml.get("target").and_then(toml::Value::as_table);
        let platforms = platforms.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
        let mut found = Vec::new();
        for table in std::iter::once(toml).chain(platforms) {
            for (section, for_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
                let entries = table.get(section).and_then(toml::Value::as_table);
                let entries = entries.into_iter().flat_map(toml::Table::iter);
                found.extend(entries.map(|(name, entry)| Dependency { name, entry, for_tests }));
            }
        }
        found
    }
}

fn check_member(member: &Member, house: &House, found: &mut Vec<Finding>) {
    let folder = member.folder.rsplit('/').next().unwrap_or(&member.folder);
    let toml = &member.manifest.toml;
    if member.name() != folder {
        let what = format!("crate `{}` lies in folder `{folder}`", member.name());
        found.push(at(&member.manifest, "name", "member", what, "give both the same name"));
    }
    let inherited = lookup(toml, &["package", "publish", "workspace"]).and_then(toml::Value::as_bool) == Some(true);
    let publish =
        if inherited { lookup(&house.workspace.toml, &["workspace", "package", "publish"]) } else { lookup(toml, &["package", "publish"]) };
    if publish.and_then(toml::Value::as_bool) != Some(false) {
        let what = "could be published".to_owned();
        found.push(at(&member.manifest, "publish", "member", what, "write `publish.workspace = true`"));
    }
    if lookup(toml, &["lints", "workspace"]).and_then(toml::Value::as_bool) != Some(true) {
        let what = "does not take the workspace's lints".to_owned();
        found.push(at(&member.manifest, "[lints]", "member", what, "write `[lints]` and `workspace = true`"));
    }
}

fn check_uses(member: &Member, house: &House, table: &Table, found: &mut Vec<Finding>) {
    let manifest = &member.manifest;
    if !table.rooms.contains_key(member.name()) {
        let what = format!("room `{}` does not stand in {TABLE}", member.name());
        found.push(at(manifest, "name", "edge", what, "give it a level and the rooms that it may use"));
    }
    for dependency in member.dependencies() {
        let name = dependency.name;
        if dependency.entry.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
            let what = format!("states its own source or version of `{name}`");
            found.push(at(manifest, name, "version", what, "state it in the root Cargo.toml and write `.workspace = true` here"));
        }
        let real = lookup(&house.workspace.toml, &["workspace", "dependencies", name, "package"]);
        let real = real.and_then(toml::Value::as_str).unwrap_or(name);
        if table.rooms.contains_key(real) {
            check_edge(member, &dependency, real, table, found);
        } else if let Some(rooms) = table.quarantine.get(real)
            && !is_for(rooms, member, &dependency)
        {
            let what = format!("`{}` has `{real}`, which is kept to: {}", member.name(), rooms.join(", "));
            found.push(at(manifest, name, "quarantine", what, "do it through the room that has it"));
        }
    }
}

fn check_edge(member: &Member, dependency: &Dependency<'_>, used: &str, table: &Table, found: &mut Vec<Finding>) {
    let (Some(user), Some(room)) = (table.rooms.get(member.name()), table.rooms.get(used)) else { return };
    let manifest = &member.manifest;
    let for_tests_of_all = dependency.for_tests && room.only_for.as_ref().is_some_and(|only| only.iter().any(|who| who == TESTS));
    if for_tests_of_all {
        return; // Tests stand outside the house: cargo lets a dev-dependency go up.
    }
    if let Some(only) = &room.only_for
        && !is_for(only, member, dependency)
    {
        let what = format!("`{}` uses `{used}`, which is only for: {}", member.name(), only.join(", "));
        found.push(at(manifest, used, "edge", what, "move it to [dev-dependencies], or do without"));
    } else if !table.lists(user, used, dependency.for_tests) {
        let what = format!("edge `{}` -> `{used}` does not stand in {TABLE}", member.name());
        found.push(at(manifest, used, "edge", what, "move what is shared to a lower room, or discuss the edge"));
    } else if room.level >= user.level {
        let what = format!("edge `{}` (level {}) -> `{used}` (level {}) does not go down", member.name(), user.level, room.level);
        found.push(at(manifest, used, "edge", what, "move what is shared to a lower room"));
    }
}

/// Does the list name this room, or its tests?
fn is_for(list: &[String], member: &Member, dependency: &Dependency<'_>) -> bool {
    list.iter().any(|who| who == member.name() || (dependency.for_tests && who == TESTS))
}

fn at(manifest: &Manifest, key: &str, check: &'static str, what: String, advice: &str) -> Finding {
    let line = manifest.line_of(key);
    Finding { path: manifest.path.clone(), line, check, item: Some(key.to_owned()), what, advice: advice.to_owned() }
}

fn lookup<'a>(table: &'a toml::Table, path: &[&str]) -> Option<&'a toml::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}
