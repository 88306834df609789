//! Models come from machines that change, refuse, stall and break off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gguf::sample::Sample;
use spec::{Format, Name, Source};
use store::Store;
use tempfile::TempDir;
use testkit::{FileHost, HostedFile};

use crate::{Asker, Bringing, Config, Error, Fetching, Progress, Pull, Registry, Told};

use blobs::{Blobs, Digest};

mod claims;
mod hubs;
mod kills;
mod limits;

/// Far longer than a busy machine keeps a host from sending.
const STALL: Duration = Duration::from_secs(5);

struct House {
    dir: TempDir,
    host: FileHost,
    registry: Registry,
}

async fn house() -> House {
    house_with(|fetching| fetching).await
}

async fn house_with(change: impl FnOnce(Fetching) -> Fetching) -> House {
    let host = FileHost::open().await.expect("a host");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let fetching = Fetching { hub: host.url(), ollama: host.url(), stall: STALL, ..Fetching::default() };
    let fetching = change(fetching);
    let registry = registry(&dir, fetching).await;
    House { dir, host, registry }
}

async fn registry(dir: &TempDir, fetching: Fetching) -> Registry {
    let store = Store::open(dir.path().join("data/penstock.db")).await.expect("a store");
    let kept = blobs::Config { reserve: base::ByteSize(0), ..blobs::Config::at(dir.path().join("data/blobs")) };
    let blobs = Blobs::open(kept).await.expect("blobs");
    let config = Config { base_dir: dir.path().to_owned(), fetching, ..Config::default() };
    Registry::keeping(store, config, Some(blobs))
}

impl House {
    async fn resolve(&self, source: &str) -> Result<spec::Version, Error> {
        self.registry.resolve(&Source::parse(source).expect("a source")).await
    }
    async fn pull(&self, source: &str) -> Result<crate::Pulled, Error> {
        self.pull_for(source, &stranger()).await
    }
    async fn pull_for(&self, source: &str, by: &Asker) -> Result<crate::Pulled, Error> {
        self.registry.pull(&Source::parse(source).expect("a source"), None, by, &Progress::new()).await
    }
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.host.url())
    }
}

/// Somebody who has sent nothing and sees no model.
fn stranger() -> Asker {
    Asker { who: "a stranger".to_owned(), sees: Some(Vec::new()) }
}

/// A model of at least so many bytes; no two titles give the same.
fn model(title: &str, bytes: usize) -> Bytes {
    let sample = Sample::llama().text("general.description", title);
    let mut file = sample.header();
    let whole = usize::try_from(sample.file_len()).expect("small").max(bytes);
    let mut seed = title.len() as u64;
    while file.len() < whole {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.extend_from_slice(&seed.to_le_bytes());
    }
    file.truncate(whole);
    file.into()
}

const MB: usize = 1 << 20;

#[tokio::test]
async fn a_url_becomes_a_version_and_is_not_asked_for_again() {
    let house = house().await;
    let bytes = model("plain", MB);
    house.host.put("/m/tiny.gguf", HostedFile::of(bytes.clone()));
    let version = house.resolve(&house.url("/m/tiny.gguf")).await.expect("a version");
    assert_eq!(version.digest, Digest::of(&bytes).to_string());
    assert_eq!(version.path.file_name().unwrap(), "tiny.gguf");
    assert_eq!(std::fs::read(&version.path).unwrap(), bytes);
    house.host.asked();
    // The next start asks nobody.
    let House { dir, host, registry: before } = house;
    drop(before);
    let again = registry(&dir, Fetching { stall: Duration::from_millis(100), ..Fetching::default() }).await;
    let source = Source::parse(&format!("{}/m/tiny.gguf", host.url())).unwrap();
    assert_eq!(again.resolve(&source).await.expect("the version"), version);
    assert_eq!(host.asked(), []);
}

#[tokio::test]
async fn a_line_that_breaks_is_taken_up_where_it_broke() {
    let house = house().await;
    let bytes = model("breaks", 3 * MB);
    let file = HostedFile { cuts: vec![MB as u64, MB as u64 + 17], stall: None, ..HostedFile::of(bytes.clone()) };
    house.host.put("/tiny.gguf", file);
    let pulled = house.pull(&house.url("/tiny.gguf")).await.expect("a version");
    assert_eq!((pulled.version.digest, pulled.fetched), (Digest::of(&bytes).to_string(), bytes.len() as u64));
    let gets: Vec<_> = house.host.asked().into_iter().filter(|asked| asked.method == "GET").collect();
    let starts: Vec<usize> =
        gets.iter().filter_map(|asked| asked.range.as_ref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).collect();
    // What was in the line when it broke is lost; everything before is not asked for again.
    assert_eq!(gets.len(), 3);
    assert!((MB / 4..=MB).contains(&starts[0]) && starts[1] > starts[0] && starts[1] <= 2 * MB + 17, "{starts:?}");
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_never_taken_for_the_whole() {
    let house = house().await;
    let bytes = model("shifted", 3 * MB);
    house.host.put("/tiny.gguf", HostedFile { cuts: vec![MB as u64], shifts: vec![100], ..HostedFile::of(bytes.clone()) });
    let pulled = house.pull(&house.url("/tiny.gguf")).await.expect("a version");
    assert_eq!((pulled.version.digest, pulled.fetched), (Digest::of(&bytes).to_string(), bytes.len() as u64), "what had come is kept");
}

#[tokio::test]
async fn a_format_that_is_said_is_heeded_and_remembered() {
    let house = house().await;
    house.host.put("/x.bin", HostedFile::of(Bytes::from_static(b"nobody knows what this is")));
    house.host.put("/tiny.gguf", HostedFile::of(model("said", MB)));
    let pulled = async |path: &str, format: Option<Format>| {
        let (tell, told) = tokio::sync::oneshot::channel();
        let told_to: Told = Box::new(move |operation, model| drop(tell.send((operation, model))));
        let bringing = Bringing { format, ..Bringing::by("a test") };
        let (name, source) = (Name::parse("m").unwrap(), Source::parse(&house.url(path)).unwrap());
        house.registry.begin_pull(Pull { name, source, project: None, bringing, by: stranger() }, told_to).await.expect("begun");
        let (operation, model) = told.await.expect("an end");
        model.ok_or_else(|| operation.reason.expect("a reason").message)
    };
    assert!(pulled("/x.bin", None).await.unwrap_err().contains("no format that is known"));
    let model = pulled("/x.bin", Some(Format::Opaque)).await.expect("a model");
    assert_eq!(model.versions[0].version.format, Format::Opaque);
    assert!(pulled("/tiny.gguf", Some(Format::Onnx)).await.unwrap_err().contains("is gguf, not onnx"));
    // The next start asks nobody, and takes it for the same.
    house.host.asked();
    let House { dir, host, registry: before } = house;
    drop(before);
    let again = registry(&dir, Fetching::default()).await;
    let source = Source::parse(&format!("{}/x.bin", host.url())).unwrap();
    assert_eq!(again.resolve(&source).await.expect("the version").digest, model.versions[0].version.digest);
    assert_eq!(host.asked(), []);
}

#[tokio::test]
async fn a_line_that_stalls_is_given_up_and_taken_up_again() {
    let house = house_with(|fetching| Fetching { stall: Duration::from_millis(500), ..fetching }).await;
    let bytes = model("stalls", MB);
    house.host.put("/tiny.gguf", HostedFile { stall: Some(300_000), ..HostedFile::of(bytes.clone()) });
    assert_eq!(house.resolve(&house.url("/tiny.gguf")).await.unwrap().digest, Digest::of(&bytes).to_string());
}

#[tokio::test]
async fn a_file_that_changes_in_the_middle_is_fetched_whole_and_never_mixed() {
    let house = house().await;
    let (old, new) = (model("old", 3 * MB), model("newer", 2 * MB + 5));
    // Nothing more of the old one comes, however late the new one is put in its place.
    house.host.put("/tiny.gguf", HostedFile { cuts: vec![2 * MB as u64, 0, 0, 0], ..HostedFile::of(old) });
    let source = house.url("/tiny.gguf");
    let pull = house.pull(&source);
    let change = async {
        while house.host.sent("/tiny.gguf") < 2 * MB as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        house.host.put("/tiny.gguf", HostedFile::of(new.clone()));
    };
    let (pulled, ()) = tokio::join!(pull, change);
    assert_eq!(pulled.expect("the new one").version.digest, Digest::of(&new).to_string());
}

#[tokio::test]
async fn a_server_without_ranges_begins_again_and_the_file_is_right() {
    let house = house().await;
    let bytes = model("no ranges", 2 * MB);
    let file = HostedFile { no_ranges: true, no_head: true, cuts: vec![0, MB as u64], ..HostedFile::of(bytes.clone()) };
    house.host.put("/tiny.gguf", file);
    assert_eq!(house.resolve(&house.url("/tiny.gguf")).await.unwrap().digest, Digest::of(&bytes).to_string());
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_refused() {
    let house = house().await;
    let bytes = model("digest", MB);
    house.host.put("/tiny.gguf", HostedFile::of(bytes.clone()));
    let wrong = Digest::of(b"another").hex().to_owned();
    let error = house.resolve(&format!("{}#sha256={wrong}", house.url("/tiny.gguf"))).await.unwrap_err();
    assert!(matches!(error, Error::Blobs(blobs::Error::Mismatch { .. })), "{error}");
    let right = Digest::of(&bytes).hex().to_owned();
    house.resolve(&format!("{}#sha256={right}", house.url("/tiny.gguf"))).await.expect("the right one");
}

#[tokio::test]
async fn large_files_come_in_ranges_side_by_side_and_each_byte_once() {
    let house = house().await;
    let bytes = model("large", 70 * MB);
    house.host.put("/large.gguf", HostedFile { statuses: vec![], ..HostedFile::of(bytes.clone()) });
    let version = house.resolve(&house.url("/large.gguf")).await.expect("a version");
    assert_eq!(version.digest, Digest::of(&bytes).to_string());
    assert_eq!(house.host.sent("/large.gguf"), bytes.len() as u64);
    assert_eq!(house.host.asked().iter().filter(|asked| asked.range.is_some()).count(), 12, "ranges of 6 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_the_same_fetch_it_once_and_all_see_how_far_it_is() {
    let house = Arc::new(house().await);
    let bytes = model("shared", 4 * MB);
    house.host.put("/tiny.gguf", HostedFile { rate: Some(16 << 20), ..HostedFile::of(bytes.clone()) });
    let source = Source::parse(&house.url("/tiny.gguf")).unwrap();
    let views: Vec<Progress> = (0..8).map(|_| Progress::new()).collect();
    let all = futures_util::future::join_all(views.iter().map(|view| house.registry.resolve_watched(&source, view))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(house.host.sent("/tiny.gguf"), bytes.len() as u64);
    for view in &views {
        assert_eq!((view.done(), view.total()), (bytes.len() as u64, bytes.len() as u64));
    }
}

#[tokio::test]
async fn who_asks_anew_fetches_only_what_has_changed() {
    let house = house().await;
    let (old, new) = (model("first", MB), model("second", MB));
    house.host.put("/tiny.gguf", HostedFile::of(old.clone()));
    house.pull(&house.url("/tiny.gguf")).await.unwrap();
    assert_eq!(house.pull(&house.url("/tiny.gguf")).await.unwrap().fetched, 0, "the same state");
    house.host.put("/tiny.gguf", HostedFile::of(new.clone()));
    assert_eq!(house.resolve(&house.url("/tiny.gguf")).await.unwrap().digest, Digest::of(&old).to_string(), "as it was");
    let pulled = house.pull(&house.url("/tiny.gguf")).await.unwrap();
    assert_eq!((pulled.version.digest, pulled.fetched), (Digest::of(&new).to_string(), MB as u64));
}

#[tokio::test]
async fn a_split_model_comes_whole_under_its_names() {
    let house = house().await;
    let error = house.resolve(&house.url("/big-00001-of-00002.gguf")).await.unwrap_err();
    assert!(matches!(error, Error::NotThere { .. }), "{error}");
    for number in 1..=2_u16 {
        let sample = if number == 1 { Sample::llama() } else { Sample::default().tensor("output.weight", &[256, 4], 12) };
        let sample = sample.number("split.no", u32::from(number) - 1).number("split.count", 2).number("split.tensors.count", 3);
        let mut bytes = sample.header();
        bytes.resize(usize::try_from(sample.file_len()).unwrap(), 0);
        house.host.put(&format!("/big-0000{number}-of-00002.gguf"), HostedFile::of(bytes));
    }
    let version = house.resolve(&house.url("/big-00001-of-00002.gguf")).await.expect("a version");
    assert_eq!(version.contents.files.len(), 2);
    assert!(version.path.with_file_name("big-00002-of-00002.gguf").exists());
}

#[tokio::test]
async fn inside_addresses_are_asked_only_if_they_are_allowed() {
    let house = house_with(|fetching| Fetching { guard: net::Guard::new(Vec::new()), ..fetching }).await;
    house.host.put("/tiny.gguf", HostedFile::of(model("inside", MB)));
    let error = house.resolve(&house.url("/tiny.gguf")).await.unwrap_err();
    assert!(matches!(error, Error::Blobs(blobs::Error::Private { .. })), "{error}");
    let allowed = net::Guard::new(vec!["127.0.0.1".parse().unwrap()]);
    let house = house_with(|fetching| Fetching { guard: allowed, ..fetching }).await;
    house.host.put("/tiny.gguf", HostedFile::of(model("inside", MB)));
    house.resolve(&house.url("/tiny.gguf")).await.expect("allowed");
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_its_first_byte() {
    let house = house().await;
    house.host.put("/tiny.gguf", HostedFile::of(model("large", 2 * MB)));
    let small = Config { max_size: Some(base::ByteSize::mib(1)), ..house.registry.inner.config.clone() };
    let inner = &house.registry.inner;
    let registry = Registry::keeping(inner.store.clone(), small, inner.blobs.clone());
    let error = registry.resolve(&Source::parse(&house.url("/tiny.gguf")).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert_eq!(house.host.sent("/tiny.gguf"), 0);
}
