//! Where people and programs log in and out.
//!
//! In: the config, and who may ([`Access`]). Out: [`Logins`], a handle. Fails: with [`Error`]. Holds: the providers' tasks, sessions, logins under
//! way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Secret, Timestamp};
use openidconnect::url::Url;
use openidconnect::{ClientId, LogoutRequest, PostLogoutRedirectUrl};
use spec::{Scope, Token, TokenId, User};

use super::code::{self, Answer, Arrived, Begun, Carried};
use super::config::ProviderConfig;
use super::device::{Devices, Shown};
use super::error::Error as Trouble;
use super::jwt::{Jwts, Word};
use super::net::Net;
use super::proof;
use super::provider::Provider;
use super::seal::Seal;
use super::session::{Session, Sessions, Stay, Who};
use super::sweep;
use crate::access::Access;
use crate::ask::NewToken;
use crate::caller::Caller;
use crate::change::to_the_end;
use crate::error::Error;
use crate::story::{self, By, Came};

/// What is set.
#[derive(Debug, Clone)]
pub struct Config {
    /// The providers.
    pub providers: Vec<ProviderConfig>,
    /// Where browsers reach this server.
    pub public_url: String,
    /// How long browsers stay logged in.
    pub stay: Stay,
    /// How long the token lasts that a program gets for its person.
    pub login_token: Duration,
}

impl Config {
    /// Without a provider: with tokens only.
    pub fn local(public_url: &str) -> Self {
        let stay = Stay { idle: Duration::from_hours(8), longest: Duration::from_hours(24) };
        Self { providers: Vec::new(), public_url: public_url.to_owned(), stay, login_token: Duration::from_hours(24) }
    }
}

/// A token that is made for a program out of another one lasts so long at most, and never longer than that one.
const EXCHANGED: Duration = Duration::from_hours(1);
/// Digits that tell one wrong answer from another, which may look the same.
const ONE_TRY: usize = 16;
/// The paths of the browser's way.
const CALLBACK: &str = "/auth/callback";
const PAGE: &str = "/auth/login";

/// Logs in and out; cheap to clone.
#[derive(Debug, Clone)]
pub struct Logins(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) access: Access,
    config: Config,
    providers: Vec<Arc<Provider>>,
    jwts: Arc<Jwts>,
    seal: Seal,
    pub(super) devices: Devices,
    pub(super) sessions: Sessions,
}

/// A provider, for a login page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// The words on its button.
    pub label: String,
    /// It does not answer now.
    pub is_away: bool,
}

/// A browser that has logged in.
#[derive(Debug)]
pub struct Entered {
    /// For its cookie.
    pub cookie: Secret,
    /// The path to go to.
    pub return_to: String,
}

/// Says which roles stand for nothing: they may be made later.
fn warn(access: &Access, provider: &ProviderConfig) {
    for role in provider.roles().filter(|role| access.get_role(role).is_err()) {
        tracing::warn!(
            provider = provider.name,
            role = role.as_str(),
            "members of a group get a role that there is not: it stands for nothing"
        );
    }
}

impl Logins {
    /// Begins to ask the providers; none of them is waited for.
    pub async fn open(access: &Access, config: Config, secret_of: &(dyn Fn(&str) -> Option<Secret> + Sync)) -> Result<Self, Error> {
        let mut providers = Vec::new();
        if !config.providers.is_empty() {
            let net = Net::new()?;
            for one in &config.providers {
                providers.push(Arc::new(Provider::new(one.clone(), one.secret(secret_of)?, &net)?));
            }
        }
        config.providers.iter().for_each(|provider| warn(access, provider));
        let jwts = Arc::new(Jwts::new(&providers));
        access.take_jwts(&jwts);
        let sessions = Sessions::open(access.store().clone(), config.stay).await?;
        let (seal, devices) = (Seal::new(), Devices::default());
        let inner = Arc::new(Inner { access: access.clone(), config, providers, jwts, seal, devices, sessions });
        sweep::keep(&inner);
        Ok(Self(inner))
    }

    /// Where browsers reach this server.
    pub fn public_url(&self) -> &str {
        self.0.config.public_url.trim_end_matches('/')
    }

    /// Those that people can log in with.
    pub fn offers(&self) -> Vec<Offer> {
        let offer = |provider: &Arc<Provider>| Offer {
            name: provider.name().to_owned(),
            label: provider.config.label().to_owned(),
            is_away: provider.trouble().is_some(),
        };
        self.0.providers.iter().map(offer).collect()
    }

    /// Sends a browser to a provider.
    pub async fn begin(&self, provider: &str, return_to: &str) -> Result<Begun, Error> {
        let provider = self.provider(provider)?;
        Ok(code::begin(provider, &self.0.seal, &self.callback(), return_to).await?)
    }

    /// Takes a browser that a provider has sent back, and logs it in. Who brings many answers from one address that are none has to wait: the
    /// provider is asked about each.
    pub async fn finish(&self, carries: Option<&str>, answer: Answer, came: &Came) -> Result<Entered, Error> {
        self.0.access.check_tries(came.from)?;
        let carried: Option<Carried> = carries.and_then(|sealed| self.0.seal.open(sealed, Timestamp::now()));
        let carried = carried.ok_or(Trouble::NotBegun)?;
        let provider = self.provider(carried.provider())?;
        let Arrived { person, return_to, id_token } = code::finish(provider, carried, answer, &self.callback())
            .await
            .map_err(|error| self.0.access.tried(error, &base::id::random_hex(ONE_TRY), came.from))?;
        let name = person.provider.clone();
        let user = self.0.access.arrive(person, Timestamp::now(), came).await?;
        let cookie = self.0.sessions.begin(Who::User(user.id.clone()), Some((name.clone(), id_token))).await?;
        let by = By::user(&user);
        self.0.access.tell(vec![story::of_login(&by, "with a browser"), story::of_session(came, &by, Some(&name))]);
        Ok(Entered { cookie, return_to })
    }

    /// Logs a browser in with a token of ours, for when no provider is there.
    pub async fn with_token(&self, caller: &Caller, came: &Came) -> Result<Secret, Error> {
        let id = caller.token().ok_or(Trouble::NoSession)?;
        let owner = caller.user().map(|owner| owner.id().clone());
        let cookie = self.0.sessions.begin(Who::Token { id: TokenId::new(id), hash: caller.hash.to_hex(), owner }, None).await?;
        let by = By::caller(caller);
        self.0.access.tell(vec![story::of_login(&by, "with a browser by a token"), story::of_session(came, &by, None)]);
        Ok(cookie)
    }

    /// Who is behind a browser's cookie.
    pub fn session(&self, cookie: &str) -> Result<(Arc<Session>, Arc<Caller>), Error> {
        let session = self.0.sessions.find(cookie).ok_or(Trouble::NoSession)?;
        let caller = self.caller(&session)?;
        Ok((session, caller))
    }

    /// The same for who only looks whether it is over: that is no use of it.
    pub fn still(&self, cookie: &str) -> Result<Arc<Caller>, Error> {
        let session = self.0.sessions.look(cookie).ok_or(Trouble::NoSession)?;
        self.caller(&session)
    }

    fn caller(&self, session: &Session) -> Result<Arc<Caller>, Error> {
        let caller = match &session.who {
            Who::User(user) => self.0.access.caller_of_user(user)?,
            Who::Token { id, hash, .. } => {
                let same = |caller: &Arc<Caller>| caller.hash.to_hex() == *hash;
                self.0.access.caller_of(id).filter(same).ok_or(Trouble::NoSession)?
            }
        };
        caller.check_valid()?;
        Ok(caller)
    }

    /// Logs a browser out; where to send it so that it is logged out at the provider too.
    pub async fn end(&self, cookie: &str, came: &Came) -> Result<Option<Url>, Error> {
        let Some(session) = self.0.sessions.find(cookie) else { return Ok(None) };
        let way_out = session.provider.as_deref().and_then(|name| self.way_out(name, &session));
        let by = match (self.caller(&session), &session.who) {
            (Ok(caller), _) => By::caller(&caller),
            (Err(_), Who::User(id)) => By::gone(id.as_str()),
            (Err(_), Who::Token { id, .. }) => By::gone(id.as_str()),
        };
        let (this, came) = (Arc::clone(&self.0), came.clone());
        // To its end, also when the browser does not wait: what is only half ended would be there again after a restart.
        to_the_end(async move {
            this.sessions.end(&session).await?;
            this.access.tell(vec![story::of_logout(&came, &by, session.provider.as_deref())]);
            Ok(())
        })
        .await?;
        Ok(way_out)
    }

    /// Where browsers may be sent on their way out, for the pages' policy.
    pub fn ways_out(&self) -> Vec<String> {
        let of = |provider: &Arc<Provider>| {
            let known = provider.known_now()?;
            Some(known.metadata.additional_metadata().end_session_endpoint.as_ref()?.url().origin().ascii_serialization())
        };
        self.0.providers.iter().filter_map(of).collect()
    }

    /// Begins the login of a program without a browser; with the only provider when none is named. `from` is where it asks from.
    pub async fn device(&self, provider: Option<&str>, from: Option<IpAddr>) -> Result<Shown, Error> {
        self.0.access.check_tries(from)?;
        let provider = match (provider, &*self.0.providers) {
            (Some(name), _) => self.provider(name)?,
            (None, [only]) => only,
            (None, []) => return Err(Trouble::NoProviders.into()),
            (None, several) => {
                let names = several.iter().map(|provider| provider.name().to_owned()).collect::<Vec<_>>();
                return Err(Trouble::WhichProvider(names.join(", ")).into());
            }
        };
        Ok(self.0.devices.begin(Arc::clone(provider), from).await?)
    }

    /// The token of a program whose person has agreed; `name` is what it will be called.
    pub async fn device_token(&self, device_code: &str, name: &str, came: &Came) -> Result<(Token, Secret), Error> {
        let person = self.0.devices.ask(device_code).await?;
        let user = self.0.access.arrive(person, Timestamp::now(), came).await?;
        self.0.access.tell(vec![story::of_login(&By::user(&user), "for a program")]);
        self.token(user, NewToken::named(name), self.login_end(), came).await
    }

    /// A short-lived token of ours for a token of a provider (RFC 7523). Who brings many wrong ones from one address has to wait, as with tokens
    /// of ours.
    pub async fn exchange(&self, assertion: &str, came: &Came) -> Result<(Token, Secret), Error> {
        self.0.access.check_tries(came.from)?;
        let strange = || Trouble::Untrusted { provider: "?".to_owned(), what: "it is of no provider whose tokens are taken".to_owned() };
        let proven = if Jwts::looks_like(assertion) { self.0.jwts.person(assertion).await } else { None };
        let proven = proven.unwrap_or_else(|| Err(strange())).map_err(|error| self.0.access.tried(error, assertion, came.from));
        let Word { person, since, until } = proven?;
        let user = self.0.access.arrive(person, since, came).await?;
        let wanted = NewToken { exchanged: true, ..NewToken::named("exchanged") };
        self.token(user, wanted, Timestamp::now().plus(EXCHANGED).min(until), came).await
    }

    async fn token(&self, user: User, wanted: NewToken, until: Timestamp, came: &Came) -> Result<(Token, Secret), Error> {
        let expires_at = Some(until);
        let scopes = vec![Scope::Admin]; // all that its owner may, and never more
        let wanted = NewToken { owner: Some(user.id.clone()), scopes, expires_at, from_login: true, ..wanted };
        let (access, came) = (self.0.access.clone(), came.clone());
        to_the_end(async move {
            let (token, secret) = access.create(wanted).await?;
            access.tell(story::of_token(&came, &user, &token));
            sweep::make_room(&access, &user.id).await;
            Ok((token, secret))
        })
        .await
    }

    /// When the token of a login that is made now ends.
    fn login_end(&self) -> Timestamp {
        Timestamp::now().plus(self.0.config.login_token)
    }

    #[cfg(test)]
    pub(super) async fn login_token(&self, user: &User) -> Result<(Token, Secret), Error> {
        self.token(user.clone(), NewToken::named("login"), self.login_end(), &Came::default()).await
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn only_provider(&self) -> Arc<Provider> {
        Arc::clone(&self.0.providers[0])
    }

    fn provider(&self, name: &str) -> Result<&Arc<Provider>, Trouble> {
        self.0.providers.iter().find(|provider| provider.name() == name).ok_or_else(|| Trouble::NoProvider(name.to_owned()))
    }

    fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.public_url())
    }

    /// RP-initiated logout, where the provider has it.
    fn way_out(&self, provider: &str, session: &Session) -> Option<Url> {
        let provider = self.provider(provider).ok()?;
        let known = provider.known_now()?;
        let end = known.metadata.additional_metadata().end_session_endpoint.clone()?;
        let back = PostLogoutRedirectUrl::new(format!("{}{PAGE}", self.public_url())).ok()?;
        let client = ClientId::new(provider.config.client_id.clone());
        let request = LogoutRequest::from(end).set_client_id(client).set_post_logout_redirect_uri(back);
        let hint = session.id_token.as_ref().and_then(|token| token.parse::<proof::Token>().ok());
        let request = match &hint {
            Some(hint) => request.set_id_token_hint(hint),
            None => request,
        };
        Some(request.http_get_url())
    }
}

#[cfg(test)]
mod tests;
