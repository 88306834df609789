//! What operators asked for by hand, and the operations that tell how far it is.
//!
//! In: a load or an unload. Out: a wish that knows of it, and an operation that ends when the goal
//! is reached or lost. Fails: a store that cannot take an operation's end is logged.

use base::Timestamp;
use spec::{Name, Operation, OperationState, Phase, Reason, ReasonCode};

use crate::turn::Owner;
use crate::world::{Hand, Item, Resolve, Wish};

/// An operator's hand.
pub(crate) fn by_hand(owner: &mut Owner, name: &Name, hand: Hand, operation: Operation) {
    let Some(wish) = owner.world.wishes.get_mut(name) else {
        let reason = Reason::new(ReasonCode::Superseded, "the deployment is gone", "");
        owner.operations.insert(operation.id.clone(), Operation { state: OperationState::Failed, reason: Some(reason), ..operation });
        return;
    };
    wish.hand = hand;
    if hand == Hand::Load {
        wish.retry_at = None;
        wish.failure = None;
        if matches!(wish.resolve, Resolve::Failed(..)) {
            wish.resolve = Resolve::Pending;
        }
    }
    wish.jobs.push((operation.id.clone(), hand));
    owner.operations.insert(operation.id.clone(), operation);
}

/// Ends the operations whose goal is reached or lost.
pub(crate) async fn settle(owner: &mut Owner) {
    let mut settled: Vec<Operation> = Vec::new();
    for (name, wish) in &mut owner.world.wishes {
        let items: Vec<&Item> = owner.world.items.values().filter(|item| item.deployment == *name).collect();
        if wish.hand == Hand::Load && items.iter().any(|item| item.phase == Phase::Ready) {
            wish.hand = Hand::Off;
        }
        let jobs = std::mem::take(&mut wish.jobs);
        for (id, hand) in jobs {
            match end(hand, wish, &items) {
                Some((state, reason)) => {
                    settled.extend(owner.operations.remove(&id).map(|operation| Operation { state, reason, ..operation }));
                }
                None => wish.jobs.push((id, hand)),
            }
        }
    }
    let lost: Vec<_> =
        owner.operations.values().filter(|operation| operation.state.is_over()).map(|operation| operation.id.clone()).collect();
    settled.extend(lost.iter().filter_map(|id| owner.operations.remove(id)));
    for mut operation in settled {
        operation.updated_at = Timestamp::now();
        let how = if operation.state == OperationState::Succeeded { "done" } else { "failed" };
        operation.message = format!("{} of `{}` {how}", operation.kind, operation.target);
        if let Err(error) = owner.store.put_operation(&operation).await {
            tracing::warn!(error = base::chain(&error), "an operation's end could not be stored");
        }
    }
}

/// How a job has ended, if it has.
fn end(hand: Hand, wish: &Wish, items: &[&Item]) -> Option<(OperationState, Option<Reason>)> {
    let failure = match &wish.resolve {
        Resolve::Failed(reason, _) => Some(reason),
        _ => wish.failure.as_ref(),
    };
    match hand {
        Hand::Load if items.iter().any(|item| item.phase == Phase::Ready) => Some((OperationState::Succeeded, None)),
        Hand::Load => failure.map(|reason| (OperationState::Failed, Some(reason.clone()))),
        Hand::Unload if !items.iter().any(|item| item.holds_memory()) => Some((OperationState::Succeeded, None)),
        Hand::Unload | Hand::Off => None,
    }
}
