//! May who was let in be let in still?
//!
//! In: what they showed at the door, and what the route and the handler need of them. Out: nothing, or why not any more: their token was taken
//! back, changed, or is over; their session has ended; they have lost the role. Fails: never else. Holds: what they showed, for as long
//! as a stream lasts. For streams only: an answer that is given at once needs no second look.

use std::sync::Arc;

use access::Caller;
use access::table::Need;
use base::Secret;

use crate::House;
use crate::error::Error;

/// What somebody showed at the door.
#[derive(Debug, Clone)]
pub(crate) enum Pass {
    /// A token, of ours or of a provider.
    Token(Secret),
    /// The cookie of a session.
    Session(Secret),
    /// Nothing, where everybody is let in.
    Nothing,
}

/// A second look at somebody who listens.
pub(crate) struct Standing {
    house: House,
    pass: Pass,
    need: Need,
    besides: Besides,
}

type Besides = Box<dyn Fn(&Caller) -> Result<(), access::Error> + Send + Sync>;

impl Standing {
    pub(crate) fn new(house: &House, pass: Pass, need: Need) -> Self {
        Self { house: Arc::clone(house), pass, need, besides: Box::new(|_| Ok(())) }
    }

    /// What they have to may besides what the route needs.
    pub(crate) fn and(self, besides: impl Fn(&Caller) -> Result<(), access::Error> + Send + Sync + 'static) -> Self {
        Self { besides: Box::new(besides), ..self }
    }

    pub(crate) fn house(&self) -> &House {
        &self.house
    }

    /// Nothing while they may; else why not. That they listen is no use of their session.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let caller = match &self.pass {
            Pass::Session(cookie) => self.house.logins.still(cookie.expose())?,
            Pass::Token(text) => self.house.access.enter(Some(text.expose()), None)?,
            Pass::Nothing => self.house.access.enter(None, None)?,
        };
        self.need.check(&caller)?;
        Ok((self.besides)(&caller)?)
    }
}
