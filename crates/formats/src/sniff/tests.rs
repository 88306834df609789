//! Pickles are known whatever they are called; nothing else is taken for one.

use std::io::Write as _;

use super::{Code, Kind, sniff};

fn kind(name: &str, bytes: &[u8]) -> Kind {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    sniff(&path).expect("it can be read")
}

/// A zip whose entries have these names and no content, stored.
fn zip(names: &[&str], comment: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for name in names {
        let (at, length) = (u32::try_from(file.len()).expect("small"), u16::try_from(name.len()).expect("short"));
        file.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        file.extend(length.to_le_bytes());
        file.extend([0, 0]);
        file.extend(name.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend(length.to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, size) = (u32::try_from(file.len()).expect("small"), u32::try_from(directory.len()).expect("small"));
    let count = u16::try_from(names.len()).expect("few").to_le_bytes();
    file.write_all(&directory).expect("memory");
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend(size.to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend(u16::try_from(comment.len()).expect("short").to_le_bytes());
    file.extend(comment);
    file
}

#[test]
fn a_pickle_is_known_by_its_opcodes_whatever_it_is_called() {
    let protocols: [&[u8]; 6] = [
        b"\x80\x02}q\x00.",
        b"\x80\x05\x95",
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        b"(dp0\n.",
        b"(lp0\n.",
        b"cposix\nsystem\n(S'id'\ntR.",
    ];
    for bytes in protocols {
        for name in ["model.bin", "model.gguf", "model.safetensors", "config.json"] {
            assert_eq!(kind(name, bytes), Kind::Code(Code::Pickle), "{name} {bytes:?}");
        }
    }
    assert_eq!(kind("x.pkl", b"anything"), Kind::Code(Code::Pickle));
}

#[test]
fn an_archive_with_a_pickle_in_it_is_refused_and_another_is_not() {
    let torch = zip(&["archive/version", "archive/data.pkl", "archive/data/0"], b"");
    assert_eq!(kind("pytorch_model.bin", &torch), Kind::Code(Code::Torch));
    assert_eq!(kind("x", &zip(&["a/b/DATA.PKL"], &[b'x'; 4000])), Kind::Code(Code::Torch), "behind a long comment");
    assert_eq!(kind("x", &zip(&["a.txt", "weights.npy"], b"")), Kind::Other);
    assert_eq!(kind("m.keras", &zip(&["config.json", "metadata.json"], b"")), Kind::Code(Code::Keras));
    assert_eq!(kind("x", &torch[..torch.len() - 30]), Kind::Code(Code::Torch), "one that hides its list is not trusted");
}

#[test]
fn what_cannot_run_code_is_called_what_it_is() {
    assert_eq!(kind("a.gguf", b"GGUF\x03\0\0\0"), Kind::Gguf);
    assert_eq!(kind("b.safetensors", b"\x02\0\0\0\0\0\0\0{}"), Kind::Safetensors);
    assert_eq!(kind("c.onnx", b"\x08\x08"), Kind::Onnx);
    for text in ["", "cat\ndog\nbird\n", "{\"a\": 1}", "(a comment)"] {
        assert_eq!(kind("d.txt", text.as_bytes()), Kind::Other, "{text}");
    }
}
