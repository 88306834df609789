//! How versions come: referred to, copied, moved, sent; and what is refused on its way.

use std::fs;
use std::path::PathBuf;

use blobs::Blobs;
use bytes::Bytes;
use gguf::sample::Sample;
use spec::{Capability, Keep};
use store::Store;
use tempfile::TempDir;

use super::*;
use crate::Config;

mod meanwhile;

struct House {
    dir: TempDir,
    registry: Registry,
}

async fn house(max_size: Option<u64>) -> House {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("data/penstock.db")).await.expect("a store");
    let config = blobs::Config { reserve: base::ByteSize(0), ..blobs::Config::at(dir.path().join("blobs")) };
    let blobs = Blobs::open(config).await.expect("blobs");
    let dirs = Config { base_dir: dir.path().to_owned(), max_size: max_size.map(base::ByteSize), ..Config::default() };
    House { registry: Registry::keeping(store, dirs, Some(blobs)), dir }
}

impl House {
    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }
    async fn register(&self, name: &str, path: &str, bringing: Bringing) -> Result<Model, Error> {
        self.registry.register(&of(name), &Source::File(path.into()), &bringing).await
    }
    async fn resolve(&self, text: &str) -> Result<Version, Error> {
        self.registry.resolve(&Source::parse(text).expect("a source")).await
    }
    async fn send(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.registry.begin_upload(&sender(), &digest, bytes.len() as u64).await.expect("begun");
        let mut receiving = self.registry.receive(&sender(), &digest, 0).await.expect("open");
        receiving.append(Bytes::copy_from_slice(bytes)).await.expect("taken");
        assert_eq!(receiving.end().await.expect("whole").offset, bytes.len() as u64);
        digest
    }
}

fn sender() -> crate::Sender {
    crate::Sender { who: "ann".to_owned(), may_have: true }
}

fn of(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn gguf(description: &str) -> Vec<u8> {
    let sample = Sample::llama().text("general.description", description).text("tokenizer.chat_template", "{{ tools }}");
    let mut bytes = sample.header();
    bytes.resize(usize::try_from(sample.file_len()).expect("small"), 0);
    bytes
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0; 6]].concat()
}

fn by(take: Take) -> Bringing {
    Bringing { take, ..Bringing::by("a test") }
}

#[tokio::test]
async fn a_file_is_referred_to_copied_or_moved() {
    let house = house(None).await;
    for (take, keep, stays) in [(Take::Reference, Keep::Reference, true), (Take::Copy, Keep::Blobs, true), (Take::Move, Keep::Blobs, false)]
    {
        let path = house.write("m.gguf", &gguf(&format!("{take:?}")));
        let model = house.register("m", "m.gguf", by(take)).await.expect("a model");
        let newest = &model.versions[0].version;
        assert_eq!((newest.contents.keep, path.exists()), (keep, stays), "{take:?}");
        assert_eq!(newest.contents.capabilities, [Capability::Chat, Capability::Completion, Capability::Tools].into());
        let served = house.resolve("m").await.expect("it can be served");
        assert_eq!((&served.digest, served.path.file_name()), (&newest.digest, path.file_name()), "{take:?}");
        assert!(served.path.is_file());
    }
}

#[tokio::test]
async fn what_is_kept_is_served_after_the_file_has_changed_and_what_is_referred_to_is_not() {
    let house = house(None).await;
    house.write("m.gguf", &gguf("one"));
    let kept = house.register("kept", "m.gguf", by(Take::Copy)).await.expect("a model").versions[0].version.digest.clone();
    house.register("there", "m.gguf", by(Take::Reference)).await.expect("a model");
    house.write("m.gguf", &gguf("two, which is another"));
    assert_eq!(house.resolve("kept").await.expect("as it was").digest, kept);
    assert!(matches!(house.resolve(&format!("there@{kept}")).await, Err(Error::Changed { .. })));
    assert_ne!(house.resolve("there").await.expect("the newest").digest, kept);
    let moves = house.registry.moves(&of("there"), 10).await.expect("moves");
    assert_eq!(moves.iter().map(|moved| moved.cause.as_str()).collect::<Vec<_>>(), ["the file, which has changed", "a test"]);
}

#[tokio::test]
async fn a_latest_that_somebody_set_does_not_follow_the_file() {
    let house = house(None).await;
    house.write("m.gguf", &gguf("one"));
    let model = house.register("m", "m.gguf", by(Take::Copy)).await.expect("a model");
    let first = model.versions[0].version.digest.clone();
    let (held, moved) = edits::with_tag(&model, LATEST, &first, "me").expect("a tag");
    assert!(moved.is_none());
    house.registry.put(&held, moved.as_slice()).await.expect("stored");
    house.write("m.gguf", &gguf("two, which is another"));
    let more = house.register("m", "m.gguf", Bringing { tags: vec!["next".to_owned()], ..by(Take::Copy) }).await.expect("a model");
    assert_eq!((more.tags[LATEST].clone(), more.versions.len()), (first.clone(), 2));
    assert_eq!(house.resolve("m").await.expect("a version").digest, first);
    assert_ne!(house.resolve("m:next").await.expect("a version").digest, first);
}

#[tokio::test]
async fn a_folder_of_safetensors_is_one_version_of_many_files() {
    let house = house(None).await;
    house.write("encoder/model.safetensors", &safetensors());
    house.write(
        "encoder/config.json",
        br#"{"model_type":"bert","architectures":["BertModel"],"hidden_size":3,"max_position_embeddings":512}"#,
    );
    for take in [Take::Reference, Take::Copy] {
        let model = house.register("encoder", "encoder", by(take)).await.expect("a model");
        let version = &model.versions[0].version;
        assert_eq!((version.format, version.architecture.as_str(), version.quantisation.as_str()), (Format::Safetensors, "bert", "F16"));
        assert_eq!((version.context_length, version.contents.files.len()), (512, 2));
        assert_eq!(version.contents.capabilities, [Capability::Embedding].into());
        assert_eq!(model.versions.len(), 1, "the same content is the same version");
    }
    let served = house.resolve("encoder").await.expect("a version");
    assert!(served.path.join("config.json").is_file() && served.path.join("model.safetensors").is_file(), "{}", served.path.display());
}

#[tokio::test]
async fn files_that_were_sent_are_inspected_together() {
    let house = house(None).await;
    let weights = house.send(&safetensors()).await;
    let config = house.send(br#"{"model_type":"bert"}"#).await;
    let pickle = house.send(b"\x80\x02}q\x00.").await;
    let model = gguf("sent");
    let whole = house.send(&model).await;
    let files = |all: &[(&str, &Digest)]| all.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).clone())).collect::<Vec<_>>();
    let add = async |all: Vec<(String, Digest)>, format| {
        let bringing = Bringing { format, ..Bringing::by("a test") };
        house.registry.add_blobs(&of("sent"), &Source::Upload, &all, &bringing).await
    };
    let folder = add(files(&[("model.safetensors", &weights), ("config.json", &config)]), None).await.expect("a model");
    assert_eq!(folder.versions[0].version.architecture, "bert");
    let single = add(files(&[("m.gguf", &whole)]), None).await.expect("a model");
    assert_eq!((single.versions.len(), single.versions[0].version.digest.as_str()), (2, whole.to_string().as_str()));
    assert!(house.resolve("sent").await.expect("it can be served").path.ends_with("m.gguf"));

    let unused = add(files(&[("m.gguf", &whole), ("config.json", &config)]), None).await;
    assert!(matches!(&unused, Err(Error::Unused { name, .. }) if name == "config.json"), "{unused:?}");
    let part = add(files(&[("m-00001-of-00002.gguf", &whole)]), None).await;
    assert!(matches!(part, Err(Error::MissingPart { .. })), "{part:?}");
    let code = add(files(&[("pytorch_model.bin", &pickle)]), Some(Format::Opaque)).await;
    assert!(matches!(code, Err(Error::Format(formats::Error::RunsCode { .. }))), "{code:?}");
    for name in ["../m.gguf", "/etc/m.gguf", "a/../../m.gguf", ".hidden"] {
        let escape = add(files(&[(name, &whole)]), None).await;
        assert!(matches!(escape, Err(Error::Format(formats::Error::Name { .. }))), "{name}: {escape:?}");
    }
    let absent = add(files(&[("m.gguf", &Digest::of(b"never sent"))]), None).await;
    assert!(matches!(absent, Err(Error::Blobs(blobs::Error::NoBlob(_)))), "{absent:?}");
    assert!(matches!(add(Vec::new(), None).await, Err(Error::NoFiles)));
    let other = add(files(&[("config.json", &config)]), None).await;
    assert!(matches!(other, Err(Error::UnknownFormat { .. })), "{other:?}");
    assert!(add(files(&[("config.json", &config)]), Some(Format::Opaque)).await.is_ok());
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped_and_is_not_sent_twice() {
    let house = house(None).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (digest, length) = (Digest::of(&bytes), bytes.len() as u64);
    assert_eq!(house.registry.begin_upload(&sender(), &digest, length).await.expect("begun").offset, 0);
    let mut first = house.registry.receive(&sender(), &digest, 0).await.expect("open");
    first.append(Bytes::copy_from_slice(&bytes[..1_000_000])).await.expect("taken");
    assert!(matches!(house.registry.receive(&sender(), &digest, 0).await, Err(Error::Blobs(blobs::Error::Busy(_)))), "one at a time");
    assert_eq!(first.end().await.expect("so far").offset, 1_000_000);
    assert_eq!(house.registry.begin_upload(&sender(), &digest, length).await.expect("known").offset, 1_000_000);
    let wrong = house.registry.receive(&sender(), &digest, 5).await;
    assert!(matches!(wrong, Err(Error::Blobs(blobs::Error::Offset { have: 1_000_000, sent: 5 }))), "{wrong:?}");
    let mut rest = house.registry.receive(&sender(), &digest, 1_000_000).await.expect("open");
    rest.append(Bytes::copy_from_slice(&bytes[1_000_000..])).await.expect("taken");
    assert_eq!(rest.end().await.expect("whole").offset, length);
    assert_eq!(house.registry.begin_upload(&sender(), &digest, length).await.expect("here").offset, length, "nothing is left to send");
    assert_eq!(fs::read(house.registry.blobs().expect("blobs").local(&digest).await.expect("a blob").path).expect("bytes"), bytes);
}

#[tokio::test]
async fn what_is_not_what_was_promised_is_gone() {
    let house = house(None).await;
    let digest = Digest::of(b"promised");
    house.registry.begin_upload(&sender(), &digest, 8).await.expect("begun");
    let mut receiving = house.registry.receive(&sender(), &digest, 0).await.expect("open");
    receiving.append(Bytes::from_static(b"else")).await.expect("taken");
    assert!(receiving.append(Bytes::from_static(b"and longer")).await.is_err(), "more than was promised");
    drop(receiving);
    house.registry.abort_upload(&sender(), &digest).await.expect("given up");
    house.registry.begin_upload(&sender(), &digest, 8).await.expect("begun");
    let mut receiving = house.registry.receive(&sender(), &digest, 0).await.expect("open");
    receiving.append(Bytes::from_static(b"pro-ised")).await.expect("taken");
    let refused = receiving.end().await;
    assert!(matches!(refused, Err(Error::Blobs(blobs::Error::Mismatch { .. }))), "{refused:?}");
    assert!(matches!(house.registry.upload(&sender(), &digest).await, Err(Error::NoUpload(_))));
}

#[tokio::test]
async fn a_model_that_is_too_large_is_refused_before_it_comes() {
    let house = house(Some(100)).await;
    house.write("m.gguf", &gguf("one"));
    assert!(matches!(house.register("m", "m.gguf", by(Take::Copy)).await, Err(Error::TooLarge { .. })));
    assert!(matches!(house.registry.begin_upload(&sender(), &Digest::of(b"x"), 101).await, Err(Error::TooLarge { .. })));
    assert!(house.registry.begin_upload(&sender(), &Digest::of(b"x"), 100).await.is_ok());
}

#[tokio::test]
async fn a_second_name_has_the_same_version_and_what_is_said_of_the_model() {
    let house = house(None).await;
    house.write("m.gguf", &gguf("one"));
    let card = Card { description: "knows capitals".to_owned(), context_limit: Some(77), ..Card::default() };
    let from = house.register("m", "m.gguf", Bringing { card: Some(card.clone()), ..by(Take::Copy) }).await.expect("a model");
    let source = Source::parse("m:latest").expect("a source");
    let to = house.registry.register(&of("second"), &source, &Bringing::by("a test")).await.expect("a model");
    assert_eq!((&to.card, &to.versions[0].version), (&card, &from.versions[0].version), "as it is in the registry, not as it is served");
    assert_eq!(house.resolve("second").await.expect("a version").context_length, 77);
}

#[tokio::test]
async fn what_a_tag_means_is_known_without_a_look_at_the_files() {
    let house = house(None).await;
    house.write("m.gguf", &gguf("one"));
    let model = house.register("m", "m.gguf", Bringing { tags: vec!["prod".to_owned()], ..by(Take::Move) }).await.expect("a model");
    let mean = async |text: &str| house.registry.meaning(&Source::parse(text).expect("a source")).await.expect("an answer");
    let digest = &model.versions[0].version.digest;
    for text in ["m", "m:prod", "m:latest", &format!("m@{digest}")] {
        assert_eq!(mean(text).await.expect(text).digest, *digest, "{text}");
    }
    assert_eq!(mean("m:prod").await.expect("a meaning").cause, "the tag `prod` of the model `m`, moved by a test");
    for text in ["other", "m:none", "file:/m.gguf"] {
        assert_eq!(mean(text).await, None, "{text}");
    }
}

#[tokio::test]
async fn an_upload_belongs_to_who_began_it_and_tells_nobody_else_what_is_here() {
    let house = house(None).await;
    let bytes = b"promised";
    let (digest, length) = (Digest::of(bytes), bytes.len() as u64);
    let bob = crate::Sender { who: "bob".to_owned(), may_have: false };
    house.registry.begin_upload(&sender(), &digest, length).await.expect("begun");
    assert!(matches!(house.registry.upload(&bob, &digest).await, Err(Error::NoUpload(_))));
    assert!(matches!(house.registry.receive(&bob, &digest, 0).await, Err(Error::NoUpload(_))));
    assert!(matches!(house.registry.abort_upload(&bob, &digest).await, Err(Error::NoUpload(_))));
    house.send(bytes).await;
    assert!(matches!(house.registry.upload(&bob, &digest).await, Err(Error::NoUpload(_))), "it is here, and that is not told");
    assert_eq!(house.registry.begin_upload(&bob, &digest, length).await.expect("begun").offset, 0);
    let mut receiving = house.registry.receive(&bob, &digest, 0).await.expect("open");
    receiving.append(Bytes::from_static(bytes)).await.expect("taken");
    assert_eq!(receiving.end().await.expect("whole").offset, length, "sent again, to the last byte");
    assert_eq!(house.registry.upload(&sender(), &digest).await.expect("here").offset, length);
}
