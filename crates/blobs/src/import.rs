//! How does a file of this machine become a blob?
//!
//! In: its path. Out: the blob, a copy of it. Fails: as reading and writing do, and when the file becomes longer
//! or shorter meanwhile. A move is a copy after which the file goes: whoever still writes to it writes to no blob.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

use crate::blobs::{Blob, Blobs, blocking};
use crate::error::Error;
use crate::part::Begin;
use crate::state::PartId;

/// Read at once.
const BLOCK: u64 = 1 << 20;

/// What becomes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// It stays; the blob is a copy.
    Copy,
    /// It goes once the blob is whole.
    Move,
}

impl Blobs {
    /// Takes a file in; `told` hears of each byte that is done.
    pub async fn import(&self, path: &Path, how: Import, told: impl Fn(u64) + Send + Sync) -> Result<Blob, Error> {
        let opened = path.to_owned();
        let (mut file, len) = blocking(move || {
            let file = File::open(&opened).map_err(Error::io(&opened))?;
            let len = file.metadata().map_err(Error::io(&opened))?.len();
            Ok((file, len))
        })
        .await?;
        let mut part = self.begin(Begin { id: PartId::random(), total: Some(len), note: String::new(), by: String::new() }).await?;
        loop {
            let named = path.to_owned();
            let (back, block) = blocking(move || read(file, &named)).await?;
            if block.is_empty() {
                break;
            }
            file = back;
            told(block.len() as u64);
            part.append(part.offset(), block).await?;
        }
        let blob = part.finish(None).await?;
        if how == Import::Move {
            fs::remove_file(path).map_err(Error::io(path))?;
        }
        Ok(blob)
    }
}

fn read(mut file: File, path: &Path) -> Result<(File, Bytes), Error> {
    let mut block = Vec::with_capacity(1 << 20);
    file.by_ref().take(BLOCK).read_to_end(&mut block).map_err(Error::io(path))?;
    Ok((file, block.into()))
}
