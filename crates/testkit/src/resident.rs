//! What this process holds of memory.
//!
//! In: nothing. Out: bytes that no other process shares, as proc(5) tells. Fails: where there is no `/proc`.

use std::io;

/// Bytes that this process holds now.
pub fn resident() -> io::Result<usize> {
    const KIB: usize = 1024;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.map(|kib| kib * KIB).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
