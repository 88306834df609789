//! Where the program of an engine is, which version it has, and which flags it knows.
//!
//! In: an engine. Out: a [`Binary`]. Fails: when there is none, or it does not run here; the error
//! says where it was looked for and what to do. Holds: what each file said, until the file changes
//! (path, length, time of change); a look costs one `stat`. Flags vanish between versions of an
//! engine, so they are asked for and never assumed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base::tasks;
pub use spec::Binary;
use spec::{DeviceKind, EngineKind, Program};

use crate::Error;
use crate::keeper::trampoline::CARRIED;
use asked::Words;

mod asked;

/// What llama-server is called on the `PATH`.
const LLAMA_SERVER: &str = "llama-server";

/// What makes llama-server tell which devices it finds.
const LIST_DEVICES: &str = "--list-devices";

/// Finds programs and remembers them.
#[derive(Debug)]
pub struct Programs {
    own: PathBuf,
    configured: BTreeMap<EngineKind, PathBuf>,
    carried: Option<String>,
    path_var: Option<OsString>,
    known: Mutex<BTreeMap<PathBuf, (Stamp, Binary)>>,
    versions: Mutex<BTreeMap<EngineKind, String>>,
    able: Mutex<BTreeMap<EngineKind, Vec<DeviceKind>>>,
}

/// By which a changed file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Programs {
    /// `own` is this binary; `configured` what the config names; `carried` the version of the engine that
    /// this binary carries, if it does; `path_var` the `PATH`.
    pub fn new(own: PathBuf, configured: BTreeMap<EngineKind, PathBuf>, carried: Option<String>, path_var: Option<OsString>) -> Self {
        Self { own, configured, carried, path_var, known: Mutex::default(), versions: Mutex::default(), able: Mutex::default() }
    }

    /// The program of this engine: the configured one, else the one on the `PATH`, else the carried one.
    pub async fn find(&self, engine: EngineKind) -> Result<Binary, Error> {
        let found = match engine {
            EngineKind::Openai => Ok(ours(Program::None, "")),
            EngineKind::Echo => Ok(ours(Program::Own, env!("CARGO_PKG_VERSION"))),
            EngineKind::LlamaServer => self.find_llama_server().await,
        };
        if let Ok(binary) = &found {
            self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(engine, binary.version.clone());
        }
        found
    }

    /// The version of the program that was last found for this engine.
    pub fn version(&self, engine: EngineKind) -> Option<String> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&engine).cloned()
    }

    /// The kinds of devices that engines compute on, beside the processor, as far as their programs have told.
    pub fn able(&self) -> BTreeMap<EngineKind, Vec<DeviceKind>> {
        self.able.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn find_llama_server(&self) -> Result<Binary, Error> {
        let engine = EngineKind::LlamaServer;
        if let Some(path) = self.configured.get(&engine) {
            let path = std::path::absolute(path).map_err(Error::io("find", path))?;
            return match stamp(path.clone()).await {
                Some(stamp) => self.ask(Asked { engine, path, stamp, program: None }).await,
                None => Err(Error::EngineMissing {
                    engine,
                    looked: format!("the config names `{}`, which is not a file that can be executed", path.display()),
                }),
            };
        }
        let broken = match self.ask_path(engine).await {
            Some(Ok(binary)) => return Ok(binary),
            Some(Err(error)) => Some(error),
            None => None,
        };
        if self.carried.is_some() {
            return self.ask_carried().await;
        }
        Err(broken.unwrap_or_else(|| Error::EngineMissing {
            engine,
            looked: format!("the config names none, the PATH has no `{LLAMA_SERVER}`, and this build carries none"),
        }))
    }

    /// The first on the `PATH` that can be used, else what is wrong with the first that cannot.
    async fn ask_path(&self, engine: EngineKind) -> Option<Result<Binary, Error>> {
        let mut broken = None;
        for path in self.on_path(LLAMA_SERVER) {
            let Some(stamp) = stamp(path.clone()).await else { continue };
            match self.ask(Asked { engine, path, stamp, program: None }).await {
                Ok(binary) => return Some(Ok(binary)),
                Err(error) => {
                    tracing::warn!(error = base::chain(&error), "passing over a program that cannot be used");
                    broken.get_or_insert(Err(error));
                }
            }
        }
        broken
    }

    async fn ask_carried(&self) -> Result<Binary, Error> {
        let (engine, path) = (EngineKind::LlamaServer, self.own.clone());
        let Some(stamp) = stamp(path.clone()).await else {
            return Err(Error::EngineBroken { engine, path, words: "this binary, which carries it, is no longer there".to_owned() });
        };
        let found = self.ask(Asked { engine, path, stamp, program: Some(Program::Carried) }).await?;
        let version = self.carried.clone().unwrap_or(found.version);
        Ok(Binary { version, ..found })
    }

    async fn ask(&self, asked: Asked) -> Result<Binary, Error> {
        if let Some((stamp, binary)) = self.known().get(&asked.path)
            && *stamp == asked.stamp
        {
            return Ok(binary.clone());
        }
        let before: &[&str] = if asked.program.is_some() { &["keep", CARRIED] } else { &[] };
        let version = Words::of(&asked, before, "--version").await?;
        let help = Words::of(&asked, before, "--help").await?;
        if help.flags().contains(LIST_DEVICES)
            && let Ok(devices) = Words::of(&asked, before, LIST_DEVICES).await
        {
            self.able.lock().unwrap_or_else(PoisonError::into_inner).insert(asked.engine, devices.kinds());
        }
        let program = asked.program.unwrap_or_else(|| Program::Path(asked.path.clone()));
        let binary = Binary { program, version: version.version(), flags: help.flags() };
        tracing::info!(engine = %asked.engine, path = %asked.path.display(), version = binary.version, "found an engine's program");
        self.known().insert(asked.path, (asked.stamp, binary.clone()));
        Ok(binary)
    }

    fn on_path(&self, name: &str) -> Vec<PathBuf> {
        let folders = self.path_var.iter().flat_map(std::env::split_paths);
        folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (Stamp, Binary)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file to be asked for its version and flags; `program` when it is run through this binary.
#[derive(Debug)]
struct Asked {
    engine: EngineKind,
    path: PathBuf,
    stamp: Stamp,
    program: Option<Program>,
}

fn ours(program: Program, version: &str) -> Binary {
    Binary { program, version: version.to_owned(), flags: BTreeSet::new() }
}

/// `None` when there is no file that can be executed.
async fn stamp(path: PathBuf) -> Option<Stamp> {
    tasks::blocking("look at a program", move || stamp_of(&path)).await.flatten()
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    const ANY_EXECUTE: u32 = 0o111;
    let found = fs::metadata(path).ok()?;
    let usable = found.is_file() && found.permissions().mode() & ANY_EXECUTE != 0;
    usable.then(|| Stamp { length: found.len(), modified: found.modified().ok() })
}

#[cfg(test)]
mod tests;
