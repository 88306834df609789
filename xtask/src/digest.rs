//! SHA-256 of files, and the SHA256SUMS file beside them.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// Read in pieces of this size.
const PIECE_BYTES: usize = 1 << 16;

/// The digest of a file in lower-case hex.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = file.read(&mut piece).with_context(|| format!("cannot read {}", path.display()))?;
        if n == 0 {
            break;
        }
        hash.update(&piece[..n]);
    }
    let mut hex = String::new();
    for byte in hash.finalize() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

/// Refuses a file whose digest is another.
pub(crate) fn check(path: &Path, wanted: &str) -> Result<()> {
    let found = of_file(path)?;
    if found != wanted {
        bail!("{} has digest {found}, not {wanted}: it is damaged or not the file that was pinned", path.display());
    }
    Ok(())
}

/// The digest that a SHA256SUMS file states for a file name.
pub(crate) fn stated(sums: &str, name: &str) -> Option<String> {
    sums.lines().find_map(|line| {
        let (digest, file) = line.split_once(char::is_whitespace)?;
        (file.trim_start().trim_start_matches('*') == name).then(|| digest.to_owned())
    })
}

#[cfg(test)]
mod tests;
