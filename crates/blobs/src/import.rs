//! How does a file of this machine become a blob?
//!
//! In: its path. Out: the blob, a copy of it. Fails: as reading and writing do, and when the file becomes longer
//! or shorter meanwhile. A move is a copy after which the file goes: whoever still writes to it writes to no blob.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use crate::blobs::{Blob, Blobs, blocking};
use crate::error::Error;
use crate::part::Begin;
use crate::state::PartId;

/// Read at once.
const BLOCK: usize = 1 << 20;

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
        let (mut reader, len) = blocking(move || {
            let file = File::open(&opened).map_err(Error::io(&opened))?;
            let len = file.metadata().map_err(Error::io(&opened))?.len();
            Ok((Reader { file, path: opened, room: [BytesMut::new(), BytesMut::new()] }, len))
        })
        .await?;
        let mut part = self.begin(Begin { id: PartId::random(), total: Some(len), note: String::new(), by: String::new() }).await?;
        loop {
            let (back, block) = blocking(move || reader.read()).await?;
            if block.is_empty() {
                break;
            }
            reader = back;
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

/// A file, and room for two blocks: one is read while the other is written. What is had once is used again, since memory that comes anew
/// from the system costs more than to read into it.
struct Reader {
    file: File,
    path: PathBuf,
    room: [BytesMut; 2],
}

impl Reader {
    /// The next block; the last one is empty.
    fn read(mut self) -> Result<(Self, Bytes), Error> {
        self.room.swap(0, 1);
        let room = &mut self.room[0];
        room.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match self.file.read(&mut room[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path)(error)),
            }
        }
        room.truncate(filled);
        let block = room.split().freeze();
        Ok((self, block))
    }
}
