//! Models in several files: one that llama.cpp has split is served, and files that were sent and make no model are told without a word
//! of where they lie.

use gguf::Tensor;
use hyper::Method;
use serde_json::{Value, json};

use super::{base64, done, send};
use crate::stage::{Stage, stop, tiny};

/// The small model in two files, as llama.cpp's `gguf-split` writes them: all keys stand in the first, and the second says only which it is.
fn split() -> [Vec<u8>; 2] {
    let (file, bytes) = (gguf::File::read(tiny()).expect("a header"), std::fs::read(tiny()).expect("the small model"));
    let (tensors, data) = (file.tensors(), usize::try_from(file.data_start()).expect("small"));
    let table = named(&tensors[0].name);
    let table = bytes[..data].windows(table.len()).position(|window| window == table).expect("the first tensor");
    let keys = u64::from_le_bytes(bytes[16..24].try_into().expect("a number"));
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let cut = data + usize::try_from(second[0].offset).expect("small");
    let part = |no: u16, (count, keys): (u64, &[u8]), tensors: &[Tensor], data: &[u8]| {
        let mut part = [&b"GGUF\x03\0\0\0"[..], &(tensors.len() as u64).to_le_bytes(), &(count + 3).to_le_bytes(), keys].concat();
        let of = u32::try_from(file.tensors().len()).expect("few");
        for (key, kind, value) in [
            ("split.no", 2_u32, &no.to_le_bytes()[..]),
            ("split.count", 2, &2_u16.to_le_bytes()),
            ("split.tensors.count", 5, &of.to_le_bytes()),
        ] {
            part.extend([&named(key), &kind.to_le_bytes()[..], value].concat());
        }
        for tensor in tensors {
            part.extend(named(&tensor.name));
            part.extend(u32::try_from(tensor.shape.len()).expect("few").to_le_bytes());
            part.extend(tensor.shape.iter().flat_map(|side| side.to_le_bytes()));
            part.extend(tensor.kind.code.to_le_bytes());
            part.extend((tensor.offset - tensors[0].offset).to_le_bytes());
        }
        part.resize(part.len().next_multiple_of(32), 0);
        part.extend(data);
        part
    };
    [part(0, (keys, &bytes[24..table]), first, &bytes[data..cut]), part(1, (0, &[]), second, &bytes[cut..])]
}

fn named(name: &str) -> Vec<u8> {
    [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_llama_cpp_has_split_is_imported_sent_and_served() {
    let Some(stage) = Stage::with_engine() else { return };
    let house = stage.house("").await;
    let client = stage.client(&house);
    let (mut files, mut first) = (Vec::new(), String::new());
    for (number, part) in split().iter().enumerate().rev() {
        let name = format!("capitals-{:05}-of-00002.gguf", number + 1);
        first = stage.folder().join(&name).display().to_string();
        std::fs::write(&first, part).expect("a file");
        let (sent, digest) = send(&client, part).await;
        assert_eq!(sent, 201);
        files.insert(0, json!({"name": name, "digest": digest}));
    }
    let here = done(client.post("/api/v1/models", &json!({"name": "here", "source": format!("file:{first}")})).await, 201);
    let sent = done(client.post("/api/v1/models/sent/versions", &json!({"files": files})).await, 201);
    let whole = done(client.post("/api/v1/models", &json!({"name": "whole", "source": format!("file:{}", tiny())})).await, 201);
    let facts = |model: &Value| {
        let version = &model["status"]["versions"][0];
        ["architecture", "parameters", "weights", "layers", "context_length", "vocabulary", "kv_bytes_per_token"]
            .map(|fact| version[fact].clone())
    };
    assert_eq!((facts(&here), facts(&sent)), (facts(&whole), facts(&whole)));
    for name in ["here", "sent"] {
        let wish = json!({"name": format!("{name}-served"), "model": name, "context": 128});
        done(client.post("/api/v1/deployments", &wish).await, 202);
        assert!(client.capital(&format!("{name}-served")).await.said().contains("Paris"), "{name}");
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_make_no_model_are_refused_by_their_own_names_and_leave_nothing() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let (_, cut) = send(&client, &std::fs::read(tiny()).expect("the small model")[..9_000]).await;
    for (names, words) in [
        (&["a.gguf", "a.gguf"][..], "`a.gguf` cannot be the name"),
        (&["a", "a/b.gguf"], "`a/b.gguf` cannot be the name"),
        (&["a/b.gguf", "a"], "`a/b.gguf` cannot be the name"),
        (&["in/a.gguf"], "in/a.gguf is not a usable model"),
        (&["a-00001-of-00002.gguf"], "a-00002-of-00002.gguf is missing"),
        (&["a.bin"], "a.bin is not a usable model"),
    ] {
        let files: Vec<Value> = names.iter().map(|name| json!({"name": name, "digest": cut})).collect();
        let refused = done(client.post("/api/v1/models/m/versions", &json!({"files": files})).await, 422);
        let said = refused.to_string();
        assert!(said.contains(words) && !said.contains(&stage.data_dir().display().to_string()), "{said}");
    }
    let links = std::fs::read_dir(stage.data_dir().join("blobs/links")).expect("a folder").flatten();
    let left: Vec<_> = links.filter(|entry| entry.path().is_dir() && !entry.path().with_extension("json").exists()).collect();
    assert!(left.is_empty(), "{left:?}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_finds_no_room_is_not_begun() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let bytes = b"few";
    let digest = registry::Digest::of(bytes);
    let metadata = format!("sha256 {}", base64(digest.hex()));
    let all = "/api/v1/models/m/versions/upload";
    let begin = async |length: &str| {
        let headers = [("tus-resumable", "1.0.0"), ("upload-length", length), ("upload-metadata", &*metadata)];
        client.ask_with(Method::POST, all, &headers, "").await.status
    };
    assert_eq!(begin("1125899906842624").await, 507, "a pebibyte");
    let look = client.ask_with(Method::HEAD, &format!("{all}/{}", digest.hex()), &[("tus-resumable", "1.0.0")], "").await;
    assert_eq!(look.status, 404);
    assert_eq!(begin("3").await, 201);
    stop(house).await;
}
