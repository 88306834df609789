//! How does a person log in with a program that has no browser?
//!
//! In: a provider; then, again and again, the code of the device. Out: what to show the person; then a [`Person`], once they have
//! agreed elsewhere. Fails: while nobody has agreed, when it is asked too often, when it is too late. Holds: what is under way, at most
//! [`MOST`] and from one network [`MOST_OF_ONE`], which is looked at before the provider is asked; forgotten when its time is over. The provider is
//! asked as often as the program asks, and never more often than the provider wants. From: RFC 8628.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openidconnect::core::CoreDeviceAuthorizationResponse;
use openidconnect::{DeviceCodeErrorResponseType as Said, RequestTokenError, Scope};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::code;
use super::error::Error;
use super::net::PATIENCE;
use super::person::Person;
use super::provider::{Given, Provider};
use crate::guess::network;
use crate::text::Hash;

/// Logins of programs that may be under way.
pub(super) const MOST: usize = 1_000;
/// Of these, from one address, or one /64 of IPv6: nobody takes the places of all others.
pub(super) const MOST_OF_ONE: usize = 50;
/// A place is kept so long for what the provider has not yet answered.
const KEPT: Duration = PATIENCE.saturating_mul(6);
/// None waits longer, whatever the provider says.
const LONGEST: Duration = Duration::from_mins(30);
const CODE_DIGITS: usize = 64;

/// What a program shows its person.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// What the program asks with; nobody else may know it.
    pub device_code: String,
    /// What the person compares or types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// Seconds that the person has.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u64,
}

/// All that are under way.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    places: Mutex<HashMap<Hash, Place>>,
}

/// One that is under way.
#[derive(Debug)]
struct Place {
    /// The network that it was begun from.
    from: Option<IpAddr>,
    until: Instant,
    /// Nothing before the provider has answered.
    waiting: Option<Arc<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    provider: Arc<Provider>,
    details: CoreDeviceAuthorizationResponse,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
}

impl Devices {
    /// Begins one, from there.
    pub(crate) async fn begin(&self, provider: Arc<Provider>, from: Option<IpAddr>) -> Result<Shown, Error> {
        let device_code = base::id::random_hex(CODE_DIGITS);
        self.take_place(&device_code, from)?;
        let details = Self::details(&provider).await.inspect_err(|_| self.leave(&device_code))?;
        let shown = Shown {
            device_code: device_code.clone(),
            user_code: details.user_code().secret().clone(),
            verification_uri: details.verification_uri().to_string(),
            verification_uri_complete: details.verification_uri_complete().map(|url| url.secret().clone()),
            expires_in: details.expires_in().min(LONGEST).as_secs(),
            interval: details.interval().as_secs(),
        };
        self.keep(&device_code, Waiting::new(provider, details));
        Ok(shown)
    }

    /// What the provider wants to be shown.
    async fn details(provider: &Provider) -> Result<CoreDeviceAuthorizationResponse, Error> {
        let known = provider.known().await?;
        let lacks = || Error::Lacks { provider: provider.name().to_owned(), what: "device flow" };
        let url = known.metadata.additional_metadata().device_authorization_endpoint.clone().ok_or_else(lacks)?;
        let client = provider.client(&known).set_device_authorization_url(url);
        let scopes = provider.config.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let asked: Result<CoreDeviceAuthorizationResponse, _> =
            client.exchange_device_code().add_scopes(scopes).request_async(&provider.net).await;
        asked.map_err(|error| provider.away(&error))
    }

    /// Asks the provider whether the person has agreed.
    pub(crate) async fn ask(&self, device_code: &str) -> Result<Person, Error> {
        let hash = Hash::of(device_code).ok_or(Error::TooLate)?;
        let now = Instant::now();
        let found = self.all().get(&hash).filter(|place| place.until > now).and_then(|place| place.waiting.clone());
        let Some(waiting) = found else {
            self.leave(device_code);
            return Err(Error::TooLate);
        };
        waiting.check_pace()?;
        let given = waiting.ask().await;
        if !matches!(given, Err(Error::Pending | Error::Away { .. })) {
            self.leave(device_code);
        }
        Ok(code::person(&waiting.provider, &given?, None).await?.0)
    }

    /// Before anybody is asked: who goes away meanwhile leaves a place that ends by itself.
    fn take_place(&self, device_code: &str, from: Option<IpAddr>) -> Result<(), Error> {
        let (from, mut all) = (from.map(network), self.all());
        let theirs = |all: &HashMap<Hash, Place>| from.map_or(0, |from| all.values().filter(|place| place.from == Some(from)).count());
        if all.len() >= MOST || theirs(&all) >= MOST_OF_ONE {
            over(&mut all);
        }
        if all.len() >= MOST || theirs(&all) >= MOST_OF_ONE {
            return Err(Error::Busy);
        }
        let place = Place { from, until: Instant::now() + KEPT, waiting: None };
        all.extend(Hash::of(device_code).map(|hash| (hash, place)));
        Ok(())
    }

    fn keep(&self, device_code: &str, waiting: Waiting) {
        let until = Instant::now() + waiting.details.expires_in().min(LONGEST);
        if let Some(hash) = Hash::of(device_code)
            && let Some(place) = self.all().get_mut(&hash)
        {
            (place.until, place.waiting) = (until, Some(Arc::new(waiting)));
        }
    }

    fn leave(&self, device_code: &str) {
        if let Some(hash) = Hash::of(device_code) {
            self.all().remove(&hash);
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn sweep(&self) {
        over(&mut self.all());
    }

    #[cfg(test)]
    pub(super) fn wait_for(&self, provider: Arc<Provider>, device_code: &str, details: CoreDeviceAuthorizationResponse) {
        self.take_place(device_code, None).expect("room");
        self.keep(device_code, Waiting::new(provider, details));
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over(all: &mut HashMap<Hash, Place>) {
    let now = Instant::now();
    all.retain(|_, place| place.until > now);
}

impl Waiting {
    fn new(provider: Arc<Provider>, details: CoreDeviceAuthorizationResponse) -> Self {
        let interval = details.interval();
        Self { provider, details, pace: Mutex::new(Pace { interval, next: Instant::now() }) }
    }

    /// Refuses a program that does not wait, and slows it down.
    fn check_pace(&self) -> Result<(), Error> {
        /// What RFC 8628 adds each time.
        const SLOWER: Duration = Duration::from_secs(5);
        /// Networks are not exact.
        const TOLERANCE: Duration = Duration::from_millis(500);
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now + TOLERANCE < pace.next {
            pace.interval += SLOWER;
            pace.next = now + pace.interval;
            return Err(Error::TooFast(pace.interval));
        }
        pace.next = now + pace.interval;
        Ok(())
    }

    /// One question. The library would ask on and on; when it wants to sleep, the answer was: not yet.
    async fn ask(&self) -> Result<Given, Error> {
        let known = self.provider.known().await?;
        let client = self.provider.client(&known);
        let request = client.exchange_device_access_token(&self.details).map_err(|error| self.provider.away(&error))?;
        let (asleep, mut slept) = mpsc::channel(1);
        let sleep = move |interval: Duration| {
            let asleep = asleep.clone();
            async move {
                // The other end is there until the first of these arrives.
                let _ = asleep.send(interval).await;
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            given = request.request_async(&self.provider.net, sleep, None) => given.map_err(|error| self.refused(&error)),
            Some(interval) = slept.recv() => {
                let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                pace.interval = pace.interval.max(interval);
                pace.next = Instant::now() + pace.interval;
                Err(Error::Pending)
            }
        }
    }

    fn refused<E: std::error::Error + 'static>(&self, error: &RequestTokenError<E, openidconnect::DeviceCodeErrorResponse>) -> Error {
        let name = || self.provider.name().to_owned();
        match error {
            RequestTokenError::ServerResponse(said) => match said.error() {
                Said::ExpiredToken => Error::TooLate,
                Said::AccessDenied => Error::Refused { provider: name(), what: "the login was declined".to_owned() },
                other => Error::Refused { provider: name(), what: other.to_string() },
            },
            other => self.provider.away(other),
        }
    }
}

#[cfg(test)]
mod tests;
