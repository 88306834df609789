//! The files in the data directory that tell others how to reach this server: its address, and on
//! the first start the admin token.
//!
//! In: a folder, an address, a token. Out: files that only this user can read. Fails: when they
//! cannot be written. Holds: an advisory lock (flock) on the file with the address, which ends with the process: an address that
//! nobody holds is that of a server that was killed, and anybody may listen there since.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use access::{Access, Mode};
use base::Secret;
use spec::TokenId;

use crate::error::Error;

/// Holds the admin token of the first start.
const TOKEN: &str = "admin-token";
/// Its id.
const ADMIN: &str = "admin";
/// Holds the address, for as long as somebody listens there.
const ADDRESS: &str = "address";
const PRIVATE: u32 = 0o600;

/// The address of a running server; the file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Address {
    path: PathBuf,
    _held: File,
}

impl Address {
    /// Of the server at this URL; plain HTTP goes without saying.
    pub(super) fn write(data_dir: &Path, url: &str) -> Result<Self, Error> {
        let path = data_dir.join(ADDRESS);
        let failed = |source| Error::Write { path: path.clone(), source };
        let new = begin(&path, &format!("{}\n", url.trim_start_matches("http://")))?;
        // Held before it has its name, under which alone others look at it.
        new.try_lock().map_err(|error| failed(error.into()))?;
        finish(&path)?;
        Ok(Self { path, _held: new })
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the address file was gone already");
        }
    }
}

/// An address that can be connected to from here.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Sees to it that somebody can operate this server: the given token, else one that is made at the
/// first start, shown once and written down.
pub(super) async fn first(access: &Access, data_dir: &Path, given: Option<&Secret>) -> Result<(), Error> {
    let path = data_dir.join(TOKEN);
    let Some(token) = access.first_token(given).await? else {
        forget_replaced(&path, given);
        tell_lost(access, &path, given).await;
        return Ok(());
    };
    // Shown first: should the file fail, this is the only place where it can be read.
    show(&token, &path);
    write(&path, &format!("{}\n", token.expose()))
}

fn show(token: &Secret, path: &Path) {
    let line = format!("first start: the admin token is {} (also in {})\n", token.expose(), path.display());
    // Nobody reads a standard error that is closed.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// A token that was given takes the place of the one in the file, which then opens nothing.
fn forget_replaced(path: &Path, given: Option<&Secret>) {
    let Some(given) = given else { return };
    let is_other = fs::read_to_string(path).is_ok_and(|old| old.trim() != given.expose());
    if is_other && fs::remove_file(path).is_ok() {
        tracing::info!(path = %path.display(), "the admin token was given; the one in this file opens nothing any more, and the file was removed");
    }
}

/// Nobody may be able to operate a server whose admin token is nowhere to be read.
async fn tell_lost(access: &Access, path: &Path, given: Option<&Secret>) {
    let stands = fs::read_to_string(path).is_ok_and(|text| !text.trim().is_empty());
    if stands || given.is_some() || access.mode() == Mode::Open || access.get(&TokenId::new(ADMIN)).await.is_err() {
        return;
    }
    tracing::warn!(
        path = %path.display(),
        "the admin token does not stand in this file; who has lost it starts penstock once with PENSTOCK_ADMIN_TOKEN set to a new one"
    );
}

/// A reader sees the old text or the new one, never half of it.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    begin(path, text)?;
    finish(path)
}

fn begin(path: &Path, text: &str) -> Result<File, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(beside(path)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(file)
}

fn finish(path: &Path) -> Result<(), Error> {
    fs::rename(beside(path), path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}
