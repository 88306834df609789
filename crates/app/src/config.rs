//! What the server is told, from wherever it is told.
//!
//! Life of a setting: it is declared once ([`settings`], [`types`]) and so becomes a key with a flag
//! and a variable ([`keys`]); a file is read into a tree that remembers its lines ([`read`],
//! [`tree`]); what the environment ([`environment`]) and the flags say is laid over it; the tree
//! becomes the struct ([`decode`]), what does not go together is found ([`check`]), and all that is
//! wrong is said at once ([`Problems`]). [`mod@reference`] is the page about it all.
//!
//! Precedence: flag, then environment, then file, then default.

use std::path::{Path, PathBuf};

mod check;
mod decode;
mod environment;
mod keys;
mod problem;
mod read;
pub mod reference;
mod settings;
mod tree;
mod types;

pub use environment::Environment;
pub use keys::{Key, Kind, all as keys};
pub use problem::Problems;
pub use settings::{Auth, Config, Engines, Limits, Log, Memory, Otlp, Outbound, Program, Responses, Tls, Usage};
pub use types::{AccessLog, Format, Level, Listen, Mode, Placement};

use problem::Problem;
use tree::{Node, Origin};

/// What `serve` was given on its command line: keys and their values.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The file of `--config`.
    pub config: Option<PathBuf>,
    /// Path of a key and what was said.
    pub values: Vec<(String, String)>,
}

/// A config, and where it came from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is set.
    pub config: Config,
    /// The file, if there was one.
    pub file: Option<PathBuf>,
    /// Relative paths of models count from here: the folder of the file, else the working folder.
    pub base_dir: PathBuf,
    /// What the process was born with.
    pub environment: Environment,
}

impl Settings {
    /// Settings made by hand; paths count from the working folder.
    pub fn new(config: Config, environment: Environment) -> Self {
        Self { config, file: None, base_dir: environment.folder.clone(), environment }
    }

    /// Reads everything that says something.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, Problems> {
        Self::read(flags, environment).map(|(settings, _)| settings)
    }

    /// Whether the file says nothing is told too.
    fn read(flags: &Flags, environment: &Environment) -> Result<(Self, bool), Problems> {
        let file = find(flags, environment);
        let mut root = match &file {
            Some(file) => read::file(file)?,
            None => Node::empty(Origin::Nowhere),
        };
        let is_empty = file.is_some() && root.is_empty();
        let keys = keys::all();
        let mut problems = environment.lay_over(&mut root, &keys);
        lay_flags_over(&mut root, flags, &keys, &environment.folder);
        let (mut config, wrong) = decode::decode::<Config>(&mut root);
        problems.extend(wrong);
        // What is left out for being wrong would only seem to be missing.
        if problems.is_empty() {
            problems.extend(check::check(&config, &root));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let parent = file.as_deref().and_then(Path::parent);
        let base_dir = environment.absolute(parent.unwrap_or(Path::new("")), &environment.folder);
        for path in config.paths() {
            *path = environment.absolute(path, &base_dir);
        }
        Ok((Self { config, file, base_dir, environment: environment.clone() }, is_empty))
    }

    /// The same again, after the file may have changed. One that is empty is about to be written, and takes nothing away.
    pub fn again(&self, flags: &Flags) -> Result<Self, Problems> {
        let flags = Flags { config: self.file.clone(), values: flags.values.clone() };
        let (fresh, is_empty) = Self::read(&flags, &self.environment)?;
        let says = |settings: &Self| serde_json::to_value(&settings.config).unwrap_or_default();
        match &fresh.file {
            Some(file) if is_empty && says(&fresh) != says(self) => {
                let hint = "have it read when it is written; if nothing is to be served any more, write `deployments: []`";
                Err(Problem::new(Origin::Nowhere, format!("{} is empty", file.display()), hint).into())
            }
            _ => Ok(fresh),
        }
    }

    /// The folder for all that must survive.
    pub fn data_dir(&self) -> PathBuf {
        self.config.data_dir.clone().unwrap_or_else(|| self.environment.data_dir())
    }
}

fn find(flags: &Flags, environment: &Environment) -> Option<PathBuf> {
    let told = flags.config.clone().or_else(|| environment.path("PENSTOCK_CONFIG"));
    told.or_else(|| environment.config_files().into_iter().find(|path| path.exists()))
}

fn lay_flags_over(root: &mut Node, flags: &Flags, keys: &[Key], folder: &Path) {
    for (path, text) in &flags.values {
        let Some(key) = keys.iter().find(|key| key.path == *path) else { continue };
        let at = Origin::Flag(format!("--{}", key.flag().unwrap_or_default()));
        if let Ok(node) = environment::word(key, text, at, folder) {
            root.set(&key.steps(), node);
        }
    }
}

#[cfg(test)]
mod tests;
