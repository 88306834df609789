//! Who waits in front of one deployment, in the order of coming.
//!
//! In: callers. Some are guests: their place is in the line of another target of their route, and they take a slot here should one
//! come free first. Out: whose turn it is; only a caller who avoids a member lets others pass to it. Guests make the line no longer, and
//! are no demand: each caller counts where its place is. Holds: nothing; its lane locks it.

use std::collections::VecDeque;

use spec::InstanceId;
use tokio::sync::oneshot;

use crate::Error;
use crate::lease::Lease;
use crate::seats::{Avoid, Taken};

/// What a caller in line gets.
pub(crate) type Answer = Result<Lease, Error>;

/// The line of one deployment.
#[derive(Debug, Default)]
pub(crate) struct Line {
    all: VecDeque<Waiter>,
    guests: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    is_guest: bool,
    avoid: Vec<InstanceId>,
    reply: oneshot::Sender<Answer>,
}

impl Line {
    /// The last place, by its number.
    pub(crate) fn join(&mut self, avoid: &[InstanceId], is_guest: bool) -> (u64, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        self.guests += usize::from(is_guest);
        self.all.push_back(Waiter { number, is_guest, avoid: avoid.to_vec(), reply });
        (number, answer)
    }

    pub(crate) fn leave(&mut self, number: u64) {
        if let Some(at) = self.all.iter().position(|waiter| waiter.number == number) {
            self.remove(at);
        }
    }

    /// Takes out everyone whose place this is. Guests stay: they have their answer from elsewhere.
    pub(crate) fn send_away(&mut self) -> Vec<oneshot::Sender<Answer>> {
        let (guests, own): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.all).into_iter().partition(|waiter| waiter.is_guest);
        self.all = guests;
        own.into_iter().map(|waiter| waiter.reply).collect()
    }

    /// The first for whom there is a slot, with the slot.
    pub(crate) fn next(&mut self, mut take: impl FnMut(Avoid<'_>) -> Option<Taken>) -> Option<(oneshot::Sender<Answer>, Taken)> {
        let mut at = 0;
        while let Some(waiter) = self.all.get(at) {
            let is_picky = !waiter.avoid.is_empty();
            if waiter.reply.is_closed() {
                self.remove(at);
            } else if let Some(taken) = take(Avoid { ids: &waiter.avoid, unless_alone: true }) {
                return self.remove(at).map(|waiter| (waiter.reply, taken));
            } else if is_picky {
                at += 1; // the next one may take what this one passes over
            } else {
                return None;
            }
        }
        None
    }

    fn remove(&mut self, at: usize) -> Option<Waiter> {
        let waiter = self.all.remove(at)?;
        self.guests -= usize::from(waiter.is_guest);
        Some(waiter)
    }

    /// Nobody waits for a slot here, guests included.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whoever comes now may take a slot: those in line do not want the one that is free. One who takes any member shows that none is.
    pub(crate) fn lets_pass(&self) -> bool {
        self.all.iter().all(|waiter| !waiter.avoid.is_empty())
    }

    /// Callers whose place this is.
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.guests
    }

    /// Those of them who have not left.
    pub(crate) fn waiting(&self) -> u32 {
        let waiting = self.all.iter().filter(|waiter| !waiter.is_guest && !waiter.reply.is_closed()).count();
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }
}
