//! From what somebody typed to a version, and every way in which that goes wrong.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use base::{Fault as _, Kind, Retry};
use gguf::sample::Sample;
use spec::Name;
use tempfile::TempDir;

use super::*;
use crate::Bringing;
use crate::error::Near;
use crate::parts;

struct House {
    dir: TempDir,
    registry: Registry,
}

async fn house() -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("data/penstock.db")).await.expect("a store");
    let config = Config {
        models_dir: Some("shelf".into()),
        base_dir: dir.path().join("base"),
        home: Some(dir.path().join("home")),
        ..Config::default()
    };
    for folder in ["base/shelf", "home"] {
        fs::create_dir_all(dir.path().join(folder)).expect("a folder");
    }
    House { registry: Registry::new(store, config), dir }
}

impl House {
    /// Writes a file below the house, changed so long ago that its digest is remembered.
    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        age(&path, 60);
        path
    }
    async fn resolve(&self, source: &str) -> Result<Version, Error> {
        self.registry.resolve(&Source::parse(source).expect("a source")).await
    }
    async fn refused(&self, source: &str) -> Error {
        self.resolve(source).await.expect_err("it must be refused")
    }
}

fn age(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("the file");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("its time");
}

/// A whole file: header and (empty) weights.
fn model(sample: &Sample) -> Vec<u8> {
    let mut bytes = sample.header();
    bytes.resize(usize::try_from(sample.file_len()).expect("small"), 0);
    bytes
}

fn named(title: &str) -> Vec<u8> {
    let sample = Sample::llama().text("general.description", title);
    model(&sample)
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

#[tokio::test]
async fn a_file_becomes_a_version_with_all_that_its_header_tells() {
    let house = house().await;
    let bytes = model(&Sample::llama().text("tokenizer.chat_template", "{{ messages }}"));
    let path = house.write("m/tiny.gguf", &bytes);
    let version = house.resolve(&format!("file:{}", path.display())).await.expect("a version");
    let expected = Version {
        digest: format!("sha256:{}", hex(&bytes)),
        path,
        size: base::ByteSize(bytes.len() as u64),
        format: spec::Format::Gguf,
        architecture: "llama".to_owned(),
        quantisation: "Q4_K_M".to_owned(),
        title: Some("Sample".to_owned()),
        parameters: 256 * 4 + 128,
        context_length: 4096,
        layers: 4,
        weights: version.weights,
        // 4 layers, 2 heads of 32 for keys and as many for values, 2 bytes each.
        kv_bytes_per_token: 4 * 2 * 32 * 2 * 2,
        embedding_length: 128,
        vocabulary: 4,
        has_template: true,
        contents: spec::Contents {
            files: vec![spec::Part {
                name: "tiny.gguf".to_owned(),
                size: base::ByteSize(bytes.len() as u64),
                digest: format!("sha256:{}", hex(&bytes)),
            }],
            capabilities: [spec::Capability::Chat, spec::Capability::Completion].into(),
            ..spec::Contents::default()
        },
        body: spec::Body {
            layers: vec![spec::Layers { count: 4, keys: 2 * 32, values: 2 * 32, ..spec::Layers::default() }],
            input: base::ByteSize(4 * 144),
            shared: base::ByteSize(4 * 144),
            output: base::ByteSize(128 * 4),
            heads: 4,
            queries: 4 * 32,
            feed_forward: 352,
            merges: 1,
            ..spec::Body::default()
        },
    };
    assert_eq!(version, expected);
    assert!(version.weights.0 > 0 && version.weights < version.size);
}

fn hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digits = sha2::Sha256::digest(bytes).iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<u8>>();
    digits.iter().filter_map(|digit| char::from_digit((*digit).into(), 16)).collect()
}

#[tokio::test]
async fn a_path_may_begin_at_home_at_the_config_or_on_the_shelf() {
    let house = house().await;
    let bytes = model(&Sample::llama());
    let at_home = house.write("home/m/a.gguf", &bytes);
    let at_config = house.write("base/b.gguf", &bytes);
    let on_shelf = house.write("base/shelf/c.gguf", &bytes);
    let dotted = house.dir.path().join("base/./shelf/../b.gguf");
    for (typed, path) in [
        ("~/m/a.gguf", &at_home),
        ("b.gguf", &at_config),
        ("./b.gguf", &at_config),
        ("c.gguf", &on_shelf),
        ("c", &on_shelf),
        ("c:latest", &on_shelf),
    ] {
        assert_eq!(&house.resolve(typed).await.expect(typed).path, path, "{typed}");
    }
    assert!(house.resolve(&format!("file:{}", dotted.display())).await.is_ok());
    let homeless = Registry::new(house.registry.inner.store.clone(), Config { home: None, ..house.registry.inner.config.clone() });
    let refused = homeless.resolve(&Source::File("~/m/a.gguf".into())).await;
    assert!(matches!(&refused, Err(Error::NoHome { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_missing_file_is_told_with_the_one_that_was_meant() {
    let house = house().await;
    let there = house.write("m/qwen3-8b-q4.gguf", &model(&Sample::llama()));
    let typo = house.refused(&format!("file:{}", house.dir.path().join("m/qwen3-8b.gguf").display())).await;
    assert!(matches!(&typo, Error::Missing { near: Some(Near::File(near)), .. } if *near == there), "{typo:?}");
    assert_eq!(typo.kind(), Kind::NotFound);
    assert!(typo.hint().expect("a hint").contains("qwen3-8b-q4.gguf"));
    let no_folder = house.refused(&format!("file:{}", house.dir.path().join("x/y/z.gguf").display())).await;
    assert!(matches!(&no_folder, Error::Missing { near: Some(Near::Folder(near)), .. } if near == house.dir.path()), "{no_folder:?}");
    let below_a_file = house.refused(&format!("file:{}/x.gguf", there.display())).await;
    assert!(matches!(&below_a_file, Error::Missing { .. }), "{below_a_file:?}");
}

#[tokio::test]
async fn what_is_no_usable_file_is_refused_with_what_to_do() {
    let house = house().await;
    let inside = house.write("m/a.gguf", &model(&Sample::llama()));
    let folder = house.refused(&format!("file:{}", house.dir.path().join("m").display())).await;
    assert!(matches!(&folder, Error::NotAFile { near: Some(Near::File(near)), .. } if *near == inside), "{folder:?}");
    let empty = house.write("empty.gguf", b"");
    let empty = house.refused(&format!("file:{}", empty.display())).await;
    assert!(matches!(&empty, Error::Empty { .. }), "{empty:?}");

    let letter = house.write("letter.gguf", b"Dear Sir or Madam, this is not a model at all.");
    let letter = house.refused(&format!("file:{}", letter.display())).await;
    assert!(matches!(&letter, Error::Corrupt { source: gguf::Error::NotGguf(_), .. }), "{letter:?}");
    let mut bytes = model(&Sample::llama());
    bytes.truncate(bytes.len() - 64);
    let cut = house.write("cut.gguf", &bytes);
    let cut = house.refused(&format!("file:{}", cut.display())).await;
    assert!(matches!(&cut, Error::Corrupt { .. }) && cut.to_string().contains("cut short"), "{cut}");
    for error in [&folder, &empty, &letter, &cut] {
        assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
    }
    let silent = house.write("silent.gguf", &model(&Sample::of("llama")));
    let silent = house.refused(&format!("file:{}", silent.display())).await;
    assert!(silent.to_string().contains("context_length"), "{silent}");
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_not_called_missing() {
    let house = house().await;
    let path = house.write("secret.gguf", &model(&Sample::llama()));
    fs::set_permissions(&path, Permissions::from_mode(0o000)).expect("closed");
    let outcome = house.resolve(&format!("file:{}", path.display())).await;
    if File::open(&path).is_ok() {
        // The administrator may read everything, so there is nothing to refuse.
        assert!(outcome.is_ok(), "{outcome:?}");
    } else {
        assert!(matches!(&outcome, Err(Error::Permission { .. })), "{outcome:?}");
    }
    let error = Error::io(path, std::io::ErrorKind::PermissionDenied.into());
    assert_eq!(error.kind(), Kind::Forbidden);
}

#[tokio::test]
async fn an_unknown_architecture_is_refused_with_the_known_one_nearby() {
    let house = house().await;
    let path = house.write("m.gguf", &model(&Sample::of("qwen33").number("qwen33.context_length", 64)));
    let error = house.refused(&format!("file:{}", path.display())).await;
    let Error::UnknownArchitecture { architecture, suggestion: Some(near), .. } = &error else { panic!("{error:?}") };
    assert_eq!(architecture, "qwen33");
    assert!(near.starts_with("qwen3"), "{near}");
}

#[tokio::test]
async fn what_lies_elsewhere_is_refused_with_the_way_round_where_nothing_can_be_kept() {
    let house = house().await;
    for source in ["hf:org/repo", "s3://bucket/key", "https://example.org/m.bin", "http://example.org/m.bin"] {
        let error = house.refused(source).await;
        assert!(matches!(&error, Error::NoBlobs), "{error:?}");
        assert!(error.hint().expect("a hint").contains("file:"), "{error}");
    }
}

#[tokio::test]
async fn a_model_in_several_files_needs_all_of_them() {
    let house = house().await;
    let part = |number: u32| {
        // As llama.cpp's gguf-split writes them.
        let sample = if number == 0 { Sample::llama() } else { Sample::default().tensor(&format!("t{number}"), &[64], 0) };
        model(&sample.number("split.no", number).number("split.count", 3).number("split.tensors.count", 4))
    };
    let first = house.write("m/big-00001-of-00003.gguf", &part(0));
    house.write("m/big-00002-of-00003.gguf", &part(1));
    let third = house.dir.path().join("m/big-00003-of-00003.gguf");
    let source = format!("file:{}", first.display());
    let error = house.refused(&source).await;
    assert!(matches!(&error, Error::MissingPart { path, of: 3 } if *path == third), "{error:?}");

    house.write("m/big-00003-of-00003.gguf", &part(1));
    let error = house.refused(&source).await;
    assert!(matches!(&error, Error::WrongPart { number: 3, says_number: 2, .. }), "{error:?}");

    house.write("m/big-00003-of-00003.gguf", &part(2));
    let version = house.resolve(&source).await.expect("a version");
    let bytes: usize = (0..3).map(|number| part(number).len()).sum();
    assert_eq!(version.size, base::ByteSize(bytes as u64));
    assert_eq!(version.parameters, 256 * 4 + 128 + 2 * 64);
    assert_eq!((version.architecture.as_str(), version.context_length, version.layers), ("llama", 4096, 4), "as the first one says");
    let by_other_part = house.resolve(&format!("file:{}", third.display())).await.expect("the same model");
    assert_eq!(by_other_part, version, "the engine is given the first part");

    let alone = house.write("m/alone.gguf", &part(0));
    let error = house.refused(&format!("file:{}", alone.display())).await;
    assert!(matches!(&error, Error::WrongPart { of: 1, says_of: 3, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_is_hashed_once_for_as_long_as_it_stays_the_same() {
    let house = house().await;
    let path = house.write("m.gguf", &named("one"));
    let source = format!("file:{}", path.display());
    let real = house.resolve(&source).await.expect("a version").digest;
    // Only somebody who does not read the file again gives this answer.
    let file = parts::stamp(&path).expect("a stamp");
    house.registry.inner.store.put_digest(&file, "sha256:remembered").await.expect("stored");
    assert_eq!(house.resolve(&source).await.expect("a version").digest, "sha256:remembered");
    age(&path, 30);
    assert_eq!(house.resolve(&source).await.expect("a version").digest, real, "touched, so read again");
    // A file that was changed just now may change again without a trace.
    File::options().write(true).open(&path).expect("the file").set_modified(SystemTime::now()).expect("its time");
    house.resolve(&source).await.expect("a version");
    let file = parts::stamp(&path).expect("a stamp");
    assert_eq!(house.registry.inner.store.get_digest(&file).await.expect("read"), None);
}

#[tokio::test]
async fn somebody_may_look_on_while_a_file_is_hashed() {
    let house = house().await;
    let bytes = named("one");
    let path = house.write("m.gguf", &bytes);
    let progress = Progress::new();
    assert_eq!(progress.share(), None);
    for _ in 0..2 {
        house.registry.resolve_watched(&Source::File(path.clone()), &progress).await.expect("a version");
        assert_eq!((progress.done(), progress.total()), (bytes.len() as u64, bytes.len() as u64));
        assert_eq!(progress.share(), Some(1.0));
    }
}

#[tokio::test]
async fn callers_at_the_same_time_get_the_same_version() {
    let house = house().await;
    let path = house.write("m.gguf", &named("one"));
    let source = Source::File(path);
    let (a, b) = tokio::join!(house.registry.resolve(&source), house.registry.resolve(&source));
    assert_eq!(a.expect("a version"), b.expect("a version"));
}

#[tokio::test]
async fn a_registered_model_is_found_by_name_tag_and_digest() {
    let house = house().await;
    house.write("base/m.gguf", &named("one"));
    let model = house.registry.register(&name("org/tiny"), &Source::File("m.gguf".into()), &Bringing::by("a test")).await.expect("a model");
    let digest = model.versions[0].version.digest.clone();
    assert_eq!(model.tags.get("latest"), Some(&digest));
    assert!(matches!(&model.source, Source::File(path) if path.is_absolute()), "{:?}", model.source);
    let short = &digest[..7 + 12];
    for typed in ["org/tiny", "org/tiny:latest", &format!("org/tiny@{digest}"), &format!("org/tiny@{short}")] {
        assert_eq!(house.resolve(typed).await.expect(typed), model.versions[0].version, "{typed}");
    }
    house.registry.register(&name("tiny:8b"), &Source::File("m.gguf".into()), &Bringing::by("a test")).await.expect("a model");
    assert_eq!(house.resolve("tiny:8b").await.expect("by its whole name"), model.versions[0].version);
    assert_eq!(house.registry.list().await.expect("models").len(), 2);
    assert_eq!(house.registry.get(&name("org/tiny")).await.expect("a model"), model);

    let no_tag = house.refused("org/tiny:prod").await;
    assert!(matches!(&no_tag, Error::NoVersion { .. }) && no_tag.hint().expect("a hint").contains("latest"), "{no_tag:?}");
    let too_short = house.refused(&format!("org/tiny@{}", &digest[..10])).await;
    assert!(matches!(&too_short, Error::NoVersion { .. }), "{too_short:?}");
    let typo = house.refused("org/tinny").await;
    assert!(matches!(&typo, Error::NotFound { near: Some(near), .. } if near.as_str() == "org/tiny"), "{typo:?}");

    house.registry.remove(&name("org/tiny"), None).await.expect("removed");
    assert!(matches!(house.registry.remove(&name("org/tiny"), None).await, Err(Error::NotFound { .. })));
    assert!(matches!(house.registry.get(&name("org/tiny")).await, Err(Error::NotFound { .. })));
    assert!(house.dir.path().join("base/m.gguf").is_file(), "the file stays");
}

#[tokio::test]
async fn a_changed_file_is_a_new_version_and_the_old_one_is_not_served_in_its_place() {
    let house = house().await;
    let path = house.write("m.gguf", &named("one"));
    let source = Source::File(path.clone());
    let before = house.registry.register(&name("m"), &source, &Bringing::by("a test")).await.expect("a model");
    let again = house.registry.register(&name("m"), &source, &Bringing::by("a test")).await.expect("a model");
    assert_eq!((again.versions.len(), again.created_at), (1, before.created_at), "the same content is the same version");

    house.write("m.gguf", &named("two, and longer"));
    let old = before.versions[0].version.digest.clone();
    let newest = house.resolve("m").await.expect("a version");
    assert_ne!(newest.digest, old);
    let model = house.registry.get(&name("m")).await.expect("a model");
    assert_eq!(model.tags.get("latest"), Some(&newest.digest));
    assert_eq!(model.versions.iter().map(|v| v.version.digest.as_str()).collect::<Vec<_>>(), [newest.digest.as_str(), old.as_str()]);

    let error = house.refused(&format!("m@{old}")).await;
    assert!(matches!(&error, Error::Changed { wanted, found, .. } if *wanted == old && *found == newest.digest), "{error:?}");
    assert_eq!((error.kind(), error.retry()), (Kind::Conflict, Retry::No));
    fs::remove_file(&path).expect("gone");
    assert!(matches!(house.refused("m").await, Error::Missing { .. }));
}

#[tokio::test]
async fn versions_are_bounded_what_is_named_and_the_newest_stay_and_what_goes_is_told() {
    let house = house().await;
    let mut digests = Vec::new();
    for n in 0..104 {
        let path = house.write("m.gguf", &named(&format!("number {n}")));
        // Same length, same age: only the content tells them apart, so it must be read.
        age(&path, 1_000 + n);
        let model = house.registry.register(&name("m"), &Source::File(path), &Bringing::by("a test")).await.expect("a model");
        digests.push(model.versions[0].version.digest.clone());
        if n == 0 {
            // It may be frozen with it later.
            let source = Source::parse(&format!("m@{}", &digests[0][..7 + 12])).expect("a source");
            let pinned = spec::Deployment { model: Some(source), ..spec::Deployment::named(name("pinned")) };
            house.registry.inner.store.put_deployment(&pinned, spec::deployment::Origin::Api, None).await.expect("stored");
        }
    }
    let model = house.registry.get(&name("m")).await.expect("a model");
    assert_eq!(model.versions.len(), 100);
    assert_eq!(model.tags.get("latest"), Some(&model.versions[0].version.digest));
    assert!(model.version(&digests[0]).is_some(), "a deployment names it");
    let told: Vec<String> = house.registry.news().into_iter().map(|event| event.message).collect();
    assert_eq!(told.len(), 4);
    for (digest, told) in digests[1..].iter().zip(&told) {
        assert!(told.contains(digest) && told.contains("`m`") && told.contains("(a test)"), "{told}");
    }
    assert!(house.registry.news().is_empty(), "once");
}

#[tokio::test]
async fn what_an_engine_is_about_to_read_is_what_was_registered_or_nothing() {
    let house = house().await;
    let path = house.write("m.gguf", &named("one"));
    let version = house.resolve(&format!("file:{}", path.display())).await.expect("a version");
    let at_hand = async || house.registry.at_hand(&version).await.map(drop);
    at_hand().await.expect("the same");
    age(&path, 30);
    at_hand().await.expect("it was touched, and is the same");
    let other = house.write("other.gguf", &named("two"));
    fs::rename(&other, &path).expect("another in its place");
    let error = at_hand().await.expect_err("another");
    assert!(matches!(&error, Error::Changed { wanted, .. } if *wanted == version.digest), "{error:?}");
    // Only somebody who does not read the file again gives this answer.
    let file = parts::stamp(&path).expect("a stamp");
    house.registry.inner.store.put_digest(&file, &version.digest).await.expect("stored");
    at_hand().await.expect("it is read once");
    fs::remove_file(&path).expect("gone");
    assert!(matches!(at_hand().await, Err(Error::Missing { .. })));
    let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    assert!(matches!(at_hand().await, Err(Error::NotAFile { .. })));
}

#[tokio::test]
async fn a_folder_is_gone_through_and_each_file_speaks_for_itself() {
    let house = house().await;
    let folder = house.dir.path().join("base/shelf");
    house.write("base/shelf/good.gguf", &named("one"));
    house.write("base/shelf/My Model (v2).GGUF", &named("two"));
    house.write("base/shelf/bad.gguf", b"this is no model, whatever its name says");
    house.write("base/shelf/notes.txt", b"not looked at");
    house.write("base/shelf/big-00001-of-00002.gguf", &named("half"));
    house.write("base/shelf/big-00002-of-00002.gguf", &named("half"));
    let names: Vec<String> = house.registry.files(&folder).await.expect("files").iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["My-Model--v2", "bad", "big-00001-of-00002", "good"]);
    let found = house.registry.scan(Path::new("shelf")).await.expect("relative to the config");
    let fine: Vec<(&str, bool)> = found.iter().map(|(name, outcome)| (name.as_str(), outcome.is_ok())).collect();
    assert_eq!(fine, [("My-Model--v2", true), ("bad", false), ("big-00001-of-00002", false), ("good", true)]);

    let missing = house.registry.scan(Path::new("shelv/deep")).await;
    assert!(matches!(&missing, Err(Error::Missing { .. })), "{missing:?}");
    let file = house.registry.files(&folder.join("good.gguf")).await;
    assert!(file.is_err(), "{file:?}");
}
