//! Promises about following the wishes: nothing is missed, and nothing is read twice.
#![expect(clippy::missing_panics_doc, clippy::panic, reason = "a broken promise panics; that is what a contract is for")]

use std::time::Duration;

use spec::Name;
use spec::deployment::Origin;

use crate::changes::{Changes, Mark};
use crate::contract::sample::{name, route, vary, wish};
use crate::error::Error;
use crate::open::Store;

/// Names of the wishes, and of those that are gone.
fn names(changes: &Changes) -> (Vec<&Name>, Vec<&Name>) {
    (changes.deployments.iter().map(|record| &record.spec.name).collect(), changes.gone.iter().collect())
}

/// Everything there is, and the mark after it.
async fn read(store: &Store) -> Result<Mark, Error> {
    let Some(all) = store.changes(None).await? else { panic!("there is no mark yet, so everything is new") };
    assert!(all.whole && all.routes.is_some());
    assert_eq!(all.deployments, store.list_deployments().await?);
    Ok(all.mark)
}

async fn since(store: &Store, mark: Mark) -> Result<Changes, Error> {
    let Some(changes) = store.changes(Some(mark)).await? else { panic!("something has changed") };
    Ok(changes)
}

/// What did not change is not read.
pub async fn only_what_has_changed_since_the_mark_is_read_again(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (mut a, b, c) = (wish("a")?, wish("b")?, wish("c")?);
    store.create_deployment(&a, Origin::Api).await?;
    store.create_deployment(&b, Origin::Api).await?;
    let mark = read(&store).await?;
    assert_eq!(store.changes(Some(mark)).await?, None);
    vary(&mut a, 4);
    let changed = store.put_deployment(&a, Origin::Api, None).await?;
    let new = store.create_deployment(&c, Origin::Config).await?;
    let after = since(&store, mark).await?;
    assert_eq!((after.whole, &after.deployments, after.gone.len(), &after.routes), (false, &vec![changed, new], 0, &None));
    assert_eq!(since(&store, mark).await?, after, "until somebody has taken it in");
    assert_eq!(store.changes(Some(after.mark)).await?, None);
    store.mark_deployment_deleting(&b.name).await?;
    let after = since(&store, after.mark).await?;
    assert_eq!(names(&after), (vec![&b.name], vec![]));
    assert!(after.deployments.iter().all(|record| record.deleting));
    Ok(())
}

/// A config that is read again stores all of its wishes.
pub async fn what_is_written_again_as_it_was_is_no_change(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let a = wish("a")?;
    store.put_deployment(&a, Origin::Config, None).await?;
    let mark = read(&store).await?;
    store.put_deployment(&a, Origin::Config, None).await?;
    assert_eq!(store.changes(Some(mark)).await?, None);
    store.put_deployment(&a, Origin::Api, None).await?;
    assert_eq!(names(&since(&store, mark).await?), (vec![&a.name], vec![]), "another origin is a change");
    Ok(())
}

/// Gone is gone, and back is back.
pub async fn a_wish_that_went_is_told_by_name_and_one_that_came_back_is_not(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let (a, b) = (wish("a")?, wish("b")?);
    store.create_deployment(&a, Origin::Api).await?;
    store.create_deployment(&b, Origin::Api).await?;
    let mark = read(&store).await?;
    for gone in [&a, &b] {
        store.mark_deployment_deleting(&gone.name).await?;
        assert!(store.remove_deployment(&gone.name).await?);
    }
    assert_eq!(names(&since(&store, mark).await?), (vec![], vec![&a.name, &b.name]));
    store.create_deployment(&a, Origin::Api).await?;
    let after = since(&store, mark).await?;
    assert_eq!(names(&after), (vec![&a.name], vec![&b.name]));
    store.mark_deployment_deleting(&a.name).await?;
    store.remove_deployment(&a.name).await?;
    assert_eq!(names(&since(&store, after.mark).await?), (vec![], vec![&a.name]), "it went twice");
    Ok(())
}

/// What is kept of those that are gone is bounded.
pub async fn who_has_missed_too_much_reads_everything(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    const MORE_THAN_IS_KEPT: u32 = 400; // of three changes each
    let store = place().await?;
    let (a, b) = (wish("a")?, wish("b")?);
    store.create_deployment(&a, Origin::Api).await?;
    let early = read(&store).await?;
    for _ in 0..MORE_THAN_IS_KEPT {
        store.create_deployment(&b, Origin::Api).await?;
        store.mark_deployment_deleting(&b.name).await?;
        store.remove_deployment(&b.name).await?;
    }
    let all = since(&store, early).await?;
    assert!(all.whole, "names that are gone may have been forgotten");
    assert_eq!(names(&all), (vec![&a.name], vec![]));
    assert_eq!(store.changes(Some(all.mark)).await?, None);
    Ok(())
}

/// Routes are few: all of them come, or none.
pub async fn routes_are_read_again_when_one_has_changed(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (one, two) = (route("chat", "a")?, route("b/chat", "a")?);
    store.create_deployment(&wish("a")?, Origin::Api).await?;
    let mark = read(&store).await?;
    let one = store.create_route(&one, Origin::Api).await?;
    let two = store.create_route(&two, Origin::Api).await?;
    let after = since(&store, mark).await?;
    assert_eq!((after.routes, after.deployments.len()), (Some(vec![two.clone(), one.clone()]), 0));
    store.remove_route(&one.spec.name).await?;
    let after = since(&store, after.mark).await?;
    assert_eq!(after.routes, Some(vec![two]));
    assert_eq!(store.changes(Some(after.mark)).await?, None);
    Ok(())
}

/// The numbers are stored, so they never begin anew.
pub async fn a_mark_is_good_after_a_restart(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    store.create_deployment(&wish("a")?, Origin::Api).await?;
    let mark = read(&store).await?;
    store.close().await;
    assert!(store.changes(Some(mark)).await.is_err(), "a look that fails says so");
    let store = place().await?;
    assert_eq!(store.changes(Some(mark)).await?, None);
    store.create_deployment(&wish("b")?, Origin::Api).await?;
    assert_eq!(names(&since(&store, mark).await?), (vec![&name("b")?], vec![]));
    Ok(())
}

/// Whoever asked for a change may leave at any moment; whatever was committed is seen.
pub async fn a_writer_that_was_cut_off_is_not_missed(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    const WRITES: u32 = 40;
    const STEP: Duration = Duration::from_micros(40);
    let store = place().await?;
    let mut mark = read(&store).await?;
    for number in 0..WRITES {
        let wish = wish(&format!("w{number}"))?;
        let _ = tokio::time::timeout(STEP * number, store.create_deployment(&wish, Origin::Api)).await; // some are cut off, some are not
        store.put_service("next", &wish.name).await?; // whatever was under way before this is over
        let stored = store.get_deployment(&wish.name).await?;
        let seen = store.changes(Some(mark)).await?;
        assert_eq!(seen.as_ref().map(|seen| seen.deployments.clone()).unwrap_or_default(), stored.into_iter().collect::<Vec<_>>());
        mark = seen.map_or(mark, |seen| seen.mark);
    }
    Ok(())
}
