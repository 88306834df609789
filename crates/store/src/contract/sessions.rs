//! What every database promises about browsers that are logged in.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;

use crate::{Error, KeptSession, Store};

/// They come back until their time is over, and what is gone is not brought back by who extends it.
pub async fn sessions_come_back_until_their_end_and_stay_gone(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let at = Timestamp::from_millis;
    let store = place().await?;
    let session = |n: i64| KeptSession { hash: format!("h{n}"), until: at(10 * n), body: format!("{{\"n\":{n}}}") };
    for n in 1..=4 {
        store.put_session(&session(n)).await?;
    }
    let changed = KeptSession { body: "{}".to_owned(), ..session(4) };
    store.put_session(&changed).await?;
    store.delete_sessions(&["h3".to_owned(), "h9".to_owned()]).await?;
    store.extend_sessions(&[("h2".to_owned(), at(200)), ("h3".to_owned(), at(200))]).await?;
    drop(store);
    let store = place().await?;
    let left = store.list_sessions(at(10)).await?;
    assert_eq!(left, [KeptSession { until: at(200), ..session(2) }, changed], "one over, one gone, one extended, one changed");
    assert!(store.list_sessions(at(200)).await?.is_empty());
    Ok(())
}
