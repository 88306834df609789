//! System programs that a task needs: there, installed by apt-get, or asked for by name.
//!
//! In: what is needed. Out: nothing when all is there. Fails: when something is missing and we may
//! not, or cannot, install it; then it says the exact command.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{say, shell, site};

/// A thing that must work, and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// The program that must be on the PATH.
    pub(crate) program: &'static str,
    /// Arguments with which it must succeed; none: to be there is enough.
    pub(crate) proof: &'static [&'static str],
    /// The Debian package.
    pub(crate) package: &'static str,
}

impl Need {
    fn is_met(&self) -> bool {
        if site::on_path(self.program).is_none() {
            return false;
        }
        let quiet = Command::new(self.program).args(self.proof).output();
        self.proof.is_empty() || quiet.is_ok_and(|out| out.status.success())
    }
}

/// Sees to it that everything needed is there.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> = needs.iter().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let by_hand = format!("apt-get install -y --no-install-recommends {list}");
    if site::on_path("apt-get").is_none() {
        bail!("missing: {list} (Debian's names). Install them with your system's package manager, then run this again");
    }
    if !site::is_root() {
        bail!("missing: {list}. Install them, then run this again:\n  sudo {by_hand}");
    }
    say::step(&format!("installing {list}"));
    let mut progress = say::Progress::new();
    shell::watched(Command::new("apt-get").arg("update"), |line| progress.tell(line))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
    shell::watched(&mut install, |line| progress.tell(line))?;
    progress.clear();
    match needs.iter().find(|need| !need.is_met()) {
        Some(need) => bail!("{} is installed, yet `{}` does not work; check the PATH", need.package, need.program),
        None => Ok(()),
    }
}
