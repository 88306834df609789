//! Blobs in a real S3 server, which checks signatures and conditions; and in ones that do not keep to the rules.

use base::Secret;
use object_store::ObjectStoreExt as _;
use std::collections::BTreeMap;

use super::*;
use crate::{Bucket, BucketConfig, Conditions};
use testkit::{Manners, S3Server as Server};

fn config(dir: &Path, server: &Server) -> Config {
    let options = [("endpoint", server.url()), ("region", "eu-1".to_owned()), ("allow_http", "true".to_owned())];
    let secrets = [("access_key_id", "key"), ("secret_access_key", "secret")];
    let store = BucketConfig {
        url: "s3://models/some/prefix".to_owned(),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        secrets: secrets.into_iter().map(|(key, value)| (key.to_owned(), Secret::new(value))).collect(),
    };
    Config { reserve: ByteSize(0), store: Some(store), ..Config::at(dir) }
}

fn object(server: &Server, digest: &Digest) -> std::path::PathBuf {
    server.object("some/prefix/sha256").join(&digest.hex()[..2]).join(digest.hex())
}

async fn of(dir: &Path, server: &Server) -> Blobs {
    Blobs::open(config(dir, server)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_machine_writes_another_reads() {
    let server = Server::open(Manners::Good).await.unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (writer, reader) = (of(one.path(), &server).await, of(two.path(), &server).await);
    for bytes in [sample(1_000), sample(20_000_000)] {
        let digest = put(&writer, &bytes).await;
        assert_eq!(fs::read(object(&server, &digest)).unwrap(), bytes, "it lies under its digest");
        assert_eq!(reader.size(&digest).await.unwrap(), Some(ByteSize(bytes.len() as u64)));
        assert_eq!(fs::read(&reader.local(&digest).await.unwrap().path).unwrap(), bytes);
    }
    assert!(matches!(reader.local(&Digest::of(b"nothing")).await, Err(Error::NoBlob(_))));
    assert_eq!(writer.conditions().await.unwrap(), Some(Conditions::Kept));
    let probes = server.object("some/prefix/probe");
    assert!(fs::read_dir(probes).map_or(0, Iterator::count) == 0, "what was tried out is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_or_refuses_them_is_found_out_and_used_safely() {
    for (manners, wanted) in [(Manners::IgnoresConditions, Conditions::Ignored), (Manners::RefusesConditions, Conditions::Refused)] {
        let server = Server::open(manners).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let blobs = of(dir.path(), &server).await;
        assert_eq!(blobs.conditions().await.unwrap(), Some(wanted));
        let bytes = sample(5_000);
        let digest = put(&blobs, &bytes).await;
        let before = server.puts();
        put(&blobs, &bytes).await;
        assert_eq!(server.puts(), before, "what is there is looked at, not written again");
        assert_eq!(fs::read(object(&server, &digest)).unwrap(), bytes);
    }
}

/// What some other program writes there.
async fn write_over(store: &BucketConfig, digest: &Digest, bytes: &Bytes) {
    let bucket = Bucket::open(store, net::Guard::default()).unwrap();
    let path = bucket.path(&format!("sha256/{}/{}", &digest.hex()[..2], digest.hex()));
    bucket.store.put(&path, bytes.clone().into()).await.unwrap();
}

/// As long, and something else.
fn other(bytes: &Bytes) -> Bytes {
    bytes.iter().rev().map(|byte| byte ^ 1).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_of_the_same_length_is_not_taken_for_the_blob() {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = vec![(None, BucketConfig { url: format!("file:{}", folder.path().display()), ..BucketConfig::default() })];
    for manners in [Manners::Good, Manners::IgnoresConditions, Manners::RefusesConditions] {
        let server = Server::open(manners).await.unwrap();
        let store = config(folder.path(), &server).store.unwrap();
        stores.push((Some(server), store));
    }
    for (_server, store) in &stores {
        for bytes in [sample(5_000), sample(9_000_000)] {
            let (dir, digest) = (tempfile::tempdir().unwrap(), Digest::of(&bytes));
            write_over(store, &digest, &other(&bytes)).await;
            let open =
                async |at: &Path| Blobs::open(Config { reserve: ByteSize(0), store: Some(store.clone()), ..Config::at(at) }).await.unwrap();
            put(&open(dir.path()).await, &bytes).await;
            let elsewhere = tempfile::tempdir().unwrap();
            assert_eq!(fs::read(open(elsewhere.path()).await.local(&digest).await.unwrap().path).unwrap(), bytes, "{}", store.url);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_copy_is_not_put_out_of_the_cache() {
    let server = Server::open(Manners::Good).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = Config { cache: Some(ByteSize(250_000)), ..config(dir.path(), &server) };
    let store = config.store.clone().unwrap();
    let blobs = Blobs::open(config).await.unwrap();
    let bytes = sample(100_001);
    let digest = put(&blobs, &bytes).await;
    write_over(&store, &digest, &other(&bytes)).await;
    put(&blobs, &sample(100_002)).await;
    put(&blobs, &sample(100_003)).await;
    assert_eq!(blobs.list().await.unwrap().len(), 2, "it has made room");
    assert_eq!(fs::read(object(&server, &digest)).unwrap(), bytes, "and the store has what was the only good one");
    assert_eq!(fs::read(blobs.local(&digest).await.unwrap().path).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rotted_in_the_store_is_written_anew_by_who_brings_it_again() {
    let server = Server::open(Manners::Good).await.unwrap();
    for bytes in [sample(5_000), sample(9_000_000)] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digest = put(&of(one.path(), &server).await, &bytes).await;
        // Behind the store's back: it still says that it is what it was.
        fs::write(object(&server, &digest), other(&bytes)).unwrap();
        let blobs = of(two.path(), &server).await;
        assert!(matches!(blobs.local(&digest).await, Err(Error::Mismatch { .. })));
        put(&blobs, &bytes).await;
        assert_eq!(fs::read(object(&server, &digest)).unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_rotted_here_is_sent_nowhere() {
    let server = Server::open(Manners::Good).await.unwrap();
    for bytes in [sample(5_000), sample(9_000_000)] {
        let dir = tempfile::tempdir().unwrap();
        let here = Blobs::open(Config { store: None, ..config(dir.path(), &server) }).await.unwrap();
        let digest = put(&here, &bytes).await;
        let path = here.layout().blob(&digest);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, other(&bytes)).unwrap();
        assert_eq!(of(dir.path(), &server).await.settle().await.unwrap(), 0);
        assert!(!object(&server, &digest).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_with_what_to_do() {
    let server = Server::open(Manners::Good).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = config(dir.path(), &server);
    wrong.store.as_mut().unwrap().secrets =
        BTreeMap::from([("access_key_id".to_owned(), Secret::new("key")), ("secret_access_key".to_owned(), Secret::new("wrong"))]);
    let blobs = Blobs::open(wrong).await.unwrap();
    let error = blobs.conditions().await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(base::Fault::hint(&error).unwrap().contains("AWS_ACCESS_KEY_ID"), "{}", base::chain(&error));
    let mut unknown = config(dir.path(), &server);
    unknown.store.as_mut().unwrap().options.insert("colour".to_owned(), "red".to_owned());
    assert!(matches!(Blobs::open(unknown).await, Err(Error::BadOption { option, .. }) if option == "colour"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_a_blob_bring_it_once_and_a_broken_line_is_gone_on_with() {
    let server = Server::open(Manners::Good).await.unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = sample(9_000_000);
    let digest = put(&of(one.path(), &server).await, &bytes).await;
    let reader = of(two.path(), &server).await;
    let before = server.gets();
    let all = futures_util::future::join_all((0..10).map(|_| reader.local(&digest))).await;
    assert!(all.iter().all(|blob| fs::read(&blob.as_ref().unwrap().path).unwrap() == bytes));
    assert_eq!(server.gets() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_keeps_to_its_limit_and_never_gives_up_what_is_held() {
    let server = Server::open(Manners::Good).await.unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let writer = of(one.path(), &server).await;
    let mut digests = Vec::new();
    for len in [100_001, 100_002, 100_003] {
        digests.push(put(&writer, &sample(len)).await);
    }
    let config = Config { cache: Some(ByteSize(250_000)), ..config(two.path(), &server) };
    let reader = Blobs::open(config).await.unwrap();
    let first = reader.local(&digests[0]).await.unwrap();
    drop(reader.local(&digests[1]).await.unwrap());
    let third = reader.local(&digests[2]).await.unwrap();
    let here: Vec<Digest> = reader.list().await.unwrap().into_iter().map(|(digest, _)| digest).collect();
    assert!(here.contains(&digests[0]) && here.contains(&digests[2]) && here.len() == 2, "the one that nobody held went");
    assert!(matches!(reader.local(&digests[1]).await, Err(Error::CacheFull { .. })), "both others are held");
    drop(first);
    reader.local(&digests[1]).await.expect("there is room now");
    drop(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_keeps_to_its_limit_for_what_is_written_here_and_counts_what_is_on_its_way() {
    let server = Server::open(Manners::Good).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(Config { cache: Some(ByteSize(250_000)), ..config(dir.path(), &server) }).await.unwrap();
    let mut digests = Vec::new();
    for len in [100_001, 100_002, 100_003] {
        digests.push(put(&blobs, &sample(len)).await);
    }
    assert!(digests.iter().all(|digest| object(&server, digest).exists()));
    assert_eq!(blobs.list().await.unwrap().len(), 2, "the store has them all");

    let gone = digests.remove(0);
    let coming = blobs.begin(begin(&PartId::random(), 200_000)).await.unwrap();
    assert!(matches!(blobs.local(&gone).await, Err(Error::CacheFull { .. })), "there is no room for both");
    coming.abort().await;
    drop(blobs.local(&gone).await.expect("there is now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_brought_at_once_keep_to_the_limit_together() {
    let (one, two, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = BucketConfig { url: format!("file:{}", shared.path().display()), ..BucketConfig::default() };
    let at = |dir: &Path, cache| Config { reserve: ByteSize(0), store: Some(store.clone()), cache, ..Config::at(dir) };
    let writer = Blobs::open(at(one.path(), None)).await.unwrap();
    let mut many = Vec::new();
    for more in 0..24 {
        many.push(put(&writer, &sample(40_000 + more)).await);
    }
    let reader = Blobs::open(at(two.path(), Some(ByteSize(250_000)))).await.unwrap();
    let all = futures_util::future::join_all(many.iter().map(|digest| reader.local(digest))).await;
    let fit = all.iter().filter(|blob| blob.is_ok()).count();
    assert!((1..=6).contains(&fit), "{fit} of them at once: {all:?}");
    let full = all.iter().filter(|blob| matches!(blob, Err(Error::CacheFull { .. }))).count();
    assert_eq!(fit + full, many.len(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_whole_and_was_cut_off_before_it_had_its_name_is_not_asked_for_again() {
    let server = Server::open(Manners::Good).await.unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = sample(10_000);
    let digest = put(&of(one.path(), &server).await, &bytes).await;
    let reader = of(two.path(), &server).await;
    let id = PartId::of(&format!("store {digest}"));
    let mut part = reader.begin(Begin { note: digest.to_string(), ..begin(&id, 10_000) }).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    part.flush().await.unwrap();
    drop(part);
    let before = server.gets();
    assert_eq!(fs::read(&reader.local(&digest).await.unwrap().path).unwrap(), bytes);
    assert_eq!(server.gets(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_is_sent_later_and_the_store_is_swept_only_when_asked() {
    let server = Server::open(Manners::Good).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let here = Blobs::open(Config { store: None, ..config(dir.path(), &server) }).await.unwrap();
    let (kept, lost) = (put(&here, &sample(10)).await, put(&here, &sample(20)).await);
    let blobs = of(dir.path(), &server).await;
    assert_eq!(blobs.settle().await.unwrap(), 2);
    assert_eq!(blobs.settle().await.unwrap(), 0);
    let now = Sweep { keep: [kept.clone()].into(), grace: Some(Duration::ZERO), ..Sweep::default() };
    assert_eq!(blobs.collect(now.clone()).await.unwrap().stored, []);
    assert!(object(&server, &lost).exists(), "only the cache was swept");
    let told = blobs.collect(Sweep { store: true, dry_run: true, ..now.clone() }).await.unwrap();
    assert_eq!(told.stored, [(lost.clone(), ByteSize(20))]);
    assert_eq!(blobs.collect(Sweep { store: true, ..now }).await.unwrap().stored, told.stored);
    assert!(!object(&server, &lost).exists() && object(&server, &kept).exists());
}

#[tokio::test]
async fn a_folder_is_a_store_as_well() {
    let (one, two, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |dir: &Path| {
        let store = BucketConfig { url: format!("file:{}", shared.path().display()), ..BucketConfig::default() };
        Config { reserve: ByteSize(0), store: Some(store), ..Config::at(dir) }
    };
    let writer = Blobs::open(at(one.path())).await.unwrap();
    let digest = put(&writer, &sample(10_000_000)).await;
    let reader = Blobs::open(at(two.path())).await.unwrap();
    assert_eq!(fs::read(&reader.local(&digest).await.unwrap().path).unwrap(), sample(10_000_000));
}
