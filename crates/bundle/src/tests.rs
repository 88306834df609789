//! The engine comes out as it went in, runs from memory and from a file, and is never run damaged.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use base::{Fault as _, Kind};
use sha2::{Digest as _, Sha256};

use crate::carried::hex;
use crate::error::Damage;
use crate::{Carried, Error, Executable, llama_server};

/// A real program that is on every system and answers at once.
const PROGRAM: &str = "/bin/true";

fn packed(plain: &[u8]) -> Carried {
    Carried {
        packed: zstd::bulk::compress(plain, 3).unwrap().into(),
        digest: hex(Sha256::new_with_prefix(plain)).into(),
        size: plain.len() as u64,
    }
}

fn program() -> Carried {
    packed(&fs::read(PROGRAM).unwrap())
}

/// Another test may be between fork and exec and still hold the file open for writing: the system
/// then says that it is busy, for a moment.
fn runs(path: &std::path::Path) -> bool {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        match Command::new(path).status() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => std::thread::yield_now(),
            status => return status.unwrap().success(),
        }
    }
}

#[test]
fn a_program_runs_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let executable = program().open(folder.path()).unwrap();
    assert!(matches!(executable, Executable::Memory(_)));
    assert!(runs(&executable.path()) && runs(&executable.path()));
    assert_eq!(fs::read(executable.path()).unwrap(), fs::read(PROGRAM).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nobody_can_change_the_program_in_memory() {
    let executable = Executable::Memory(program().memory().unwrap());
    let file = fs::OpenOptions::new().write(true).open(executable.path());
    let changed = file.and_then(|file| std::os::unix::fs::FileExt::write_at(&file, b"x", 0));
    assert!(changed.is_err());
}

#[test]
fn a_program_runs_from_a_file_of_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("engines");
    let path = program().place(&dir).unwrap();
    assert!(runs(&path));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_file_that_is_right_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = program().place(folder.path()).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    assert_eq!(program().place(folder.path()).unwrap(), path);
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn a_file_that_was_changed_or_opened_to_others_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let carried = program();
    let path = carried.place(folder.path()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    carried.place(folder.path()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(PROGRAM).unwrap());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    carried.place(folder.path()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let carried = program();
    let left = |writer: u32| folder.path().join(format!("llama-server-{}.unfinished-{writer}-0", &carried.digest()[..16]));
    // No process has the largest number; the first one is always there.
    fs::write(left(u32::MAX), b"half").unwrap();
    fs::write(left(1), b"half").unwrap();
    carried.place(folder.path()).unwrap();
    assert!(!left(u32::MAX).exists());
    assert!(left(1).exists());
}

#[test]
fn a_damaged_engine_is_never_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let damages = [
        (Carried { digest: "00".repeat(32).into(), ..program() }, Damage::Digest),
        (Carried { size: 10, ..program() }, Damage::Length),
        (Carried { size: u64::MAX, ..program() }, Damage::Length),
        (Carried { packed: b"no zstd at all".as_slice().into(), ..program() }, Damage::Packing),
    ];
    for (carried, damage) in damages {
        for error in [carried.open(folder.path()).unwrap_err(), carried.place(folder.path()).unwrap_err()] {
            assert!(matches!(error, Error::Damaged(found) if found == damage), "{damage:?}: {error}");
            assert_eq!(error.kind(), Kind::Internal);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{damage:?} left a file");
    }
}

#[test]
fn a_folder_that_cannot_be_one_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = program().place(&file).unwrap_err();
    assert!(matches!(error, Error::Place { .. }));
    assert!(error.to_string().contains("file") && error.hint().is_some());
}

#[test]
fn a_build_that_carries_an_engine_carries_a_whole_one() {
    assert_eq!(llama_server().is_some(), cfg!(carries_llama_server));
    if let Some(carried) = llama_server() {
        assert_eq!(carried.digest().len(), 64);
        assert!(carried.packed_size() < carried.size());
        let executable = Executable::Memory(carried.memory().unwrap());
        let out = Command::new(executable.path()).arg("--version").output().unwrap();
        assert!(out.status.success(), "{out:?}");
    }
}
