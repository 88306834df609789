//! Graphs that were written by hand, cut, and made of noise.

use std::io::Cursor;

use proptest::prelude::*;

use super::{Graph, Tensor, parse, read};

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let seven = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(seven);
            return bytes;
        }
        bytes.push(seven | 0x80);
    }
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn value(name: &str, sides: &[Vec<u8>]) -> Vec<u8> {
    let shape: Vec<u8> = sides.iter().flat_map(|side| bytes(1, side)).collect();
    let tensor = [number(1, 1), bytes(2, shape)].concat();
    [bytes(1, name), bytes(2, bytes(1, tensor))].concat()
}

fn sample(location: &str) -> Vec<u8> {
    let packed = [number(2, 1), bytes(8, "w"), bytes(1, [varint(3), varint(300)].concat()), bytes(9, vec![7; 3600])].concat();
    let apart = [number(1, 5), number(2, 10), bytes(8, "v"), bytes(13, [bytes(1, "location"), bytes(2, location)].concat())].concat();
    let graph = [
        bytes(1, b"a node that is skipped"),
        bytes(2, "main"),
        bytes(5, packed),
        bytes(5, apart),
        bytes(11, value("x", &[bytes(2, "batch"), number(1, 300), Vec::new()])),
        bytes(11, value("w", &[])),
        bytes(12, value("y", &[number(1, 3)])),
    ]
    .concat();
    [number(1, 8), bytes(2, "pytorch"), bytes(7, graph)].concat()
}

fn parsed(bytes: &[u8]) -> Result<Graph, String> {
    parse(Cursor::new(bytes), bytes.len() as u64)
}

#[test]
fn a_graph_tells_what_it_takes_gives_and_weighs() {
    let graph = parsed(&sample("weights.bin")).expect("a graph");
    let tensor = |name: &str, sides: &[&str]| Tensor {
        name: name.to_owned(),
        kind: "FLOAT".to_owned(),
        sides: sides.iter().map(|side| (*side).to_owned()).collect(),
    };
    let expected = Graph {
        producer: "pytorch".to_owned(),
        ir: 8,
        name: "main".to_owned(),
        parameters: 905,
        kinds: [("FLOAT".to_owned(), 900), ("FLOAT16".to_owned(), 5)].into(),
        inputs: vec![tensor("x", &["batch", "300", "?"])],
        outputs: vec![tensor("y", &["3"])],
        files: vec!["weights.bin".to_owned()],
    };
    assert_eq!(graph, expected);
}

#[test]
fn weights_that_lie_outside_of_the_folder_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for (location, good) in [("weights.bin", true), ("../../etc/passwd", false), ("/etc/passwd", false)] {
        let path = dir.path().join("m.onnx");
        std::fs::write(&path, sample(location)).expect("a file");
        assert_eq!(read(&path).is_ok(), good, "{location}");
    }
}

#[test]
fn a_message_that_ends_too_early_is_refused() {
    let whole = sample("w");
    for length in 0..whole.len() {
        assert!(parsed(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

/// A model of so many weights and so many inputs, by name.
fn many(weights: impl Iterator<Item = String>, inputs: impl Iterator<Item = String>) -> Vec<u8> {
    let weights = weights.flat_map(|name| bytes(5, bytes(8, name)));
    let graph: Vec<u8> = inputs.flat_map(|name| bytes(11, bytes(1, name))).chain(weights).collect();
    [number(1, 8), bytes(7, graph)].concat()
}

#[test]
fn a_graph_of_many_weights_that_are_inputs_too_has_no_more_inputs_than_others() {
    let name = |n: u32| format!("w{n}");
    let old = parsed(&many((0..50_000).map(name), (0..50_000).rev().chain(50_000..51_000).map(name))).expect("weights apart there are few");
    assert_eq!(old.inputs.len(), 1_000);
    let refused = parsed(&many((0..5_000).map(name), (10_000..11_001).map(name))).expect_err("weights make no room for inputs");
    assert!(refused.contains("inputs"), "{refused}");
}

#[test]
fn weights_and_names_have_an_end() {
    let refused = parsed(&many((0..200_001).map(|n: u32| n.to_string()), std::iter::empty())).expect_err("too many");
    assert!(refused.contains("weights"), "{refused}");
    let long = |n: u32| format!("{n:04096}");
    let refused = parsed(&many((0..8_193).map(long), std::iter::empty())).expect_err("more than is kept in memory");
    assert!(refused.contains("names"), "{refused}");
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_the_walk_ends(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = parsed(&noise);
    }

    #[test]
    fn one_damaged_byte_never_stops_the_walk(at in 0..400_usize, byte in any::<u8>()) {
        let mut bytes = sample("w");
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = parsed(&bytes);
    }
}
