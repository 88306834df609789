//! What does this binary carry, and how is it run?
//!
//! In: the bytes that the build script packed. Out: something with a path that can be executed.
//! Fails: when the system neither runs programs from memory nor from the given folder. Holds: the
//! packed bytes lie in the binary and cost no memory until they are read.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Damage, Error};
use crate::{memory, place};

/// An engine, packed.
#[derive(Debug, Clone)]
pub struct Carried {
    pub(crate) packed: Cow<'static, [u8]>,
    pub(crate) digest: Cow<'static, str>,
    pub(crate) size: u64,
}

/// An engine that can be run.
#[derive(Debug)]
pub enum Executable {
    /// In memory, gone with the last process that holds it.
    Memory(OwnedFd),
    /// A file.
    File(PathBuf),
}

impl Executable {
    /// What to execute. For one in memory this is `/proc/self/fd/N`: it holds in this process and in
    /// its child up to the call of `exec`, as long as this value lives; the child's own descriptor
    /// closes on `exec`, and the program keeps running without it. Another process would say
    /// `/proc/PID/fd/N`.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Memory(fd) => memory::path(fd.as_raw_fd()),
            Self::File(path) => path.clone(),
        }
    }
}

/// The llama-server that this binary carries; `None` in developers' builds.
pub fn llama_server() -> Option<Carried> {
    #[cfg(carries_llama_server)]
    {
        let packed = include_bytes!(concat!(env!("OUT_DIR"), "/llama-server.zst"));
        let size = env!("BUNDLE_SIZE").parse().ok()?;
        Some(Carried { packed: Cow::Borrowed(packed), digest: Cow::Borrowed(env!("BUNDLE_DIGEST")), size })
    }
    #[cfg(not(carries_llama_server))]
    None
}

impl Carried {
    /// SHA-256 of the program, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// Bytes of the program.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Bytes that it takes in this binary.
    pub fn packed_size(&self) -> u64 {
        self.packed.len() as u64
    }

    /// Unpacks into memory, else into a file in `dir`. Blocks, some hundred milliseconds at most.
    pub fn open(&self, dir: &Path) -> Result<Executable, Error> {
        match self.memory() {
            Ok(fd) => Ok(Executable::Memory(fd)),
            Err(Error::Memory(_) | Error::Fill(_)) => self.place(dir).map(Executable::File),
            Err(error) => Err(error),
        }
    }

    /// Unpacks into memory that nobody can change any more and that no other program inherits. It
    /// takes [`Carried::size`] bytes (10 to 20 MB) until this value is dropped and every process that
    /// runs it has ended; processes that run the same value share them. Blocks.
    pub fn memory(&self) -> Result<OwnedFd, Error> {
        memory::unpack(self)
    }

    /// Unpacks into a file in `dir` that only this user can read and run, named by its digest; one
    /// that is already there is used again if its digest is right. Blocks.
    pub fn place(&self, dir: &Path) -> Result<PathBuf, Error> {
        place::unpack(self, dir)
    }

    /// Unpacks and checks. The error of the outer result is about what we carry, that of the inner
    /// one about where it goes.
    pub(crate) fn unpack_into(&self, into: impl Write) -> Result<std::io::Result<()>, Damage> {
        let packed = match zstd::Decoder::new(&*self.packed) {
            Ok(packed) => packed,
            Err(error) => return Ok(Err(error)),
        };
        // One byte more than there may be, to notice what is too long without unpacking all of it.
        let plain = packed.take(self.size.saturating_add(1));
        let mut seen = Seen { into, sha: Sha256::new(), bytes: 0, refused: false };
        if let Err(error) = std::io::copy(&mut std::io::BufReader::new(plain), &mut seen) {
            return if seen.refused { Ok(Err(error)) } else { Err(Damage::Packing) };
        }
        if seen.bytes != self.size {
            return Err(Damage::Length);
        }
        if hex(seen.sha) != self.digest {
            return Err(Damage::Digest);
        }
        Ok(seen.into.flush())
    }
}

/// The digest of all that can be read.
pub(crate) fn digest_of(mut from: impl Read) -> std::io::Result<String> {
    let mut seen = Seen { into: std::io::sink(), sha: Sha256::new(), bytes: 0, refused: false };
    std::io::copy(&mut from, &mut seen)?;
    Ok(hex(seen.sha))
}

/// A digest as text.
pub(crate) fn hex(sha: Sha256) -> String {
    let nibble = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    sha.finalize().iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]).collect()
}

/// Counts and digests what passes, and remembers whether it was the far side that failed.
struct Seen<W> {
    into: W,
    sha: Sha256,
    bytes: u64,
    refused: bool,
}

impl<W: Write> Write for Seen<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.into.write(bytes).inspect_err(|_| self.refused = true)?;
        self.sha.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.into.flush()
    }
}
