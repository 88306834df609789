//! What every database promises about secrets.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;

use crate::{Error, KeptSecret, Store};

fn secret(name: &str, value: u8) -> KeptSecret {
    let at = Timestamp::from_millis(i64::from(value));
    KeptSecret {
        name: name.to_owned(),
        master: "first".to_owned(),
        wrapped: vec![value, 0, 255],
        sealed: vec![value; 40],
        created_at: at,
        updated_at: at,
    }
}

/// They come back byte for byte, keep their first day when they change, and go when told.
pub async fn secrets_come_back_as_they_were_sealed(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    for one in [secret("b", 1), secret("a", 2), secret("c", 3)] {
        store.put_secret(&one).await?;
    }
    store.put_secret(&secret("b", 9)).await?;
    assert!(store.remove_secret("c").await? && !store.remove_secret("c").await?);
    drop(store);
    let changed = KeptSecret { created_at: Timestamp::from_millis(1), ..secret("b", 9) };
    assert_eq!(place().await?.list_secrets().await?, [secret("a", 2), changed]);
    Ok(())
}

/// All of them or none, and not one whose value is another by now.
pub async fn secrets_are_wrapped_anew_but_not_over_a_newer_value(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    for one in [secret("a", 1), secret("b", 2)] {
        store.put_secret(&one).await?;
    }
    let anew = |one: KeptSecret| KeptSecret { master: "second".to_owned(), wrapped: vec![7], ..one };
    let (first, second) = (anew(secret("a", 1)), anew(secret("b", 2)));
    store.put_secret(&secret("b", 3)).await?;
    store.rewrap_secrets(&[first.clone(), second]).await?;
    let newer = KeptSecret { created_at: Timestamp::from_millis(2), ..secret("b", 3) };
    assert_eq!(store.list_secrets().await?, [first, newer]);
    Ok(())
}
