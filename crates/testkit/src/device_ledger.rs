//! Who holds how many bytes of which fake device.
//!
//! Life of a byte: a test writes the ledger with its devices; a fake engine takes bytes of one of them, or
//! is refused when they are not there; the bytes come back when it gives them back or is dead, at once or
//! some time later ([`book`]). Whoever shall believe in the devices, and the test itself, look at the same
//! file.
//!
//! The file is also one of devices as Penstock's config may name it, and the ledger a
//! [`Source`]: fake devices are seen by the same way as real ones.
//!
//! In: a path. Out: a [`Book`], a value. Fails: when the file cannot be read or written. Holds: a lock on a
//! file beside it for the time of one method; a process that dies while it holds it lets go of it, and
//! the ledger is replaced as a whole, so it is never half written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::tasks::{self, Task};
use base::{ByteSize, Timestamp};
use runtime::devices::Source;

mod book;

mod alive;

pub use alive::Holder;
pub use book::{Book, FakeDevice, Hold, Refused, Taken};

/// A driver's word is hardly older.
const FRESH: Duration = Duration::from_millis(20);

/// The shared file.
#[derive(Debug, Clone)]
pub struct DeviceLedger {
    path: PathBuf,
}

impl DeviceLedger {
    /// Writes a new one with these devices.
    pub fn create(path: impl Into<PathBuf>, devices: Vec<FakeDevice>) -> io::Result<Self> {
        let ledger = Self::at(path);
        ledger.write(&serde_json::to_vec(&Book::new(devices)).map_err(io::Error::other)?)?;
        Ok(ledger)
    }
    /// The one that stands there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// How it stands now, without what the dead held.
    pub fn look(&self) -> io::Result<Book> {
        self.change(|book| Book::clone(book))
    }
    /// This process takes so many bytes of a device. They come back `late` after its end.
    pub fn take(&self, device: &str, bytes: ByteSize, what: &str, late: Duration) -> io::Result<Taken> {
        let hold = Hold { holder: Holder::this()?, device: device.to_owned(), bytes, what: what.to_owned(), late, dead_at: None };
        self.change(|book| book.take(hold))
    }
    /// This process gives back all that it has taken.
    pub fn give_back(&self) -> io::Result<()> {
        let holder = Holder::this()?;
        self.change(|book| book.end(holder, Timestamp::now()))
    }
    /// One more engine has begun; gives how many there were of this model, with this one.
    pub fn enter(&self, model: &str) -> io::Result<u64> {
        self.change(|book| book.enter(model))
    }
    /// So much of a device is held by somebody whom nobody asked.
    pub fn set_foreign(&self, device: &str, bytes: ByteSize) -> io::Result<()> {
        self.change(|book| book.set_foreign(device, bytes))
    }
    /// Whether the machine with its devices is there.
    pub fn set_gone(&self, gone: bool) -> io::Result<()> {
        self.change(|book| book.gone = gone)
    }

    /// Keeps the file up to date until the task is dropped: it does not see by itself that somebody has died.
    pub fn keep_fresh(&self) -> Task {
        let ledger = self.clone();
        tasks::spawn("device ledger", async move {
            loop {
                // What cannot be read now may be read the next time; a test that needs it will see.
                drop(ledger.look());
                tokio::time::sleep(FRESH).await;
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> io::Result<T> {
        let lock = File::options().create(true).truncate(false).write(true).open(self.path.with_extension("lock"))?;
        lock.lock()?;
        let text = fs::read(&self.path)?;
        let mut book: Book = serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        book.bury(Timestamp::now());
        let done = change(&mut book);
        book.show();
        let fresh = serde_json::to_vec(&book).map_err(io::Error::other)?;
        if fresh != text {
            self.write(&fresh)?;
        }
        Ok(done)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, &self.path)
    }
}

impl Source for DeviceLedger {
    fn name(&self) -> &'static str {
        "fake devices"
    }
    fn read(&self) -> Result<Vec<spec::Device>, runtime::Error> {
        let book = self.look();
        book.map(|book| book.devices).map_err(|source| runtime::Error::Io { what: "read", path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests;
