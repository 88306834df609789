//! Which deployments mean another version than they were frozen with?
//!
//! In: what their names mean in the registry now. Out: wishes at the next generation, so that a moved tag is a rollout like any
//! other, with its history and its way back; what callers are told of models that should not be used any more. Fails: what cannot
//! be read or written now is done by a later turn. A deployment follows its tag unless it says `rollout: {follow: false}`; by a
//! digest it means the same for ever. A name may come to mean the model of another project: that one is followed only if it was there
//! when the wish was stored, since then who stored it was asked whether they may use it. From: Kubernetes' image streams and Flux,
//! which make a moved tag a change of the wish.

use std::sync::Arc;

use base::Timestamp;
use registry::{Meaning, Registry};
use spec::deployment::Record;
use spec::{Cause, Event, EventKind, Name, Reason, ReasonCode, Revision, RolloutPhase, Source, Version};

use crate::fetching::{Fetch, unresolved};
use crate::seam::Store;
use crate::turn::Owner;
use crate::world::{Resolve, Wish};

/// Holds every wish against what it means now, if any model has changed since the last time. Whether any of them was renewed.
pub(crate) async fn follow(owner: &mut Owner) -> bool {
    let changed = match owner.store.models_changed().await {
        Ok(changed) => changed,
        Err(error) => {
            tracing::warn!(error = base::chain(&error), "the registry could not be read; deployments follow their tags later");
            return false;
        }
    };
    if owner.followed == Some(changed) {
        return false;
    }
    let (mut renewed, mut all) = (false, true);
    for name in owner.world.wishes.that(names_a_model) {
        match hold_against(owner, &name).await {
            Ok(new) => renewed |= new,
            Err(error) => {
                all = false;
                tracing::warn!(deployment = %name, error, "it could not be held against its tag; a later turn tries again");
            }
        }
    }
    owner.followed = all.then_some(changed);
    renewed
}

fn names_a_model(wish: &Wish) -> bool {
    let spec = &wish.record.spec;
    !wish.record.deleting && spec.engine().needs_model() && matches!(spec.model, Some(Source::Registry { .. }))
}

/// One wish against what it means now; one that is being frozen takes that, and is held against it when it is.
pub(crate) async fn hold_against(owner: &mut Owner, name: &Name) -> Result<bool, String> {
    let Some(wish) = owner.world.wishes.get(name).filter(|wish| names_a_model(wish)) else { return Ok(false) };
    let Some(source) = &wish.record.spec.model else { return Ok(false) };
    let meaning = owner.registry.meaning(source).await.map_err(|error| base::chain(&error))?;
    if let Some(meaning) = meaning.as_ref().filter(|meaning| !is_let(&wish.record, meaning.project.as_ref(), meaning.created_at)) {
        let reason = not_let(source, &meaning.model);
        stay(owner, name, reason);
        return Ok(false);
    }
    let stayed = wish.rollout.reason.as_ref().is_some_and(|reason| reason.code == NOT_LET);
    let notice = meaning.as_ref().and_then(|meaning| Some(Arc::from(spec::warning(&meaning.model, meaning.deprecated.as_deref()?))));
    let (record, noticed) = (wish.record.clone(), wish.notice != notice);
    let is_other = |meaning: &Meaning| match &wish.resolve {
        Resolve::Done(revision) => record.spec.rollout.follow && !is_same(meaning, revision.version.as_ref()),
        _ => false,
    };
    let moved = meaning.filter(is_other);
    let before = wish.revision().and_then(|revision| Some(revision.version.as_ref()?.digest.clone()));
    if (noticed || stayed)
        && let Some(wish) = owner.world.wishes.get_mut(name)
    {
        wish.notice = notice;
        wish.rollout.reason.take_if(|_| stayed);
        wish.unsaved |= stayed;
    }
    let Some(meaning) = moved else { return Ok(false) };
    let cause = meaning.cause_after(before.as_deref());
    let renewed = renew(&owner.store, &record, &cause).await?;
    Ok(tell(owner, renewed.as_ref(), &meaning))
}

/// Whether a wish may mean this model: one of no project, or of its own, or one that was there when somebody stored it.
fn is_let(record: &Record, project: Option<&Name>, created_at: Timestamp) -> bool {
    project.is_none() || project == record.spec.project.as_ref() || created_at <= record.updated_at
}

fn not_let(source: &Source, model: &Name) -> Reason {
    let message =
        format!("`{source}` means the model `{model}` of another project now, which came after this deployment and is not let to it");
    let remedy =
        "name another model; or have somebody who may use that one store the deployment anew, with its digest (`model: NAME@sha256:…`)";
    Reason::new(NOT_LET, message, remedy)
}

/// For this deployment it is as if it were not there. No rollout has another reason of this code.
const NOT_LET: ReasonCode = ReasonCode::ModelMissing;

/// What serves stays, and the story tells why, once.
fn stay(owner: &mut Owner, name: &Name, reason: Reason) {
    let Some(wish) = owner.world.wishes.get_mut(name) else { return };
    let Resolve::Done(revision) = &wish.resolve else { return };
    if !wish.record.spec.rollout.follow || wish.rollout.reason.as_ref() == Some(&reason) {
        return;
    }
    let message = format!("`{name}` stays at revision {}: {}", revision.number, reason.message);
    if wish.rollout.phase != RolloutPhase::RolledBack && !wish.rollout.paused {
        (wish.rollout.reason, wish.unsaved) = (Some(reason.clone()), true);
    }
    let event = Event::now(EventKind::RolloutRolledBack, Cause::Penstock, message).of(name);
    owner.story.tell(Event { reason: Some(reason), ..event });
}

/// What a wish is frozen with; none for one that names no model. A name that came to mean what is not let to it means what it did when
/// this generation was frozen first.
pub(crate) async fn freeze((store, registry): (&Store, &Registry), record: &Record, fetch: Fetch) -> Result<Option<Version>, Reason> {
    let frozen = async || store.get_revision(&record.spec.name, record.generation).await.ok().flatten();
    let before = if record.spec.rollout.follow { None } else { frozen().await };
    let Some(source) = source_of(&record.spec, before.as_ref()) else { return Ok(None) };
    let mut is_let = must_be_let(registry, record).await;
    if is_let.is_ok() {
        let brought = fetch.bring(registry, &source).await;
        is_let = must_be_let(registry, record).await; // another one may have come meanwhile
        if is_let.is_ok() {
            return brought.map(Some).map_err(|error| unresolved(&error));
        }
    }
    match frozen().await.and_then(|revision| revision.version) {
        Some(version) => registry.as_it_was(&version).await.map(Some).map_err(|error| unresolved(&error)),
        None => is_let.map(|()| None),
    }
}

async fn must_be_let(registry: &Registry, record: &Record) -> Result<(), Reason> {
    let Some(source @ Source::Registry { name, tag }) = &record.spec.model else { return Ok(()) };
    match registry.named(name, tag.as_deref()).await {
        Ok(Some(model)) if !is_let(record, model.card.project.as_ref(), model.created_at) => Err(not_let(source, &model.name)),
        Ok(_) => Ok(()),
        Err(error) => Err(unresolved(&error)),
    }
}

/// Engines are started with both.
fn is_same(meaning: &Meaning, version: Option<&Version>) -> bool {
    version.is_some_and(|version| version.digest == meaning.digest && version.contents.serving == meaning.serving)
}

/// The same wish at the next generation; none if somebody has changed it meanwhile, which the next look sees.
async fn renew(store: &Store, record: &Record, cause: &str) -> Result<Option<Record>, String> {
    match store.renew_deployment(&record.spec.name, record.generation, cause).await {
        Ok(record) => Ok(Some(record)),
        Err(store::Error::Stale { .. }) => Ok(None),
        Err(error) => Err(base::chain(&error)),
    }
}

fn tell(owner: &mut Owner, record: Option<&Record>, meaning: &Meaning) -> bool {
    let Some(record) = record else { return false };
    let name = &record.spec.name;
    let message = format!("`{name}` follows {}, to {}; generation {}", record.cause, meaning.digest, record.generation);
    let by = Cause::Tag { model: meaning.model.to_string(), digest: meaning.digest.clone() };
    owner.story.tell(Event::now(EventKind::DeploymentUpdated, by, message).of(name));
    true
}

/// What to freeze a wish with: what its name means now, or for one that follows no tag what it meant when it was frozen first.
fn source_of(spec: &spec::Deployment, before: Option<&Revision>) -> Option<Source> {
    let digest = before.and_then(|revision| revision.version.as_ref()).map(|version| &version.digest);
    match (&spec.model, digest) {
        (Some(Source::Registry { name, tag }), Some(digest)) if !spec.rollout.follow && !is_digest(tag.as_deref()) => {
            Some(Source::Registry { name: name.clone(), tag: Some(format!("@{digest}")) })
        }
        (source, _) => source.clone(),
    }
}

fn is_digest(tag: Option<&str>) -> bool {
    tag.is_some_and(|tag| tag.starts_with('@'))
}

/// A revision that was frozen before, and would be another one now: what it was stays in its history, and the wish goes to the next
/// generation. Whether that is so.
pub(crate) async fn is_another(owner: &mut Owner, record: &Record, revision: &Revision) -> bool {
    let Ok(Some(before)) = owner.store.get_revision(&record.spec.name, record.generation).await else { return false };
    let (Some(was), Some(is)) = (&before.version, &revision.version) else { return false };
    let same = was.digest == is.digest && was.contents.serving == is.contents.serving;
    if same || before.spec != revision.spec {
        return false;
    }
    let cause = match meaning_of(&owner.registry, record).await {
        Some(meaning) => meaning.cause_after(Some(&was.digest)),
        None => "the file of its model, which has changed".to_owned(),
    };
    match renew(&owner.store, record, &cause).await {
        Ok(Some(next)) => {
            let name = &record.spec.name;
            let message = format!("`{name}` follows {cause}, to {}; generation {}", is.digest, next.generation);
            let model = record.spec.model.as_ref().map(Source::told).unwrap_or_default();
            let by = Cause::Tag { model, digest: is.digest.clone() };
            owner.story.tell(Event::now(EventKind::DeploymentUpdated, by, message).of(name));
            true
        }
        Ok(None) => true,
        Err(error) => {
            tracing::warn!(deployment = %record.spec.name, error, "its next revision could not be stored; it is frozen as it is now");
            false
        }
    }
}

async fn meaning_of(registry: &Registry, record: &Record) -> Option<Meaning> {
    registry.meaning(record.spec.model.as_ref()?).await.ok().flatten()
}
