//! What is written can be read.

use std::fs;

use super::{Fill, Gguf, Value, write_gguf};
use crate::error::Error;
use crate::quant::Quant;
use crate::read::read_gguf;

fn sample() -> Gguf {
    let mut file = Gguf::new("llama");
    file.set("a.u8", Value::U8(200))
        .set("a.i8", Value::I8(-3))
        .set("a.u16", Value::U16(60_000))
        .set("a.i16", Value::I16(-300))
        .set("a.u32", 7)
        .set("a.i32", Value::I32(-7))
        .set("a.f32", 0.5_f32)
        .set("a.bool", true)
        .set("a.u64", Value::U64(1 << 40))
        .set("a.i64", Value::I64(-(1 << 40)))
        .set("a.f64", Value::F64(0.25))
        .set("a.texts", vec!["x", "yé"]);
    file.tensor("first", &[3], Quant::F32, Fill::Bytes(Quant::F32.encode(&[1.0, -2.0, 3.5]).unwrap()));
    file.tensor("second", &[32, 2], Quant::Q8_0, Fill::Random(5));
    file.tensor("third", &[256, 3], Quant::F16, Fill::Hole);
    file
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.gguf");
    let size = write_gguf(&sample(), &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), size);

    let mut opened = read_gguf(&path).unwrap();
    assert_eq!(opened.metadata, sample().metadata);
    assert_eq!(opened.numbers("first").unwrap(), [1.0, -2.0, 3.5]);
    assert!(opened.numbers("second").unwrap().iter().any(|x| x.abs() > 0.0));
    assert!(opened.numbers("third").unwrap().iter().all(|x| x.abs() < f32::MIN_POSITIVE));
    assert!(opened.tensors.iter().all(|entry| entry.start.is_multiple_of(32)));
    assert!(matches!(opened.numbers("fourth"), Err(Error::Missing { .. })));
}

#[test]
fn a_key_is_set_once() {
    let mut file = sample();
    file.set("a.u32", 8);
    assert_eq!(file.metadata.len(), sample().metadata.len());
    assert!(file.metadata.contains(&("a.u32".to_owned(), Value::U32(8))));
}

#[test]
fn bytes_that_do_not_fit_their_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = Gguf::new("llama");
    file.tensor("short", &[4], Quant::F32, Fill::Bytes(vec![0; 15]));
    assert!(matches!(write_gguf(&file, &folder.path().join("x")), Err(Error::Shape(_))));
    let mut file = Gguf::new("llama");
    file.tensor("half a block", &[33, 32], Quant::Q8_0, Fill::Hole);
    assert!(matches!(write_gguf(&file, &folder.path().join("x")), Err(Error::Shape(_))));
}

#[test]
fn a_file_cut_anywhere_in_its_header_is_refused_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gguf");
    let header = sample().header();
    let last_entry = header.len() - 32;
    for length in 0..last_entry {
        fs::write(&path, &header[..length]).unwrap();
        match read_gguf(&path) {
            Err(Error::Foreign { at, .. }) => assert!(at <= length as u64),
            other => panic!("{length} bytes gave {other:?}"),
        }
    }
}

#[test]
fn a_foreign_file_is_refused_by_its_magic_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.gguf");
    fs::write(&path, "PK\x03\x04 and more that is no model").unwrap();
    assert!(read_gguf(&path).unwrap_err().to_string().contains("no GGUF magic"));
    let mut old = sample();
    old.version = 1;
    write_gguf(&old, &path).unwrap();
    assert!(read_gguf(&path).unwrap_err().to_string().contains("version"));
}
