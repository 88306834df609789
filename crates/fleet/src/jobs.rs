//! What operators asked for by hand, and the operations that tell how far it is.
//!
//! In: a load or an unload. Out: a wish that knows of it, and an operation that ends when the goal
//! is reached or lost, whatever becomes of its deployment and of Penstock. Fails: a store that cannot
//! take an operation's end is logged.

use std::collections::BTreeMap;

use base::Timestamp;
use spec::{Name, Operation, OperationId, OperationState, Phase, Reason, ReasonCode, Transfer};

use crate::turn::Owner;
use crate::world::{Hand, Item, Resolve, Wish, World};

/// An operation under way.
#[derive(Debug)]
pub(crate) struct Job {
    hand: Hand,
    /// When it came, by the clock of the world.
    asked_at: Timestamp,
    operation: Operation,
}

/// All that are under way.
pub(crate) type Jobs = BTreeMap<OperationId, Job>;

/// How a job has ended.
type End = (OperationState, Option<Reason>);

/// An operator's hand.
pub(crate) fn by_hand(owner: &mut Owner, name: &Name, hand: Hand, operation: Operation) {
    if let Some(wish) = owner.world.wishes.get_mut(name) {
        wish.hand = hand;
        if hand == Hand::Load {
            wish.retry_at = None;
            wish.failure = None;
            if matches!(wish.resolve, Resolve::Failed(..)) {
                wish.resolve = Resolve::Pending;
            }
        }
    }
    owner.jobs.insert(operation.id.clone(), Job { hand, asked_at: Timestamp::steady(), operation });
}

/// Ends the operations whose goal is reached or lost.
pub(crate) async fn settle(owner: &mut Owner) {
    let ended: Vec<(OperationId, End)> = owner.jobs.iter().filter_map(|(id, job)| Some((id.clone(), end(job, &owner.world)?))).collect();
    for (id, end) in ended {
        if let Some(job) = owner.jobs.remove(&id) {
            write_down(owner, job.operation, end).await;
        }
    }
    let Owner { world, jobs, .. } = owner;
    for name in world.wishes.that(|wish| wish.hand == Hand::Load) {
        let is_under_way = jobs.values().any(|job| job.hand == Hand::Load && job.operation.target == name);
        if let Some(wish) = world.wishes.get_mut(&name).filter(|_| !is_under_way) {
            wish.hand = Hand::Off; // reached or lost; from now on callers decide
        }
    }
}

/// Penstock goes down: what is not done by now will not be.
pub(crate) async fn give_up(owner: &mut Owner) {
    for (_, job) in std::mem::take(&mut owner.jobs) {
        write_down(owner, job.operation, lost(ReasonCode::ShuttingDown, "penstock stopped before it was done")).await;
    }
}

/// Ends what an earlier Penstock has left unfinished.
pub(crate) async fn bury(owner: &Owner) -> Result<(), crate::Error> {
    const ALL: u32 = 10_000; // more than the store keeps beside those that run
    let left = owner.store.list_operations(ALL).await?.into_iter().filter(|operation| !operation.state.is_over());
    for operation in left {
        let remedy = if operation.transfer.is_some() { registry::PULL_AGAIN } else { "" };
        let reason = Reason::new(ReasonCode::ShuttingDown, "penstock ended before it was done", remedy);
        write_down(owner, operation, (OperationState::Failed, Some(reason))).await;
    }
    Ok(())
}

async fn write_down(owner: &Owner, mut operation: Operation, (state, reason): End) {
    let how = if state == OperationState::Succeeded { "done" } else { "failed" };
    operation.message = format!("{} of `{}` {how}", operation.kind, operation.target);
    operation.transfer = operation.transfer.map(Transfer::ended);
    (operation.state, operation.reason, operation.updated_at) = (state, reason, Timestamp::now());
    if let Err(error) = owner.store.put_operation(&operation).await {
        tracing::warn!(error = base::chain(&error), "an operation's end could not be stored");
    }
}

/// How a job has ended, if it has.
fn end(job: &Job, world: &World) -> Option<End> {
    let wish = world.wishes.get(&job.operation.target).filter(|wish| !wish.record.deleting);
    match job.hand {
        Hand::Load => end_of_load(&job.operation, wish, world),
        Hand::Unload => end_of_unload(job, wish, world),
        Hand::Off => Some((OperationState::Succeeded, None)),
    }
}

fn end_of_load(operation: &Operation, wish: Option<&Wish>, world: &World) -> Option<End> {
    let Some(wish) = wish else { return Some(lost(ReasonCode::Superseded, "the deployment is gone")) };
    let failure = match &wish.resolve {
        Resolve::Failed(reason, _) => Some(reason),
        _ => wish.failure.as_ref(),
    };
    if world.items_of(&operation.target).any(|item| item.phase == Phase::Ready) {
        return Some((OperationState::Succeeded, None));
    }
    if let Some(reason) = crate::scale::closed(wish, world.date()) {
        return Some((OperationState::Failed, Some(reason)));
    }
    if let Some(reason) = failure {
        return Some((OperationState::Failed, Some(reason.clone())));
    }
    (wish.hand != Hand::Load).then(|| lost(ReasonCode::Superseded, "something else was asked for since"))
}

fn end_of_unload(job: &Job, wish: Option<&Wish>, world: &World) -> Option<End> {
    let before = |is: fn(&Item) -> bool| world.items_of(&job.operation.target).any(|item| item.created_at <= job.asked_at && is(item));
    if !before(|item| item.is_serving() || item.holds_memory()) {
        return Some((OperationState::Succeeded, None));
    }
    let undone = wish.is_some_and(|wish| wish.hand != Hand::Unload) && before(Item::is_serving);
    undone.then(|| lost(ReasonCode::Superseded, "somebody asked for the model since, so it stays"))
}

fn lost(code: ReasonCode, message: &str) -> End {
    (OperationState::Failed, Some(Reason::new(code, message, "")))
}
