//! What do we know of a provider, and how do we come to know it?
//!
//! In: its entry in the config. Out: its endpoints and keys, as they were last seen. Fails: with why it cannot be used now. Holds: one task
//! for each provider, which alone asks it about itself: at the start, again and again while it is away, every [`EVERY`], and when
//! somebody meets a key that is not known. Unknown keys do not make it ask without end: each question that
//! brought nothing new makes the next one wait longer, though never longer than those wait who have met one. It asks apart from logins, however many
//! of these are under way. Whoever reads what is known waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Backoff, Secret};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreGrantType, CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::url::Url;
use openidconnect::{
    AuthType, ClientId, ClientSecret, DeviceAuthorizationUrl, EmptyExtraTokenFields, EndSessionUrl, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IdTokenFields, IssuerUrl, StandardErrorResponse, StandardTokenResponse, TokenUrl, UserInfoUrl,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::config::{ProviderConfig, is_safe};
use super::error::Error;
use super::net::{Net, PATIENCE};
use super::person::Claims;

/// What is known is looked at again, so that keys that are announced are known before they sign.
const EVERY: Duration = Duration::from_mins(10);
/// How it is asked again while it is away.
const AWAY: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_mins(1) };
/// How often unknown keys may make us ask: less and less while nothing new comes of it.
const KEYS: Backoff = Backoff { first: Duration::from_secs(1), most: PATIENCE };
/// Who has met an unknown key waits so long at most: for the longest pause, and for two questions, each with its own patience.
const WAIT: Duration = KEYS.most.saturating_add(PATIENCE.saturating_mul(2));

/// What its discovery document says, with two things of other standards.
pub(crate) type Metadata = openidconnect::ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Of RFC 8628, and of RP-initiated logout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct More {
    pub(crate) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
    pub(crate) end_session_endpoint: Option<EndSessionUrl>,
}

impl openidconnect::AdditionalProviderMetadata for More {}

/// What a provider gives for a code.
pub(crate) type Given = StandardTokenResponse<
    IdTokenFields<Claims, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>,
    CoreTokenType,
>;

/// Penstock as the provider knows it; with an endpoint for devices or without.
pub(crate) type Client<Device = EndpointNotSet> = openidconnect::Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Given,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    Device,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider, as it is known now.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: ProviderConfig,
    pub(crate) issuer: IssuerUrl,
    pub(crate) net: Net,
    secret: Option<ClientSecret>,
    seen: watch::Receiver<Seen>,
    wanted: Arc<Notify>,
    _asks: Task,
}

/// What came of asking it.
#[derive(Debug, Clone, Default)]
struct Seen {
    known: Option<Arc<Known>>,
    /// Why the last try failed.
    trouble: Option<String>,
    /// Tries so far.
    tries: u64,
}

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) metadata: Metadata,
}

impl Known {
    pub(crate) fn keys(&self) -> &CoreJsonWebKeySet {
        self.metadata.jwks()
    }
}

impl Provider {
    /// Begins to ask it.
    pub(crate) fn new(config: ProviderConfig, secret: Option<Secret>, net: &Net) -> Result<Self, Error> {
        let unusable = |what: String| Error::Away { provider: config.name.clone(), what };
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|error| unusable(error.to_string()))?;
        let (told, seen) = watch::channel(Seen::default());
        let wanted = Arc::new(Notify::new());
        let (net, apart) = (net.apart(), net.apart());
        let asker = Asker { name: config.name.clone(), issuer: issuer.clone(), net: apart, wanted: Arc::clone(&wanted), told };
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().to_owned()));
        Ok(Self { config, issuer, net, secret, seen, wanted, _asks: tasks::spawn("identity-provider", asker.run()) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// What is known now, whether or not the provider is there.
    pub(crate) fn known_now(&self) -> Option<Arc<Known>> {
        self.seen.borrow().known.clone()
    }

    /// Why it cannot be used now.
    pub(crate) fn trouble(&self) -> Option<String> {
        let seen = self.seen.borrow();
        if seen.known.is_some() { None } else { Some(seen.trouble.clone().unwrap_or_else(|| "it has not answered yet".to_owned())) }
    }

    /// What is known; when nothing is, it is asked once more.
    pub(crate) async fn known(&self) -> Result<Arc<Known>, Error> {
        match self.known_now() {
            Some(known) => Ok(known),
            None => self.once_more().await,
        }
    }

    /// What is known after it was asked once more.
    pub(crate) async fn once_more(&self) -> Result<Arc<Known>, Error> {
        let mut seen = self.seen.clone();
        let tries = seen.borrow_and_update().tries;
        self.wanted.notify_one();
        let next = seen.wait_for(|seen| seen.tries > tries);
        let late = tokio::time::timeout(WAIT, next).await.is_err();
        let Seen { known, trouble, .. } = self.seen.borrow().clone();
        match (known, trouble) {
            (Some(known), None) if !late => Ok(known),
            (_, trouble) => Err(self.unusable(trouble.unwrap_or_else(|| "it does not answer".to_owned()))),
        }
    }

    /// Why the last try to ask it failed, whatever is known from before.
    pub(crate) fn unasked(&self) -> Option<Error> {
        let trouble = self.seen.borrow().trouble.clone();
        trouble.map(|what| self.unusable(what))
    }

    /// Somebody has met a key that is not known.
    pub(crate) fn want_keys(&self) {
        self.wanted.notify_one();
    }

    /// How often it was asked so far.
    pub(crate) fn tries(&self) -> u64 {
        self.seen.borrow().tries
    }

    /// To speak with it.
    pub(crate) fn client(&self, known: &Known) -> Client {
        let metadata = &known.metadata;
        let id = ClientId::new(self.config.client_id.clone());
        let client = Client::from_provider_metadata(metadata.clone(), id, self.secret.clone());
        let ways = metadata.token_endpoint_auth_methods_supported();
        let only_in_body = ways.is_some_and(|ways| {
            !ways.contains(&CoreClientAuthMethod::ClientSecretBasic) && ways.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        client.set_auth_type(if only_in_body { AuthType::RequestBody } else { AuthType::BasicAuth })
    }

    /// For `map_err` on what was said by the network or the provider in the course of a login.
    pub(crate) fn away(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let what = base::chain(error);
        tracing::warn!(provider = self.name(), error = what, "an identity provider does not do what it should");
        self.unusable(what)
    }

    fn unusable(&self, what: String) -> Error {
        Error::Away { provider: self.name().to_owned(), what }
    }
}

/// Asks one provider about itself.
struct Asker {
    name: String,
    issuer: IssuerUrl,
    net: Net,
    wanted: Arc<Notify>,
    told: watch::Sender<Seen>,
}

impl Asker {
    async fn run(self) {
        let (mut failures, mut idle) = (0_u32, 0_u32);
        loop {
            let asked = Instant::now();
            let found = self.ask().await;
            let (is_new, failed) = (self.is_new(found.as_ref().ok()), found.is_err());
            self.tell(found);
            failures = if failed { failures.saturating_add(1) } else { 0 };
            let next = if failed { AWAY.wait(failures) } else { EVERY };
            let woken = tokio::select! {
                () = tokio::time::sleep(next) => false,
                () = self.wanted.notified() => true,
            };
            idle = if is_new || !woken { 0 } else { idle.saturating_add(1) };
            if woken {
                let pause = pause(self.told.borrow().known.is_some(), idle);
                tokio::time::sleep_until(asked + pause).await;
            }
        }
    }

    async fn ask(&self) -> Result<Metadata, String> {
        let asked = Metadata::discover_async(self.issuer.clone(), &self.net).await;
        let metadata = asked.map_err(|error| base::chain(&error))?;
        let more = metadata.additional_metadata();
        let urls: [Option<&Url>; 6] = [
            Some(metadata.authorization_endpoint().url()),
            Some(metadata.jwks_uri().url()),
            metadata.token_endpoint().map(TokenUrl::url),
            metadata.userinfo_endpoint().map(UserInfoUrl::url),
            more.device_authorization_endpoint.as_ref().map(DeviceAuthorizationUrl::url),
            more.end_session_endpoint.as_ref().map(EndSessionUrl::url),
        ];
        let unsafe_one = urls.into_iter().flatten().find(|url| !is_safe(url)).map(ToString::to_string);
        match unsafe_one {
            Some(url) => Err(format!("it names {url}, where what is said could be changed on the way")),
            None => Ok(metadata),
        }
    }

    fn is_new(&self, found: Option<&Metadata>) -> bool {
        let known = self.told.borrow().known.clone();
        match (known, found) {
            (Some(known), Some(found)) => known.keys() != found.jwks(),
            (None, found) => found.is_some(),
            (Some(_), None) => false,
        }
    }

    fn tell(&self, found: Result<Metadata, String>) {
        let before = self.told.borrow().trouble.clone();
        match &found {
            Ok(_) if before.is_some() => tracing::info!(provider = self.name, "the identity provider answers again"),
            Err(what) if before.as_ref() != Some(what) => {
                tracing::warn!(provider = self.name, error = what, "the identity provider cannot be asked; what is known of it holds on");
            }
            _ => {}
        }
        self.told.send_modify(|seen| {
            seen.tries += 1;
            match found {
                Ok(metadata) => (seen.known, seen.trouble) = (Some(Arc::new(Known { metadata })), None),
                Err(what) => seen.trouble = Some(what),
            }
        });
    }
}

/// Between a question and one that somebody wants: a login of whom nothing is known waits least, and who brings unknown keys waits the longer the more
/// of the questions before brought nothing new, whether or not they were answered.
fn pause(is_known: bool, idle: u32) -> Duration {
    if is_known { KEYS.ceiling(idle.max(1)) } else { AWAY.first }
}

#[cfg(test)]
pub(super) mod tests;
