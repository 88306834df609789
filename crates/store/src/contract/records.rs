//! Promises about models, intents, tokens, services, digests and single facts.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use std::path::PathBuf;

use base::{ByteSize, Timestamp};
use spec::InstanceId;

use crate::contract::sample::{kept, name, project, token};
use crate::digests::FileStamp;
use crate::error::Error;
use crate::footprints::FootprintKey;
use crate::open::Store;
use crate::responses::KeptResponse;

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

/// What is set aside stays so after an end without warning.
pub async fn allocations_come_back_oldest_first_and_go_when_told(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let allocation = |id: &str, at| spec::Allocation {
        id: spec::AllocationId::new(id),
        node: "here".into(),
        device: "ram".into(),
        bytes: base::ByteSize(7),
        holder: "training".into(),
        expires_at: Some(Timestamp::from_millis(at + 1)),
        created_at: Timestamp::from_millis(at),
        foreign: base::ByteSize(3),
    };
    let (late, early) = (allocation("a", 20), allocation("b", 10));
    let store = place().await?;
    store.put_allocation(&late).await?;
    store.put_allocation(&early).await?;
    drop(store);
    let store = place().await?;
    assert_eq!(store.list_allocations().await?, [early.clone(), late]);
    assert!(store.remove_allocation(&early.id).await?);
    assert!(!store.remove_allocation(&early.id).await?);
    assert_eq!(store.list_allocations().await?.len(), 1);
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

/// A change that comes late changes nothing.
pub async fn a_token_that_is_gone_is_not_brought_back_by_a_change(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let mut one = token("t1", "aaaa");
    store.put_token(&one).await?;
    "other".clone_into(&mut one.name);
    assert!(store.update_token(&one).await?);
    assert_eq!(store.list_tokens().await?, [one.clone()]);
    assert!(store.delete_token(&one.id).await?);
    assert!(!store.update_token(&one).await?);
    assert_eq!(store.list_tokens().await?, []);
    Ok(())
}

/// With all that they may use.
pub async fn projects_come_back_by_name(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (mut red, blue) = (project("red")?, project("blue")?);
    store.put_project(&red).await?;
    store.put_project(&blue).await?;
    red.description = None;
    red.limits.tokens_per_minute = Some(5);
    store.put_project(&red).await?;
    assert_eq!(store.list_projects().await?, [blue, red.clone()]);
    assert!(store.delete_project(&red.name).await?);
    assert!(!store.delete_project(&red.name).await?);
    assert_eq!(store.list_projects().await?.len(), 1);
    Ok(())
}

/// The oldest go first.
pub async fn answers_are_kept_until_they_are_deleted_too_old_or_too_many(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let answer = |n: i64| KeptResponse {
        id: format!("resp_{n}"),
        owner: "project:red".to_owned(),
        created_at: Timestamp::from_millis(n),
        body: format!(r#"{{"n":{n}}}"#),
    };
    let all: Vec<_> = (1..=6).map(answer).collect();
    store.put_responses(&all).await?;
    let changed = KeptResponse { body: "{}".to_owned(), ..answer(6) };
    store.put_responses(std::slice::from_ref(&changed)).await?;
    assert_eq!(store.get_response("resp_6").await?, Some(changed), "replaced");
    assert_eq!(store.get_response("resp_9").await?, None);
    assert!(store.delete_response("resp_5").await?);
    assert!(!store.delete_response("resp_5").await?);
    assert_eq!(store.trim_responses(Timestamp::from_millis(2), 3).await?, 2, "one too old, one too many");
    let mut left = Vec::new();
    for n in 1..=6 {
        left.extend(store.get_response(&format!("resp_{n}")).await?.map(|_| n));
    }
    assert_eq!(left, [3, 4, 6]);
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

/// Also by a later instance that took less, and after a start.
pub async fn of_a_footprint_the_most_that_was_seen_is_kept(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let key = |device: &str| FootprintKey {
        digest: "sha256:aa".to_owned(),
        build: "b1".to_owned(),
        arguments: "context=512".to_owned(),
        device: device.to_owned(),
    };
    for (device, bytes) in [("ram", 700), ("ram", 900), ("ram", 800), ("cuda:0", 1)] {
        store.put_footprint(&key(device), ByteSize(bytes)).await?;
    }
    store.close().await;
    let mut all = place().await?.list_footprints().await?;
    all.sort();
    assert_eq!(all, [(key("cuda:0"), ByteSize(1)), (key("ram"), ByteSize(900))]);
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
