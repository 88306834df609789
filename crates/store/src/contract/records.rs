//! Promises about models, intents, tokens, services, digests and single facts.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use std::path::PathBuf;

use spec::InstanceId;

use crate::contract::sample::{kept, model, name, token};
use crate::digests::FileStamp;
use crate::error::Error;
use crate::open::Store;

/// Whole models go in and come out.
pub async fn models_come_back_with_versions_and_tags(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (mut b, a) = (model("b")?, model("a/b:c")?);
    store.put_model(&b).await?;
    store.put_model(&a).await?;
    b.tags.clear();
    b.versions.truncate(1);
    store.put_model(&b).await?;
    assert_eq!(store.get_model(&b.name).await?, Some(b.clone()), "replaced");
    assert_eq!(store.list_models().await?, [a.clone(), b], "by name");
    assert!(store.remove_model(&a.name).await?);
    assert!(!store.remove_model(&a.name).await?);
    assert_eq!(store.get_model(&a.name).await?, None);
    Ok(())
}

/// What was decided first comes first, and its key is not printed.
pub async fn intents_come_back_in_the_order_of_their_fences_and_hide_their_key(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let deployment = name("a")?;
    let (late, early) = (kept("i1", &deployment, 12), kept("i2", &deployment, 9));
    store.put_instance(&late).await?;
    store.put_instance(&early).await?;
    let all = store.list_instances().await?;
    assert_eq!(all, [early.clone(), late]);
    assert_eq!(all[0].key.expose(), "key-of-i2");
    assert!(!format!("{all:?}").contains("key-of"), "{all:?}");
    assert!(store.remove_instance(&early.id).await?);
    assert!(!store.remove_instance(&InstanceId::new("i2")).await?);
    assert_eq!(store.list_instances().await?.len(), 1);
    Ok(())
}

/// The hash is not part of the token's JSON, and must be there all the same.
pub async fn tokens_come_back_with_their_hash_and_hashes_are_unique(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (one, mut two) = (token("t1", "aaaa"), token("t2", "bbbb"));
    store.put_token(&two).await?;
    store.put_token(&one).await?;
    assert_eq!(store.list_tokens().await?, [one.clone(), two.clone()]);
    two.hash.clone_from(&one.hash);
    assert!(store.put_token(&two).await.is_err(), "one token text, one token");
    "cccc".clone_into(&mut two.hash);
    two.expires_at = None;
    store.put_token(&two).await?;
    assert_eq!(store.list_tokens().await?, [one.clone(), two]);
    assert!(store.delete_token(&one.id).await?);
    assert!(!store.delete_token(&one.id).await?);
    assert_eq!(store.list_tokens().await?.len(), 1);
    Ok(())
}

/// An id outlives what it stands for.
pub async fn services_keep_their_id_when_the_deployment_changes(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (a, b) = (name("a")?, name("b")?);
    store.put_service("0000beef", &a).await?;
    store.put_service("0000cafe", &a).await?;
    store.put_service("0000beef", &b).await?;
    let all: Vec<(String, spec::Name)> = store.list_services().await?.into_iter().map(|s| (s.id, s.deployment)).collect();
    assert_eq!(all, [("0000beef".to_owned(), b.clone()), ("0000cafe".to_owned(), a)]);
    assert_eq!(store.get_service("0000beef").await?.map(|s| s.deployment), Some(b));
    assert_eq!(store.get_service("00000000").await?, None);
    assert!(store.remove_service("0000beef").await?);
    assert!(!store.remove_service("0000beef").await?);
    Ok(())
}

/// A changed file has no known digest.
pub async fn a_digest_holds_while_the_file_is_what_it_was(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let file = FileStamp { path: PathBuf::from("/models/a b.gguf"), len: 40 << 30, mtime: 1_700_000_000_123_456_789 };
    assert_eq!(store.get_digest(&file).await?, None);
    store.put_digest(&file, "sha256:aa").await?;
    assert_eq!(store.get_digest(&file).await?.as_deref(), Some("sha256:aa"));
    let longer = FileStamp { len: file.len + 1, ..file.clone() };
    let later = FileStamp { mtime: file.mtime + 1, ..file.clone() };
    let other = FileStamp { path: PathBuf::from("/models/b.gguf"), ..file.clone() };
    for changed in [&longer, &later, &other] {
        assert_eq!(store.get_digest(changed).await?, None, "{changed:?}");
    }
    store.put_digest(&later, "sha256:bb").await?;
    assert_eq!(store.get_digest(&later).await?.as_deref(), Some("sha256:bb"));
    assert_eq!(store.get_digest(&file).await?, None, "the old state is forgotten");
    Ok(())
}

/// Not even after a crash.
pub async fn fences_rise_and_never_come_twice(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (one, two) = (store.next_fence().await?, store.next_fence().await?);
    assert!(0 < one && one < two);
    drop(store);
    assert!(two < place().await?.next_fence().await?);
    Ok(())
}

/// One id for good.
pub async fn the_installation_keeps_its_id(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let id = store.installation_id().await?;
    assert_eq!(id.len(), 16);
    assert!(id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    store.close().await;
    assert_eq!(place().await?.installation_id().await?, id);
    Ok(())
}
