//! How does a file come into being, so that nobody ever sees half of it?
//!
//! In: bytes in their order. Out: the blob, once its digest is the one that was promised. Fails: with the
//! offset that is wanted, with both digests, with the numbers of the disk. Holds: one file; one megabyte
//! that is not yet written, and one that a thread hashes and writes meanwhile. Dropping it keeps what is
//! written for whoever goes on; a sudden end costs less than a [`CHUNK`].
//!
//! How far the file is gets written down by a thread of its own (`note`): the file system lets nobody change a folder while it
//! commits what was synced, and hashing and writing go on meanwhile.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base::{ByteSize, Timestamp};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::blobs::{Blob, Blobs, blocking};
use crate::claim::Claim;
use crate::digest::Digest;
use crate::error::Error;
use crate::note::Notes;
use crate::room;
use crate::state::{PartId, PartState};

/// Of what came, less than this comes again after a sudden end: what is behind the last note of how far the file is, the block that is
/// being written, the one that waits, and what lies in the buffers of a connection.
pub const CHUNK: u64 = 32 << 20;
/// Written and hashed at once.
const BLOCK: usize = 1 << 20;
/// How far it is gets written down after so many bytes, by a thread that may take its time.
const CHECKPOINT: u64 = 4 << 20;
/// If it has taken so long that so many came, it is waited for.
const UNNOTED: u64 = 24 << 20;
const _: () = assert!(UNNOTED + 2 * BLOCK as u64 + (1 << 20) < CHUNK);
/// So much is sent on to the disk at a time while more comes, so that the last sync has little left to do.
const SYNC: u64 = 32 << 20;
/// Where nobody said how long the file will be, the disk is looked at after so many bytes.
const LOOK: u64 = 64 << 20;
/// Blobs do not change.
const READ_ONLY: u32 = 0o444;
/// What is not whole does.
const WRITABLE: u32 = 0o600;

/// What is known of a file before its first byte.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Its id; one that is there already goes on if the promise and the note are the same.
    pub id: PartId,
    /// Its length, if it is known.
    pub total: Option<u64>,
    /// The beginner's own words; an unfinished file with other words is begun anew.
    pub note: String,
    /// In whose share of unfinished files it counts; empty for those of the house itself.
    pub by: String,
}

/// A file that grows; there is one writer at a time.
#[derive(Debug)]
pub struct Part {
    blobs: Blobs,
    path: PathBuf,
    state: PartState,
    claim: Claim,
    waiting: Vec<Bytes>,
    waiting_len: usize,
    looked_at: u64,
    work: Work,
}

/// Who has the file now.
#[derive(Debug)]
enum Work {
    Idle(Box<Writer>),
    Busy(JoinHandle<Result<Box<Writer>, Error>>),
    Lost,
}

/// The file and the hash of what is in it.
#[derive(Debug)]
struct Writer {
    file: File,
    path: PathBuf,
    hash: Sha256,
    /// What is in the file.
    state: PartState,
    notes: Notes,
    /// What was sent on to the disk, and who waits for it there.
    synced: u64,
    syncing: Option<JoinHandle<()>>,
    /// Whole or given up: there is no state to keep.
    over: bool,
    /// Nobody else opens the file before the last write has ended.
    _claim: Claim,
}

impl Part {
    /// Opens the file at the offset that its state tells; blocks.
    pub(crate) fn open(
        blobs: Blobs,
        claim: Claim,
        (mut state, hash): (PartState, Option<Sha256>),
        whole: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let path = blobs.layout().part(&state.id);
        let hash = hash.unwrap_or_else(|| {
            state.offset = 0;
            Sha256::new()
        });
        let at = state.offset;
        check_room(&blobs, &claim, &state)?; // before anything of it is on the disk
        let file = if let Some(blob) = whole {
            // It has become a blob, and whoever brought it never heard of it.
            File::open(&blob).map_err(Error::io(blob))?
        } else {
            let mut file = writable(&path).map_err(Error::io(&path))?;
            file.set_len(at).and_then(|()| file.seek(SeekFrom::Start(at))).map_err(Error::io(&path))?;
            state.save(&path, &hash)?;
            file
        };
        let writer = Writer {
            file,
            path: path.clone(),
            hash,
            notes: Notes::new(path.clone(), at),
            synced: at,
            syncing: None,
            state: state.clone(),
            over: false,
            _claim: claim.clone(),
        };
        Ok(Self { blobs, path, claim, waiting: Vec::new(), waiting_len: 0, looked_at: at, work: Work::Idle(Box::new(writer)), state })
    }

    /// Its id.
    pub fn id(&self) -> &PartId {
        &self.state.id
    }
    /// The number of the next byte that is wanted.
    pub fn offset(&self) -> u64 {
        self.state.offset
    }
    /// How far it is, as the next writer will find it once this one has called [`Part::flush`].
    pub fn state(&self) -> &PartState {
        &self.state
    }

    /// Its length became known.
    pub fn promise(&mut self, total: u64) -> Result<(), Error> {
        self.state.total = Some(total);
        self.check_room()
    }

    /// The next bytes; `at` must be [`Part::offset`].
    pub async fn append(&mut self, at: u64, bytes: Bytes) -> Result<(), Error> {
        if at != self.state.offset {
            return Err(Error::Offset { have: self.state.offset, sent: at });
        }
        let after = at.saturating_add(bytes.len() as u64);
        if let Some(total) = self.state.total.filter(|total| after > *total) {
            return Err(Error::Length { wanted: total, found: after });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(BLOCK - self.waiting_len));
            self.state.offset += piece.len() as u64;
            self.waiting_len += piece.len();
            self.waiting.push(piece);
            if self.waiting_len == BLOCK {
                self.hand_over().await?;
            }
        }
        self.claim.grow(after);
        if self.state.total.is_none() && after - self.looked_at >= LOOK {
            self.looked_at = after;
            self.check_room()?;
        }
        Ok(())
    }

    /// Back to the first byte: what came is not what is wanted now.
    pub async fn restart(&mut self) -> Result<(), Error> {
        (self.waiting, self.waiting_len) = (Vec::new(), 0);
        let mut writer = self.idle().await?;
        self.state.offset = 0;
        self.looked_at = 0;
        let writer = blocking(move || writer.restart().map(|()| writer)).await?;
        self.work = Work::Idle(writer);
        Ok(())
    }

    /// Writes what waits and notes how far it is; a later writer goes on from here.
    pub async fn flush(&mut self) -> Result<&PartState, Error> {
        self.hand_over().await?;
        let mut writer = self.idle().await?;
        let writer = blocking(move || writer.save().map(|()| writer)).await?;
        self.work = Work::Idle(writer);
        Ok(&self.state)
    }

    /// The file is whole: it becomes a blob, if it is what was promised. A file that is not is removed. Where blobs live in an object store
    /// it is there afterwards.
    pub async fn finish(self, promised: Option<&Digest>) -> Result<Blob, Error> {
        let blobs = self.blobs.clone();
        let blob = self.finish_here(promised).await?;
        blobs.offload(&blob).await?;
        Ok(blob)
    }

    /// The same, for what the store has already.
    pub(crate) async fn finish_here(mut self, promised: Option<&Digest>) -> Result<Blob, Error> {
        let found = self.state.offset;
        if let Some(wanted) = self.state.total.filter(|total| *total != found) {
            self.flush().await?;
            return Err(Error::Length { wanted, found });
        }
        self.hand_over().await?;
        let writer = self.idle().await?;
        let (blobs, promised) = (self.blobs.clone(), promised.cloned());
        blocking(move || writer.finish(&blobs, promised.as_ref())).await
    }

    /// Gives up: nothing stays.
    pub async fn abort(mut self) {
        self.waiting.clear();
        if let Ok(mut writer) = self.idle().await {
            writer.over = true;
            writer.notes.end();
        }
        PartState::forget(&self.path);
    }

    fn check_room(&self) -> Result<(), Error> {
        check_room(&self.blobs, &self.claim, &self.state)
    }

    /// Gives the waiting bytes to a thread, once the last ones are written.
    async fn hand_over(&mut self) -> Result<(), Error> {
        let mut writer = self.idle().await?;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_len = 0;
        writer.state.total = self.state.total;
        self.work = Work::Busy(tokio::task::spawn_blocking(move || {
            writer.write(&waiting)?;
            Ok(writer)
        }));
        Ok(())
    }

    async fn idle(&mut self) -> Result<Box<Writer>, Error> {
        if let Work::Busy(handle) = &mut self.work {
            let done = handle.await;
            self.work = Work::Lost;
            return done.unwrap_or(Err(Error::Interrupted));
        }
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Idle(writer) => Ok(writer),
            _ => Err(Error::Interrupted),
        }
    }
}

impl Drop for Part {
    /// What has come is written by whoever writes, so that it does not have to come again.
    fn drop(&mut self) {
        self.claim.close();
        let waiting = std::mem::take(&mut self.waiting);
        let Ok(runtime) = Handle::try_current() else { return };
        if waiting.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Idle(mut writer) => drop(runtime.spawn_blocking(move || writer.write(&waiting))),
            Work::Busy(handle) => base::tasks::spawn("blob", async move {
                if let Ok(Ok(mut writer)) = handle.await {
                    drop(blocking(move || writer.write(&waiting)).await); // what cannot be written comes again
                }
            })
            .detach(),
            Work::Lost => {}
        }
    }
}

/// Whether there is room for what is still to come, beside what others have been promised.
fn check_room(blobs: &Blobs, claim: &Claim, state: &PartState) -> Result<(), Error> {
    let wanted = ByteSize(state.total.unwrap_or(state.offset + LOOK).saturating_sub(state.offset));
    let claimed = blobs.claimed_by_others(&state.id);
    claim.expect(state.total, state.offset);
    room::check(blobs.layout().dir(), wanted, claimed, blobs.config().reserve, "the rest of the file")
}

impl Writer {
    fn write(&mut self, waiting: &[Bytes]) -> Result<(), Error> {
        for bytes in waiting {
            self.file.write_all(bytes).map_err(|error| self.failed(error))?;
            self.hash.update(bytes);
            self.state.offset += bytes.len() as u64;
        }
        self.send_on();
        self.note()
    }

    /// Has another thread write down how far it is, unless it is far behind with that.
    fn note(&mut self) -> Result<(), Error> {
        if self.state.offset - self.notes.saved() >= UNNOTED {
            return self.save();
        }
        if self.state.offset - self.notes.asked() >= CHECKPOINT {
            self.state.touched_at = Timestamp::now();
            self.notes.ask(&self.state, &self.hash);
        }
        Ok(())
    }

    /// Has another thread wait until the disk has what came so far. It opens the file for itself, so that an error is told to the last
    /// sync as well, and here it is of no interest.
    fn send_on(&mut self) {
        let is_under_way = self.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished());
        let Some(runtime) = Handle::try_current().ok().filter(|_| !is_under_way && self.state.offset - self.synced >= SYNC) else { return };
        self.synced = self.state.offset;
        let path = self.path.clone();
        self.syncing = Some(runtime.spawn_blocking(move || drop(File::open(path).and_then(|file| file.sync_data()))));
    }

    fn save(&mut self) -> Result<(), Error> {
        self.state.touched_at = Timestamp::now();
        self.notes.save(&self.state, &self.hash)
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(Error::io(&self.path))?;
        (self.hash, self.state.offset, self.synced) = (Sha256::new(), 0, 0);
        self.save()
    }

    /// A full disk is told with its numbers.
    fn failed(&self, error: io::Error) -> Error {
        if error.kind() != io::ErrorKind::StorageFull {
            return Error::io(&self.path)(error);
        }
        let free = self.path.parent().and_then(|dir| room::free(dir).ok()).unwrap_or_default();
        let wanted = ByteSize(self.state.total.unwrap_or(0).saturating_sub(self.state.offset));
        Error::DiskFull { what: "the rest of the file".to_owned(), wanted, free, reserve: ByteSize(0) }
    }

    fn finish(mut self, blobs: &Blobs, promised: Option<&Digest>) -> Result<Blob, Error> {
        let found = Digest::from_bytes(&self.hash.clone().finalize());
        if let Some(wanted) = promised.filter(|wanted| **wanted != found) {
            self.over = true;
            self.notes.end();
            PartState::forget(&self.path);
            return Err(Error::Mismatch { wanted: wanted.clone(), found });
        }
        self.save()?;
        let size = ByteSize(self.state.offset);
        // Held before it has its name: a sweep that sees the name sees the hold.
        let hold = blobs.hold(&found);
        let path = blobs.layout().blob(&found);
        let is_here = path.metadata().is_ok_and(|seen| seen.len() == size.0);
        if !is_here {
            // Before it has its name: nobody sees a blob that can be written.
            let mode = Permissions::from_mode(READ_ONLY);
            self.file.set_permissions(mode).and_then(|()| self.file.sync_all()).map_err(|error| self.failed(error))?;
            blobs.layout().admit(&self.path, &found)?;
        }
        self.over = true;
        PartState::end(&self.path);
        Ok(Blob { digest: found, size, path, hold })
    }
}

/// Opens a part, also one that was cut off between its last byte and its name, and is read-only already.
fn writable(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|seen| seen.permissions().readonly()) {
        fs::set_permissions(path, Permissions::from_mode(WRITABLE))?;
    }
    OpenOptions::new().create(true).write(true).truncate(false).open(path)
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.over
            && self.notes.saved() != self.state.offset
            && let Err(error) = self.save()
        {
            tracing::warn!(part = %self.state.id, error = base::chain(&error), "how far a file is could not be written down");
        }
    }
}
