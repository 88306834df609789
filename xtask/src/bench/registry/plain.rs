//! What the registry is held against: a plain copy of the same file to the same disk, with SHA-256.
//!
//! In: the file, and where the copy shall lie. Out: how long it took until the copy was on the disk and its digest known. Fails: as the
//! disk does. The copy is gone afterwards; that takes no part in the time.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use crate::digest;

const BLOCK: usize = 1 << 20;

/// The bar: `cp`, `sync` of the copy, `sha256sum` of the copy.
pub(super) fn copy_then_hash(model: &Path, copy: &Path) -> Result<Duration> {
    let begun = Instant::now();
    copied(model, copy, |_| {})?;
    digest::of_file(copy)?;
    let took = begun.elapsed();
    fs::remove_file(copy)?;
    Ok(took)
}

/// For comparison: one thread that hashes each block as it copies it, so that nothing is read twice.
pub(super) fn in_one_pass(model: &Path, copy: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let mut hash = Sha256::new();
    copied(model, copy, |block| hash.update(block))?;
    std::hint::black_box(hash.finalize());
    let took = begun.elapsed();
    fs::remove_file(copy)?;
    Ok(took)
}

/// On the disk, and not only in memory.
fn copied(model: &Path, copy: &Path, mut seen: impl FnMut(&[u8])) -> Result<()> {
    let (mut from, mut to) = (File::open(model)?, File::create(copy)?);
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            return Ok(to.sync_all()?);
        }
        let block = block.get(..read).unwrap_or_default();
        seen(block);
        to.write_all(block)?;
    }
}
