//! What this process was born with: its variables, its folders, its own program.
//!
//! In: the process's environment, read once. Out: [`Environment`], a value; nothing else of
//! Penstock reads the environment. Variables of ours that nobody knows are refused, so that a slip
//! of the pen is not silently a default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base::Secret;

use super::keys::Key;
use super::problem::Problem;
use super::tree::{Node, Origin, Value};
use super::types::AccessLog;

/// The variables, and where we are.
#[derive(Clone, Default)]
pub struct Environment {
    /// All variables.
    pub variables: BTreeMap<String, OsString>,
    /// The working folder.
    pub folder: PathBuf,
    /// This very program.
    pub own: PathBuf,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The variables hold secrets.
        f.debug_struct("Environment").field("folder", &self.folder).field("own", &self.own).finish_non_exhaustive()
    }
}

const OURS: &str = "PENSTOCK_";
/// Variables of ours that are not keys of the config.
const OTHERS: [&str; 9] = [
    "PENSTOCK_CACERT",
    "PENSTOCK_MASTER_KEY",
    "PENSTOCK_MASTER_KEY_FILE",
    "PENSTOCK_ADMIN_TOKEN",
    "PENSTOCK_CACHE",
    "PENSTOCK_CONFIG",
    "PENSTOCK_LLAMA_SERVER",
    "PENSTOCK_TOKEN",
    "PENSTOCK_URL",
];
/// Beginnings of names that belong to tests and builds.
const NOT_OURS: [&str; 2] = ["PENSTOCK_TEST_", "PENSTOCK_BUNDLE_"];

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        Self { variables, folder, own }
    }

    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }

    /// A variable that holds a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// A variable that holds a secret.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(|text| Secret::new(text.trim()))
    }

    /// The user's home.
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME").filter(|home| home.is_absolute())
    }

    /// The folder for data when nothing else is said.
    pub fn data_dir(&self) -> PathBuf {
        self.below("XDG_DATA_HOME", ".local/share").unwrap_or_else(|| self.folder.join("penstock-data"))
    }

    /// The folder of the user's own settings.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.below("XDG_CONFIG_HOME", ".config")
    }

    /// Where the config is looked for, best first.
    pub fn config_files(&self) -> Vec<PathBuf> {
        let user = self.below("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("penstock.yaml"));
        [Some(self.folder.join("penstock.yaml")), user].into_iter().flatten().collect()
    }

    /// The folder for what can be had again.
    pub fn cache_dir(&self) -> PathBuf {
        let own = self.path("PENSTOCK_CACHE").or_else(|| self.below("XDG_CACHE_HOME", ".cache"));
        own.unwrap_or_else(|| std::env::temp_dir().join("penstock"))
    }

    /// The folders to look for programs in: the `PATH`, and then the cache where developers' builds
    /// find the engine that releases carry.
    pub fn program_path(&self) -> Option<OsString> {
        let path = self.variables.get("PATH");
        let mut folders: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
        let mut built: Vec<PathBuf> =
            std::fs::read_dir(self.cache_dir().join("engines")).into_iter().flatten().flatten().map(|e| e.path()).collect();
        built.sort();
        folders.extend(built.into_iter().rev());
        std::env::join_paths(folders).ok()
    }

    /// The absolute path, without detours; `~` is the user's home.
    pub(crate) fn absolute(&self, path: &Path, base: &Path) -> PathBuf {
        let whole = match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => base.join(path),
        };
        std::path::absolute(&whole).unwrap_or(whole)
    }

    /// Lays what the variables say over the tree, and says which of them nobody knows.
    pub(super) fn lay_over(&self, root: &mut Node, keys: &[Key]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for name in self.variables.keys().filter(|name| name.starts_with(OURS)) {
            if OTHERS.contains(&name.as_str()) || NOT_OURS.iter().any(|beginning| name.starts_with(beginning)) {
                continue;
            }
            let at = Origin::Variable(name.clone());
            let Some(key) = keys.iter().find(|key| key.variable() == *name) else {
                problems.push(unknown(name, at, keys));
                continue;
            };
            if let Some(text) = self.get(name) {
                match word(key, text, at, &self.folder) {
                    Ok(node) => root.set(&key.steps(), node),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        problems
    }

    fn below(&self, variable: &str, usual: &str) -> Option<PathBuf> {
        let base = self.path(variable).filter(|path| path.is_absolute()).or_else(|| Some(self.home()?.join(usual)));
        base.map(|base| base.join("penstock"))
    }
}

fn unknown(name: &str, at: Origin, keys: &[Key]) -> Problem {
    let known: Vec<String> = keys.iter().map(Key::variable).chain(OTHERS.map(str::to_owned)).collect();
    let hint = match spec::suggest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "unset it; `penstock config reference` lists those that there are".to_owned(),
    };
    Problem::new(at, "there is no such setting", hint)
}

/// What a variable or a flag says. Its relative paths count from the working folder.
pub(super) fn word(key: &Key, text: &str, at: Origin, folder: &Path) -> Result<Node, Problem> {
    use super::keys::Kind;
    match key.kind {
        Kind::Deployments | Kind::Routes | Kind::Webhooks | Kind::Providers => super::read::yaml(&key.variable().into(), text),
        Kind::Place if !AccessLog::is_path(text) => Ok(Node { at, value: Value::Word(text.to_owned()) }),
        Kind::Path | Kind::Place if !text.starts_with('~') => {
            Ok(Node { at, value: Value::Text(folder.join(text).to_string_lossy().into_owned()) })
        }
        _ => Ok(Node { at, value: Value::Word(text.to_owned()) }),
    }
}
