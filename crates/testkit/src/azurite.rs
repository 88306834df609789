//! Microsoft's own emulator of Azure's blob storage, on a free port of this machine, with an empty container `models`.
//!
//! In: the folder that `cargo xtask test` has installed it into, from the environment. Out: where it is and how it is entered. Fails: never where it
//! was not installed, but with nothing and `skipped:`; else when it does not start. Holds: a process of node, which ends with its standard
//! input; a folder.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

/// Where it is installed.
const VARIABLE: &str = "PENSTOCK_TEST_STORES";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../app/tests/clients/stores/azurite.js");

/// The server; it ends, and its folder goes, when this is dropped.
#[derive(Debug)]
pub struct Azurite {
    child: Child,
    hello: Hello,
    _folder: TempDir,
}

#[derive(Debug, Deserialize)]
struct Hello {
    url: String,
    account: String,
    key: String,
}

impl Azurite {
    /// Opens on a free port; nothing where it is not installed. Blocks until it is there.
    pub fn open() -> io::Result<Option<Self>> {
        let Some(libraries) = installed() else {
            #[expect(clippy::print_stdout, reason = "the count of skipped tests is taken from what they say")]
            {
                println!("skipped: no Azurite ({VARIABLE} names no folder with one; `cargo xtask test` installs it)");
            }
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        // JavaScript looks for its libraries beside its scripts, so the script goes where both can be.
        let script = folder.path().join("azurite.mjs");
        std::fs::copy(Path::new(SCRIPT), &script)?;
        std::fs::create_dir(folder.path().join("kept"))?;
        std::os::unix::fs::symlink(libraries.join("node_modules"), folder.path().join("node_modules"))?;
        let mut command = Command::new("node");
        command.arg(&script).arg(folder.path().join("kept")).current_dir(folder.path()).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder.path()).env("TMPDIR", folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut first = String::new();
        if let Some(said) = &mut child.stdout {
            BufReader::new(said).read_line(&mut first)?;
        }
        let hello = serde_json::from_str(&first).map_err(|error| io::Error::other(format!("Azurite said `{first}`: {error}")))?;
        Ok(Some(Self { child, hello, _folder: folder }))
    }

    /// Where the account's containers are.
    pub fn url(&self) -> &str {
        &self.hello.url
    }
    /// The account.
    pub fn account(&self) -> &str {
        &self.hello.account
    }
    /// What opens the account.
    pub fn key(&self) -> &str {
        &self.hello.key
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended by itself
        let _ = self.child.wait();
    }
}

fn installed() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "what `cargo xtask test` says")]
    let folder = PathBuf::from(std::env::var_os(VARIABLE)?);
    folder.join("whole").exists().then_some(folder)
}
