//! A folder that is gone when its owner is.
//!
//! In: a name for people. Out: an empty folder under the system's temporary one. Fails: when it
//! cannot be made. Holds: the folder; dropping removes it and all that is in it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// What stands in it (tokens, say) is nobody else's business.
const OWNER_ONLY: u32 = 0o700;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A folder of our own.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes one under the system's temporary folder.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        Self::at(std::env::temp_dir().join(format!("penstock-{name}-{}-{count}", std::process::id())))
    }

    /// Makes exactly this one; what somebody who died has left there is removed.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::DirBuilder::new().mode(OWNER_ONLY).create(&path).with_context(|| format!("cannot make a folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
impl Scratch {
    /// A shell script as a program in it. A child writes it: held open for writing here, it would be
    /// inherited by what other tests fork meanwhile, and the system would refuse to run it.
    pub(crate) fn program(&self, name: &str, lines: &str) -> PathBuf {
        use std::io::Write as _;
        let path = self.0.join(name);
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(std::process::Stdio::piped());
        let mut writer = shell.spawn().unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{lines}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success(), "cannot write {}", path.display());
        path
    }
}
