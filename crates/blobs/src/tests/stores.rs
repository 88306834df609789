//! What holds for every kind of object store: Amazon's, Google's, Azure's. Each is asked through the settings that an operator would write.

use base::Secret;
use futures_util::TryStreamExt as _;
use testkit::{Azurite, Manners, S3Server};

use super::*;
use crate::{Bucket, BucketConfig, Conditions};

/// More than goes up in one piece, and no whole number of pieces.
const LARGE: usize = 20_000_001;

fn store(url: &str, options: &[(&str, &str)], secrets: &[(&str, &str)]) -> BucketConfig {
    BucketConfig {
        url: url.to_owned(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        secrets: secrets.iter().map(|(key, value)| ((*key).to_owned(), Secret::new(*value))).collect(),
    }
}

fn amazon(server: &S3Server) -> BucketConfig {
    let options = [("endpoint", &*server.url()), ("region", "eu-1"), ("allow_http", "true")];
    store("s3://models/some/prefix", &options, &[("access_key_id", "key"), ("secret_access_key", "secret")])
}

fn google(server: &S3Server) -> BucketConfig {
    // What an emulator is entered with: a key that signs nothing.
    let key = r#"{"type":"service_account","client_email":"a@b.example","private_key":"","private_key_id":"","disable_oauth":true}"#;
    store("gs://models/some/prefix", &[("base_url", &*server.url()), ("allow_http", "true")], &[("service_account_key", key)])
}

fn azure(server: &Azurite) -> BucketConfig {
    let options = [("endpoint", server.url()), ("account_name", server.account()), ("allow_http", "true")];
    store("az://models/some/prefix", &options, &[("account_key", server.key())])
}

async fn at(dir: &Path, store: &BucketConfig) -> Blobs {
    let config = Config { reserve: ByteSize(0), store: Some(store.clone()), ..Config::at(dir) };
    Blobs::open(config).await.unwrap()
}

/// Everything that Penstock asks of a store.
async fn contract(store: &BucketConfig, conditions: Conditions) {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (writer, reader) = (at(one.path(), store).await, at(two.path(), store).await);
    assert_eq!(writer.conditions().await.unwrap(), Some(conditions), "{}", store.url);
    let (small, large) = (sample(1_000), sample(LARGE));
    let mut digests = Vec::new();
    for bytes in [&small, &large] {
        let digest = put(&writer, bytes).await;
        assert_eq!(put(&writer, bytes).await, digest, "who writes the same again is content");
        assert_eq!(reader.size(&digest).await.unwrap(), Some(ByteSize(bytes.len() as u64)));
        digests.push(digest);
    }
    assert_eq!(reader.size(&Digest::of(b"nothing")).await.unwrap(), None);
    assert!(matches!(reader.local(&Digest::of(b"nothing")).await, Err(Error::NoBlob(_))));
    ranges(store, &digests[1], &large).await;
    resumes(&reader, &digests[1], &large).await;
    assert_eq!(fs::read(&reader.local(&digests[0]).await.unwrap().path).unwrap(), small);
    sweeps(&writer, store, &digests).await;
}

/// What is read from a byte on is the rest and nothing else, and only of the state that is known.
async fn ranges(store: &BucketConfig, digest: &Digest, bytes: &Bytes) {
    let bucket = Bucket::open(store, net::Guard::default()).unwrap();
    let name = format!("sha256/{}/{}", &digest.hex()[..2], digest.hex());
    let seen = bucket.look(&name).await.unwrap().unwrap();
    assert_eq!(seen.size, bytes.len() as u64);
    let from = LARGE - 777;
    let rest: Vec<Bytes> = bucket.read(&name, from as u64, Some(&seen.version)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rest.concat(), bytes[from..]);
    let other = bucket.read(&name, from as u64, Some("\"another state\"")).await;
    assert!(matches!(other, Err(Error::OtherState { .. })), "it is not in that state");
}

/// What an earlier reader has brought does not come again.
async fn resumes(reader: &Blobs, digest: &Digest, bytes: &Bytes) {
    let begin = Begin { note: digest.to_string(), ..begin(&PartId::of(&format!("store {digest}")), bytes.len()) };
    let mut part = reader.begin(begin).await.unwrap();
    // What is not in the store: that it was not asked for again is seen by the digest, which is then another.
    let mut wrong = bytes[..5_000_000].to_vec();
    wrong[0] ^= 1;
    part.append(0, wrong.into()).await.unwrap();
    part.flush().await.unwrap();
    drop(part);
    assert!(matches!(reader.local(digest).await, Err(Error::Mismatch { .. })), "the first bytes did not come again");
    assert_eq!(fs::read(&reader.local(digest).await.unwrap().path).unwrap(), *bytes, "and what was wrong is gone");
}

/// Everything is listed, and goes where it may go.
async fn sweeps(writer: &Blobs, store: &BucketConfig, digests: &[Digest]) {
    assert_eq!(writer.settle().await.unwrap(), 0, "all of it is there");
    let sweep = Sweep { keep: [digests[0].clone()].into(), grace: Some(Duration::ZERO), store: true, ..Sweep::default() };
    let gone = writer.collect(sweep).await.unwrap();
    assert_eq!(gone.stored, [(digests[1].clone(), ByteSize(LARGE as u64))]);
    let third = tempfile::tempdir().unwrap();
    let later = at(third.path(), store).await;
    assert_eq!(later.size(&digests[1]).await.unwrap(), None);
    assert_eq!(later.size(&digests[0]).await.unwrap(), Some(ByteSize(1_000)));
    // What was tried out has left nothing.
    let bucket = Bucket::open(store, net::Guard::default()).unwrap();
    let left: Vec<_> = bucket.store.list(Some(&bucket.path("probe"))).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amazons_store_does_all_that_is_asked_of_one() {
    let server = S3Server::open(Manners::Good).await.unwrap();
    contract(&amazon(&server), Conditions::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_store_does_all_that_is_asked_of_one() {
    let server = S3Server::open_as_google(Manners::Good).await.unwrap();
    contract(&google(&server), Conditions::Kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_googles_kind_that_ignores_conditions_or_refuses_them_does_too() {
    for (manners, found) in [(Manners::IgnoresConditions, Conditions::Ignored), (Manners::RefusesConditions, Conditions::Refused)] {
        let server = S3Server::open_as_google(manners).await.unwrap();
        contract(&google(&server), found).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn azures_store_does_all_that_is_asked_of_one() {
    let Some(server) = tokio::task::spawn_blocking(Azurite::open).await.unwrap().expect("Azurite") else { return };
    contract(&azure(&server), Conditions::Kept).await;
    let mut wrong = azure(&server);
    wrong.secrets.insert("account_key".to_owned(), Secret::new("d3Jvbmc="));
    let dir = tempfile::tempdir().unwrap();
    let error = at(dir.path(), &wrong).await.conditions().await.unwrap_err();
    let hint = base::Fault::hint(&error).unwrap();
    assert!(matches!(error, Error::Store { .. }) && hint.contains("credentials"), "{}: {hint}", base::chain(&error));
}
