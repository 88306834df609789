//! Where may a call still go?
//!
//! In: what is in a call's way each time: an engine that failed it, a limit, a context that is too small. Out: the
//! deployment to ask next, as long as there is one. Fails: with what was in the way first. Holds: nothing that
//! must be given back.
//!
//! | in the way | another target of the route | a fallback |
//! |---|---|---|
//! | the deployment's own limits or budget | yes | yes |
//! | its prices, for which the caller's budget has no room | once the call was let in for a cheaper one | the same |
//! | its context | yes | in place of a fallback whose context is too small, not of the model that was asked for |
//! | an engine that may be at work on the call | no | yes, as long as the client knows of nothing |

use std::sync::Arc;
use std::time::Duration;

use access::{Error as Refusal, Whose};
use base::Timestamp;
use board::{Board, Entry, Search, State};

use crate::Gateway;
use crate::account::Account;
use crate::admit::{go_to, is_elsewhere};
use crate::call::Call;
use crate::choose;
use crate::error::Error;
use crate::prompt::{self, Prompts};
use crate::send::retry::Tries;

/// A call that may be served: where it goes, and how often it went.
pub(crate) struct Way {
    pub(crate) search: Search,
    pub(crate) tries: Tries,
    /// Nobody serves it yet; whoever comes up for it began so long ago.
    pub(crate) cold: Option<Duration>,
    prompts: Prompts,
    /// Why it was not served where it was asked already.
    before: Option<Error>,
}

impl Way {
    /// Of a call that was let in for this deployment.
    pub(crate) fn new(search: Search, entry: &Entry, prompts: Prompts) -> Self {
        let cold = match &entry.state {
            State::Ready => None,
            State::Rising { since, .. } => Some(Timestamp::now().since(*since)),
            State::Cold | State::Down(_) => Some(Duration::ZERO),
        };
        Self { search, tries: Tries::default(), cold, prompts, before: None }
    }

    /// The call is about to go to this deployment: another than the one it was let in for has to let it in as well.
    pub(crate) async fn enter(&self, gateway: &Gateway, call: &Call, entry: &Entry, account: &mut Account) -> Result<(), Error> {
        if is_elsewhere(entry, account) {
            Box::pin(prompt::measure(gateway, call, &self.prompts, entry, false)).await?;
        }
        go_to(gateway.access(), entry, account)
    }

    /// That deployment cannot take it: the next lease is on another one, if the reason is its own.
    pub(crate) fn pass_over(&mut self, entry: &Entry, error: Error) -> Result<(), Error> {
        if !(is_its_own(&error) || is_too_dear(&error)) {
            return Err(error);
        }
        self.search.rule_out(&entry.name);
        // Of a context the caller can make something; of a limit somewhere else less than of the first failure.
        if self.before.is_none() || matches!(error, Error::TooLong { .. }) {
            self.before = Some(error);
        }
        Ok(())
    }

    /// It failed, so that it is tried again.
    pub(crate) fn failed(&mut self, error: Error) {
        self.before = Some(error);
    }

    /// It was asked somewhere already.
    pub(crate) fn is_again(&self) -> bool {
        self.before.is_some()
    }

    /// Nobody knows what came of it there, and the client knows of nothing: a fallback is asked, if there is one.
    pub(crate) fn go_on(&mut self, board: &Board, error: Error, account: &Account) -> Result<(), Error> {
        let Some(entry) = account.entry().filter(|_| !account.has_begun()) else { return Err(error) };
        if !self.tries.may_leave(&error, entry.spec.retries.attempts) {
            return Err(error);
        }
        self.search.rule_out(&entry.name);
        if !self.search.leave(board) {
            return Err(error);
        }
        tracing::warn!(deployment = %entry.name, fallback = %self.search.name(), error = base::chain(&error), "a fallback is asked");
        self.before = Some(error);
        Ok(())
    }

    /// Why it ends: what failed the call counts more than that nobody else can serve it.
    pub(crate) fn why(&mut self, error: Error) -> Error {
        match error {
            Error::Board(board::Error::Closed) => error,
            error => self.before.take().unwrap_or(error),
        }
    }
}

/// The deployment to be let in for in the place of this one, to which that is in the way.
pub(crate) fn instead(board: &Board, search: &mut Search, call: &Call, (entry, error): (&Entry, &Error)) -> Option<Arc<Entry>> {
    if !is_its_own(error) {
        return None;
    }
    search.rule_out(&entry.name);
    let is_asked_for = search.name().as_str() == call.ask.model;
    let may_leave = !(is_asked_for && matches!(error, Error::TooLong { .. }));
    choose::next(board, search, call, may_leave)
}

/// What the caller may still spend is not enough for its prices; it was enough for those of the deployment that the call was let in for.
fn is_too_dear(error: &Error) -> bool {
    matches!(error, Error::Access(Refusal::Budget { .. }))
}

/// It says nothing of other deployments.
fn is_its_own(error: &Error) -> bool {
    match error {
        Error::TooLong { .. } => true,
        Error::Access(Refusal::Limited { whose, .. } | Refusal::NeverFits { whose, .. } | Refusal::Budget { whose, .. }) => {
            matches!(whose, Whose::Deployment(_))
        }
        _ => false,
    }
}
