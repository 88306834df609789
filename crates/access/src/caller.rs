//! Who calls, and what may they do?
//!
//! In: a stored token. Out: a [`Caller`], shared by all calls with this token. Fails:
//! [`Error::Forbidden`]. Holds: whether the token has been taken back since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Timestamp;
use spec::{Limits, Scope, Token, TokenId};
use tokio::time::Instant;

use crate::error::{Denied, Error};
use crate::meter::{Meter, Rates};

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
    /// How much.
    pub limits: Limits,
    /// From when on they are refused.
    pub expires_at: Option<Timestamp>,
    meter: Arc<Meter>,
    revoked: Arc<AtomicBool>,
}

impl Caller {
    /// The holder of a token.
    pub(crate) fn holding(token: &Token) -> Self {
        Self {
            token: Some(token.id.clone()),
            name: token.name.clone(),
            project: token.project.clone(),
            scopes: token.scopes.clone(),
            models: token.models.clone(),
            limits: token.limits.clone(),
            expires_at: token.expires_at,
            meter: Arc::new(Meter::new()),
            revoked: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The same holder after the token has changed: what is used now stays used.
    pub(crate) fn changed(&self, token: &Token) -> Self {
        Self { meter: Arc::clone(&self.meter), revoked: Arc::clone(&self.revoked), ..Self::holding(token) }
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
            expires_at: None,
            meter: Arc::new(Meter::new()),
            revoked: Arc::new(AtomicBool::new(false)),
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
        !self.revoked.load(Ordering::Acquire) && !self.is_over()
    }

    /// Their limits as they are now.
    pub fn rates(&self) -> Rates {
        self.meter.rates(&self.limits, Instant::now())
    }

    /// Their calls that run now.
    pub fn running(&self) -> u32 {
        self.meter.running()
    }

    pub(crate) fn check_valid(&self) -> Result<(), Error> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Error::WrongToken);
        }
        match self.expires_at {
            Some(at) if self.is_over() => Err(Error::Expired { at }),
            _ => Ok(()),
        }
    }

    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    fn is_over(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Timestamp::now())
    }
}
