//! Promises about wishes and their revisions.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use spec::deployment::Origin;

use crate::contract::sample::{kept, name, revision, route, vary, wish};
use crate::error::Error;
use crate::open::Store;

/// What is stored is what comes back.
pub async fn a_new_wish_has_generation_one_and_comes_back_as_it_was(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (b, a) = (wish("b/model:8b")?, wish("a")?);
    let record = store.create_deployment(&b, Origin::Api).await?;
    assert_eq!((record.generation, record.origin, record.deleting), (1, Origin::Api, false));
    assert_eq!(record.spec, b);
    let other = store.create_deployment(&a, Origin::Config).await?;
    assert_eq!(store.get_deployment(&b.name).await?, Some(record.clone()));
    assert_eq!(store.get_deployment(&name("c")?).await?, None);
    assert_eq!(store.list_deployments().await?, [other, record], "by name");
    Ok(())
}

/// One name, one wish.
pub async fn a_name_is_taken_once(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let first = wish("a")?;
    let record = store.create_deployment(&first, Origin::Api).await?;
    let mut second = first.clone();
    second.context = Some(128);
    let refused = store.create_deployment(&second, Origin::Api).await;
    assert!(matches!(&refused, Err(Error::Taken(taken)) if *taken == first.name), "{refused:?}");
    assert_eq!(store.get_deployment(&first.name).await?, Some(record));
    Ok(())
}

/// The generation counts changes.
pub async fn the_generation_rises_with_a_change_and_only_then(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let mut wish = wish("a")?;
    let first = store.put_deployment(&wish, Origin::Config, None).await?;
    assert_eq!(first.generation, 1);
    let same = store.put_deployment(&wish, Origin::Config, None).await?;
    assert_eq!(same, first, "nothing changed");
    let taken_over = store.put_deployment(&wish, Origin::Api, None).await?;
    assert_eq!((taken_over.generation, taken_over.origin), (1, Origin::Api), "another writer is not another wish");
    vary(&mut wish, 4);
    let changed = store.put_deployment(&wish, Origin::Api, None).await?;
    assert_eq!((changed.generation, &changed.spec), (2, &wish));
    assert_eq!(changed.created_at, first.created_at);
    assert!(changed.updated_at >= first.updated_at);
    // A fraction of a millisecond cannot be stored, so it is no change.
    wish.timeouts.idle += std::time::Duration::from_nanos(1);
    assert_eq!(store.put_deployment(&wish, Origin::Api, None).await?.generation, 2);
    Ok(())
}

/// Who knows an old state may not write over a new one.
pub async fn a_stale_generation_is_refused_and_changes_nothing(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let mut wish = wish("a")?;
    let missing = store.put_deployment(&wish, Origin::Api, Some(1)).await;
    assert!(matches!(&missing, Err(Error::Stale { actual: 0, .. })), "{missing:?}");
    assert_eq!(store.list_deployments().await?, []);
    assert_eq!(store.put_deployment(&wish, Origin::Api, Some(0)).await?.generation, 1, "0 means: only if there is none");
    vary(&mut wish, 2);
    assert_eq!(store.put_deployment(&wish, Origin::Api, Some(1)).await?.generation, 2);
    let second = wish.clone();
    vary(&mut wish, 3);
    let stale = store.put_deployment(&wish, Origin::Api, Some(1)).await;
    assert!(matches!(&stale, Err(Error::Stale { actual: 2, name }) if *name == wish.name), "{stale:?}");
    assert_eq!(store.get_deployment(&wish.name).await?.map(|r| r.spec), Some(second));
    Ok(())
}

/// What a wish names means something else: the next generation is the same wish, with the cause.
pub async fn a_wish_is_renewed_with_its_cause_on_top_of_what_it_is(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let wanted = wish("a")?;
    let first = store.create_deployment(&wanted, Origin::Config).await?;
    let second = store.renew_deployment(&wanted.name, 1, "a moved tag").await?;
    assert_eq!((second.generation, second.cause.as_str()), (2, "a moved tag"));
    assert_eq!((&second.spec, second.origin, second.created_at), (&first.spec, first.origin, first.created_at));
    let late = store.renew_deployment(&wanted.name, 1, "the same again").await;
    assert!(matches!(late, Err(Error::Stale { actual: 2, .. })), "{late:?}");
    assert_eq!(store.get_deployment(&wanted.name).await?, Some(second));
    store.mark_deployment_deleting(&wanted.name).await?;
    assert!(store.renew_deployment(&wanted.name, 2, "too late").await.is_err());
    Ok(())
}

/// Checking and writing are one step.
pub async fn of_many_writers_that_expect_the_same_generation_one_wins(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    const WRITERS: u32 = 8;
    let store = place().await?;
    let base = wish("a")?;
    store.create_deployment(&base, Origin::Api).await?;
    let (done, outcomes) = tally();
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (store, mut wish, done) = (store.clone(), base.clone(), done.clone());
        vary(&mut wish, 2 + writer);
        tasks.push(base::tasks::spawn("writer", async move {
            let outcome = store.put_deployment(&wish, Origin::Api, Some(1)).await;
            done(outcome.is_ok());
        }));
    }
    for task in tasks {
        task.join().await;
    }
    assert_eq!(outcomes(), (1, WRITERS - 1), "one wins, the others are told");
    assert_eq!(store.get_deployment(&base.name).await?.map(|r| r.generation), Some(2));
    Ok(())
}

/// Counts outcomes of tasks: a way in that can be shared, and a way to read won and lost.
fn tally() -> (impl Fn(bool) + Clone + Send + 'static, impl Fn() -> (u32, u32)) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let counts = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let seen = Arc::clone(&counts);
    let tell = move |won: bool| {
        let count = if won { &counts.0 } else { &counts.1 };
        count.fetch_add(1, Ordering::SeqCst);
    };
    (tell, move || (seen.0.load(Ordering::SeqCst), seen.1.load(Ordering::SeqCst)))
}

/// To go, to stay after all, to be gone.
pub async fn a_wish_that_is_to_go_can_be_brought_back_and_leaves_only_when_told(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let wish = wish("a")?;
    assert_eq!(store.mark_deployment_deleting(&wish.name).await?, None);
    store.create_deployment(&wish, Origin::Api).await?;
    assert!(!store.remove_deployment(&wish.name).await?, "it is wanted");
    let marked = store.mark_deployment_deleting(&wish.name).await?;
    assert_eq!(marked.as_ref().map(|r| (r.deleting, r.generation)), Some((true, 1)));
    assert_eq!(store.mark_deployment_deleting(&wish.name).await?, marked, "twice is once");
    assert_eq!(store.list_deployments().await?.len(), 1, "its instances still have to go");
    let refused = store.create_deployment(&wish, Origin::Api).await;
    assert!(matches!(&refused, Err(Error::Deleting(_))), "{refused:?}");

    let back = store.put_deployment(&wish, Origin::Api, None).await?;
    assert!(!back.deleting);
    assert!(!store.remove_deployment(&wish.name).await?, "it was brought back in between");

    store.mark_deployment_deleting(&wish.name).await?;
    assert!(store.remove_deployment(&wish.name).await?);
    assert!(!store.remove_deployment(&wish.name).await?);
    assert_eq!(store.get_deployment(&wish.name).await?, None);
    assert_eq!(store.create_deployment(&wish, Origin::Api).await?.generation, 1);
    Ok(())
}

/// A revision cannot be without its wish.
pub async fn revisions_belong_to_a_wish_and_go_with_it(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let wish = wish("a")?;
    let orphan = store.put_revision(&wish.name, &revision(&wish, 1), "").await;
    assert!(matches!(&orphan, Err(Error::NoDeployment(_))), "{orphan:?}");
    store.create_deployment(&wish, Origin::Api).await?;
    let (mut one, two) = (revision(&wish, 1), revision(&wish, 2));
    store.put_revision(&wish.name, &one, "").await?;
    store.put_revision(&wish.name, &two, "").await?;
    one.version = None;
    store.put_revision(&wish.name, &one, "").await?;
    assert_eq!(store.get_revision(&wish.name, 1).await?, Some(one.clone()), "replaced");
    assert_eq!(store.get_revision(&wish.name, 3).await?, None);
    let listed: Vec<_> = store.list_revisions(&wish.name).await?.into_iter().map(|kept| kept.revision).collect();
    assert_eq!(listed, [two, one], "newest first");
    store.mark_deployment_deleting(&wish.name).await?;
    store.remove_deployment(&wish.name).await?;
    assert_eq!(store.list_revisions(&wish.name).await?, []);
    Ok(())
}

/// Bounded, but nothing that is in use goes.
pub async fn old_revisions_make_room_but_not_those_that_run(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    const STORED: u64 = 20;
    let store = place().await?;
    let wish = wish("a")?;
    store.create_deployment(&wish, Origin::Api).await?;
    store.put_instance(&kept("i1", &wish.name, 1)).await?; // runs revision 3
    for number in 1..=STORED {
        store.put_revision(&wish.name, &revision(&wish, number), "").await?;
    }
    let numbers: Vec<u64> = store.list_revisions(&wish.name).await?.iter().map(|kept| kept.revision.number).collect();
    let expected: Vec<u64> = (11..=STORED).rev().chain([3]).collect();
    assert_eq!(numbers, expected);
    Ok(())
}

/// A route changes as a wish does, and a public name stands for one thing.
pub async fn routes_come_back_with_their_generation_and_share_no_name_with_a_deployment(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    let store = place().await?;
    let (mut one, two) = (route("chat", "a")?, route("b/chat", "a")?);
    let stored = store.create_route(&one, Origin::Api).await?;
    assert_eq!((stored.generation, &stored.spec), (1, &one));
    store.put_route(&two, Origin::Config, None).await?;
    assert_eq!(store.put_route(&one, Origin::Api, Some(1)).await?, stored, "nothing changed");
    one.fallback.clear();
    assert_eq!(store.put_route(&one, Origin::Api, Some(1)).await?.generation, 2);
    let stale = store.put_route(&two, Origin::Api, Some(0)).await;
    assert!(matches!(&stale, Err(Error::StaleRoute { actual: 1, .. })), "{stale:?}");
    assert!(matches!(store.create_route(&one, Origin::Api).await, Err(Error::RouteTaken(_))));
    assert_eq!(store.get_route(&one.name).await?.map(|record| record.spec), Some(one.clone()));
    let names: Vec<_> = store.list_routes().await?.into_iter().map(|record| record.spec.name).collect();
    assert_eq!(names, [two.name.clone(), one.name.clone()], "by name");
    for stored in
        [store.create_deployment(&wish("chat")?, Origin::Api).await, store.put_deployment(&wish("chat")?, Origin::Api, None).await]
    {
        assert!(matches!(&stored, Err(Error::NameTaken { by: "route", .. })), "{stored:?}");
    }
    store.create_deployment(&wish("a")?, Origin::Api).await?;
    let taken = store.put_route(&route("a", "b")?, Origin::Api, None).await;
    assert!(matches!(&taken, Err(Error::NameTaken { by: "deployment", .. })), "{taken:?}");
    assert!(store.remove_route(&one.name).await? && !store.remove_route(&one.name).await?);
    store.create_deployment(&wish("chat")?, Origin::Api).await?;
    Ok(())
}
