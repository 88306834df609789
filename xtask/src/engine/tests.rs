//! Which binaries are taken for a llama-server, shown with small programs in its place.

use std::fs;

use super::{Use, elf, from_cache, if_ready, lock, named_by_setting, source, version};
use crate::scratch::Scratch;
use crate::site::Site;

#[test]
fn a_program_that_names_its_version_is_taken() {
    let dir = Scratch::new("engine").unwrap();
    let good = dir.program("good", "echo 'version: 0.5.0 (build 1)' >&2");
    assert_eq!(version(&good).unwrap(), "version: 0.5.0 (build 1)");
    assert_eq!(named_by_setting(&good, Use::Here).unwrap(), good);
}

#[test]
fn a_named_program_that_does_not_work_is_refused_and_not_replaced() {
    let dir = Scratch::new("engine").unwrap();
    let silent = dir.program("silent", "exit 0");
    let failing = dir.program("failing", "echo no such library >&2; exit 127");
    assert!(format!("{:#}", named_by_setting(&silent, Use::Here).unwrap_err()).contains("names no version"));
    assert!(format!("{:#}", named_by_setting(&failing, Use::Here).unwrap_err()).contains("no such library"));
    let missing = named_by_setting(&dir.path().join("missing"), Use::Here).unwrap_err();
    assert!(missing.to_string().contains("not an executable file"), "{missing}");
}

#[test]
fn a_binary_in_the_cache_is_used_without_a_build() {
    let dir = Scratch::new("engine").unwrap();
    let site = Site { root: dir.path().to_path_buf(), cache: dir.path().to_path_buf() };
    let folder = dir.path().join("engines").join(source::cache_name());
    fs::create_dir_all(&folder).unwrap();
    assert_eq!(if_ready(&folder.join("llama-server")), None);
    let made = dir.program("made", "echo version: 1");
    fs::rename(made, folder.join("llama-server")).unwrap();
    assert_eq!(from_cache(&site, 1).unwrap(), folder.join("llama-server"));
}

#[test]
fn a_second_builder_finds_the_lock_taken() {
    let dir = Scratch::new("engine").unwrap();
    let path = dir.path().join("lock");
    let held = lock(&path).unwrap();
    assert!(fs::File::open(&path).unwrap().try_lock().is_err());
    drop(held);
    assert!(fs::File::open(&path).unwrap().try_lock().is_ok());
}

#[test]
fn a_static_program_is_told_from_one_that_needs_a_loader() {
    let dir = Scratch::new("elf").unwrap();
    let with_headers = |name: &str, kinds: &[u32]| {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            file.extend(kind.to_le_bytes());
            file.resize(file.len() + 52, 0);
        }
        let path = dir.path().join(name);
        fs::write(&path, file).unwrap();
        path
    };
    assert!(elf::is_static(&with_headers("static", &[1, 1])).unwrap());
    assert!(!elf::is_static(&with_headers("dynamic", &[6, 3, 1])).unwrap());
    let text = dir.program("text", "this is a shell script that is longer than an ELF header, by far, is it not");
    assert!(format!("{:#}", elf::is_static(&text).unwrap_err()).contains("not a 64-bit"));
}
