//! Who calls, and what may they do?
//!
//! In: a stored token. Out: a [`Caller`], shared by all calls with this token. Fails:
//! [`Error::Forbidden`]. Holds: whether the token has been taken back since, and the meters of the
//! token and its project.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Timestamp;
use spec::{Budget, Limits, Scope, Token, TokenId};
use tokio::time::Instant;

use crate::error::{Denied, Error};
use crate::holder::{Shared, terms};
use crate::meter::{Meter, Rates, Terms};

/// Somebody whose token was verified.
#[derive(Debug)]
pub struct Caller {
    /// Their token; `None` when none is needed here.
    pub token: Option<TokenId>,
    /// What the token is called.
    pub name: String,
    /// The project that the use is booked on.
    pub project: Option<String>,
    /// What they may do.
    pub scopes: Vec<Scope>,
    /// The models that they may use; all when there is no list.
    pub models: Option<Vec<String>>,
    /// How much at a time.
    pub limits: Limits,
    /// How much within an hour, a day, a month.
    pub budget: Budget,
    /// From when on they are refused.
    pub expires_at: Option<Timestamp>,
    /// What its project uses.
    pub(crate) shared: Option<Arc<Shared>>,
    meter: Arc<Meter>,
    standing: Arc<Standing>,
}

/// What holds for a token through all of its changes, and is known before the store knows it.
#[derive(Debug, Default)]
struct Standing {
    /// It opens nothing any more.
    revoked: AtomicBool,
    /// A change is under way after which it may no longer operate Penstock.
    stepping_down: AtomicBool,
}

impl Caller {
    /// The holder of a token.
    pub(crate) fn holding(token: &Token, shared: Option<Arc<Shared>>) -> Self {
        Self {
            token: Some(token.id.clone()),
            name: token.name.clone(),
            project: token.project.clone(),
            scopes: token.scopes.clone(),
            models: token.models.clone(),
            limits: token.limits.clone(),
            budget: token.budget.clone(),
            expires_at: token.expires_at,
            shared,
            meter: Arc::new(Meter::new()),
            standing: Arc::default(),
        }
    }

    /// The same holder after the token has changed: what is used now stays used.
    pub(crate) fn changed(&self, token: &Token, shared: Option<Arc<Shared>>) -> Self {
        Self { meter: Arc::clone(&self.meter), standing: Arc::clone(&self.standing), ..Self::holding(token, shared) }
    }

    /// Anybody, where no token is needed: may do everything.
    pub(crate) fn anybody() -> Self {
        Self {
            token: None,
            name: "anybody".to_owned(),
            project: None,
            scopes: vec![Scope::Inference, Scope::Admin],
            models: None,
            limits: Limits::default(),
            budget: Budget::default(),
            expires_at: None,
            shared: None,
            meter: Arc::new(Meter::new()),
            standing: Arc::default(),
        }
    }

    /// Whether they may call this model.
    pub fn may_infer(&self, model: &str) -> Result<(), Error> {
        if self.scopes.is_empty() {
            return Err(Error::Forbidden { what: Denied::Inference });
        }
        match &self.models {
            Some(models) if !models.iter().any(|m| m == model) => Err(Error::Forbidden { what: Denied::Model(model.to_owned()) }),
            _ => Ok(()),
        }
    }

    /// Whether they may operate Penstock.
    pub fn may_admin(&self) -> Result<(), Error> {
        if self.scopes.contains(&Scope::Admin) { Ok(()) } else { Err(Error::Forbidden { what: Denied::Admin }) }
    }

    /// False when the token has been taken back, or its time is over, since it was verified: a call
    /// in flight may be ended.
    pub fn still_valid(&self) -> bool {
        self.check_valid().is_ok()
    }

    /// The token's own limits as they are now.
    pub fn rates(&self) -> Rates {
        self.meter.rates(self.terms(), Instant::now())
    }

    /// Their calls that run now.
    pub fn running(&self) -> u32 {
        self.meter.running()
    }

    /// Whether the tokens or the money of their calls are limited, by their token or by their project.
    pub fn is_metered(&self) -> bool {
        let limited = |terms: Terms<'_>| terms.limits.tokens_per_minute.is_some() || !terms.budget.is_none();
        limited(self.terms()) || self.shared.as_ref().is_some_and(|shared| limited(terms(shared.project.load().as_deref())))
    }

    /// Whether the token still opens anything.
    pub fn check_valid(&self) -> Result<(), Error> {
        if self.is_revoked() {
            return Err(Error::WrongToken);
        }
        match self.expires_at {
            Some(at) if at <= Timestamp::now() => Err(Error::Expired { at }),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.standing.revoked.load(Ordering::Acquire)
    }

    /// For good: whatever is made of this token later shares its standing.
    pub(crate) fn revoke(&self) {
        self.standing.revoked.store(true, Ordering::Release);
    }

    /// May operate Penstock, now and when the change that is under way has been made.
    pub(crate) fn can_operate(&self) -> bool {
        let steps_down = self.standing.stepping_down.load(Ordering::Acquire);
        !steps_down && self.scopes.contains(&Scope::Admin) && self.check_valid().is_ok()
    }

    pub(crate) fn step_down(&self, does: bool) {
        self.standing.stepping_down.store(does, Ordering::Release);
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms { limits: &self.limits, budget: &self.budget }
    }
}
