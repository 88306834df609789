//! Life of the client libraries that Penstock is tried with: found in the cache, or installed once
//! from PyPI and npm in exactly the versions that the lists beside the tests name; and of the identity provider that people log in
//! with, of their browser, which is Debian's Chromium, and of a server that speaks as an object store does.
//!
//! In: the site. Out: a folder with a Python environment and a `node_modules`, and a note of the
//! versions. Fails: never as a whole; of what cannot be had here the tests say `skipped:`. Costs:
//! about a minute and half a gigabyte, once for each change of the lists. Holds: a lock file in the
//! cache, so that two runs install once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Need};
use crate::site::Site;
use crate::{digest, say, shell};

/// Tells tests where the libraries are.
pub(crate) const CLIENTS_VARIABLE: &str = "PENSTOCK_TEST_CLIENTS";
/// Tells tests where the identity provider is.
pub(crate) const IDENTITY_VARIABLE: &str = "PENSTOCK_TEST_IDENTITY";
/// Tells tests where the server is that speaks as an object store does.
pub(crate) const STORES_VARIABLE: &str = "PENSTOCK_TEST_STORES";

const LISTS: &str = "crates/app/tests/clients";
const PYTHON_LIST: &str = "python/requirements.txt";
const NODE_LISTS: [&str; 2] = ["node/package.json", "node/package-lock.json"];
const IDENTITY_LISTS: [&str; 2] = ["identity/package.json", "identity/package-lock.json"];
const STORES_LISTS: [&str; 2] = ["stores/package.json", "stores/package-lock.json"];
/// Written when an installation is whole; without it the next run begins anew.
const WHOLE: &str = "whole";
/// What is told of the long list for Python.
const NAMED: [&str; 5] = ["openai", "anthropic", "ollama", "litellm", "langchain-openai"];
/// The libraries for JavaScript need this much.
const OLDEST_NODE: u32 = 20;

/// Sees to it that they are there.
pub(crate) fn obtain(site: &Site) -> Result<PathBuf> {
    const DIGITS: usize = 8;
    let lists = site.root.join(LISTS);
    let of = |list: &str| Ok::<_, anyhow::Error>(digest::of_file(&lists.join(list))?[..DIGITS].to_owned());
    let folder = site.cache.join(format!("clients-{}-{}", of(PYTHON_LIST)?, of(NODE_LISTS[1])?));
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder of the client libraries")?;
    if let Err(error) = python(&lists, &folder.join("python")) {
        say::note(&format!("no client libraries for Python: {error:#}"));
    }
    if let Err(error) = node(&lists, NODE_LISTS, &folder.join("node")) {
        say::note(&format!("no client libraries for JavaScript: {error:#}"));
    }
    Ok(folder)
}

/// A certified identity provider, and a real browser with something to drive it.
pub(crate) fn obtain_identity(site: &Site) -> Result<PathBuf> {
    let folder = obtain_servers(site, "identity", IDENTITY_LISTS)?;
    // To be there is enough: as root it does not even say its version without more flags.
    if let Err(error) = packages::ensure(&[Need { program: "chromium", proof: &[], package: "chromium" }]) {
        say::note(&format!("no browser: {error:#}"));
    }
    Ok(folder)
}

/// A server that speaks as Azure's blob storage does.
pub(crate) fn obtain_stores(site: &Site) -> Result<PathBuf> {
    obtain_servers(site, "stores", STORES_LISTS)
}

/// Servers for node, in a folder of their own.
fn obtain_servers(site: &Site, what: &str, files: [&str; 2]) -> Result<PathBuf> {
    const DIGITS: usize = 8;
    let lists = site.root.join(LISTS);
    let folder = site.cache.join(format!("{what}-{}", &digest::of_file(&lists.join(files[1]))?[..DIGITS]));
    fs::create_dir_all(&site.cache)?;
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock().with_context(|| format!("cannot lock the folder of {what}"))?;
    if let Err(error) = node(&lists, files, &folder) {
        say::note(&format!("no {what}: {error:#}"));
    }
    Ok(folder)
}

fn python(lists: &Path, folder: &Path) -> Result<()> {
    let list = lists.join(PYTHON_LIST);
    let text = fs::read_to_string(&list)?;
    let versions: Vec<&str> = text.lines().filter(|line| line.split("==").next().is_some_and(|name| NAMED.contains(&name))).collect();
    say::note(&format!("Python: {}", versions.join(", ").replace("==", " ")));
    if folder.join(WHOLE).exists() {
        return Ok(());
    }
    packages::ensure(&[Need { program: "python3", proof: &["-c", "import venv, ensurepip"], package: "python3-venv" }])?;
    let mut progress = begin(folder)?;
    shell::watched(Command::new("python3").args(["-m", "venv"]).arg(folder), |line| progress.tell(line))?;
    let mut pip = Command::new(folder.join("bin/python3"));
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--only-binary", ":all:", "--no-deps", "-r"]).arg(&list);
    shell::watched(&mut pip, |line| progress.tell(line))?;
    Ok(fs::write(folder.join(WHOLE), "")?)
}

fn node(lists: &Path, files: [&str; 2], folder: &Path) -> Result<()> {
    if folder.join(WHOLE).exists() {
        return Ok(());
    }
    let needs = [("node", "nodejs"), ("npm", "npm")].map(|(program, package)| Need { program, proof: &["--version"], package });
    packages::ensure(&needs)?;
    let version = Command::new("node").arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        bail!("node {OLDEST_NODE} or newer is needed; this one is {version}");
    }
    let mut progress = begin(folder)?;
    for list in files {
        let file = lists.join(list);
        fs::copy(&file, folder.join(file.file_name().context("a file has a name")?))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    shell::watched(&mut npm, |line| progress.tell(line))?;
    Ok(fs::write(folder.join(WHOLE), "")?)
}

/// An empty folder for a new installation.
fn begin(folder: &Path) -> Result<say::Progress> {
    say::note(&format!("installing into {} (once)", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(say::Progress::new())
}
