//! The digest of known bytes, and the lines of a SHA256SUMS file.

use super::{check, of_file, stated};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_known_text_has_its_known_digest() {
    let dir = crate::scratch::Scratch::new("digest").unwrap();
    let file = dir.path().join("abc");
    std::fs::write(&file, "abc").unwrap();
    assert_eq!(of_file(&file).unwrap(), ABC);
    assert!(check(&file, ABC).is_ok());
    std::fs::write(&file, "abx").unwrap();
    assert!(check(&file, ABC).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn sums_are_found_by_file_name_in_both_forms() {
    let sums = format!("{ABC}  tiny.gguf\n00ff *other.gguf\n");
    assert_eq!(stated(&sums, "tiny.gguf").as_deref(), Some(ABC));
    assert_eq!(stated(&sums, "other.gguf").as_deref(), Some("00ff"));
    assert_eq!(stated(&sums, "tiny"), None);
}
