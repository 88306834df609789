//! Promises about rollouts, and how revisions stand in them.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;
use spec::deployment::{Origin, RevisionStatus};
use spec::{Name, Reason, ReasonCode, Rollout, RolloutPhase, RolloutStatus};

use crate::contract::sample::{revision, vary, wish};
use crate::error::Error;
use crate::open::Store;

async fn standing(store: &Store, name: &Name) -> Result<Vec<(u64, RevisionStatus)>, Error> {
    Ok(store.list_revisions(name).await?.into_iter().map(|kept| (kept.revision.number, kept.status)).collect())
}

/// All of it survives, and revisions never stand otherwise than their rollout says.
pub async fn a_rollout_comes_back_as_it_was_and_its_revisions_stand_as_it_says(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    use RevisionStatus::{Abandoned, Failed, Progressing, Serving, Superseded};
    let store = place().await?;
    let mut wish = wish("a")?;
    wish.rollout.revision_history = 2;
    let settings = Rollout::default();
    let first = RolloutStatus::first(1, &settings, Timestamp::from_millis(7));
    let orphan = store.put_rollout(&wish.name, &first).await;
    assert!(matches!(&orphan, Err(Error::NoDeployment(_))), "{orphan:?}");
    store.create_deployment(&wish, Origin::Api).await?;
    assert_eq!(store.get_rollout(&wish.name).await?, None);
    for number in 1..=3 {
        store.put_revision(&wish.name, &revision(&wish, number), "").await?;
        if number == 1 {
            store.put_rollout(&wish.name, &RolloutStatus { phase: RolloutPhase::Complete, ..first.clone() }).await?;
        }
    }
    assert_eq!(standing(&store, &wish.name).await?, [(3, Progressing), (2, Progressing), (1, Serving)], "what serves is kept");
    let mut third = RolloutStatus { phase: RolloutPhase::Complete, ..first }.aimed_at(3, &settings, Timestamp::from_millis(8));
    third.reason = Some(Reason::new(ReasonCode::RevisionFailed, "it failed 3 times", "look"));
    (third.failures, third.held_since, third.before) = (3, Some(Timestamp::from_millis(9)), (5, 1));
    store.put_rollout(&wish.name, &third).await?;
    assert_eq!(store.get_rollout(&wish.name).await?, Some(third.clone()));
    assert_eq!(store.list_rollouts().await?, [(wish.name.clone(), third.clone())]);
    assert_eq!(standing(&store, &wish.name).await?, [(3, Progressing), (2, Abandoned), (1, Serving)]);
    third.phase = RolloutPhase::RolledBack;
    store.put_rollout(&wish.name, &third).await?;
    assert_eq!(standing(&store, &wish.name).await?, [(3, Failed), (2, Abandoned), (1, Serving)]);
    third.phase = RolloutPhase::Complete;
    store.put_rollout(&wish.name, &third).await?;
    assert_eq!(standing(&store, &wish.name).await?, [(3, Serving), (2, Abandoned), (1, Superseded)]);
    store.mark_deployment_deleting(&wish.name).await?;
    store.remove_deployment(&wish.name).await?;
    assert_eq!(store.list_rollouts().await?, []);
    Ok(())
}

/// A history without causes helps nobody.
pub async fn a_change_has_a_cause_and_its_revision_tells_it(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let mut wish = wish("a")?;
    let made = store.create_deployment(&wish, Origin::Api).await?;
    assert_eq!(made.cause, "the API");
    vary(&mut wish, 2);
    let changed = store.put_deployment_because(&wish, (Origin::Api, "undone by `anna`"), Some(1)).await?;
    assert_eq!((changed.generation, changed.cause.as_str()), (2, "undone by `anna`"));
    let same = store.put_deployment_because(&wish, (Origin::Api, "nothing"), None).await?;
    assert_eq!(same, changed, "what changes nothing is no cause");
    let before = Timestamp::now();
    store.put_revision(&wish.name, &revision(&wish, 2), &changed.cause).await?;
    let kept = store.list_revisions(&wish.name).await?;
    let told: Vec<_> = kept.iter().map(|kept| (kept.cause.as_str(), kept.digest.as_deref())).collect();
    assert_eq!(told, [("undone by `anna`", Some("sha256:aa"))]);
    assert!(kept.iter().all(|kept| kept.created_at >= before));
    Ok(())
}
