//! How does a person log in with a browser?
//!
//! In: a provider and where to go afterwards; then what the provider sent the browser back with. Out: where to send the browser and what
//! it is to carry; then a [`Person`]. Fails: when the answer is not to our question, or is not proven. The authorization
//! code flow with PKCE, state and nonce. From: OpenID Connect Core 3.1, RFC 7636, RFC 9207, RFC 9700.

use std::time::Duration;

use base::Timestamp;
use openidconnect::core::{CoreAuthenticationFlow, CoreGenderClaim};
use openidconnect::url::Url;
use openidconnect::{
    AccessToken, AuthorizationCode, ClientId, CsrfToken, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, SubjectIdentifier, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::person::{Claims, Person, Said};
use super::proof::{Court, Doubt, Token, same};
use super::provider::{Given, Known, Provider};
use super::seal::Seal;

/// A person has so long to log in at the provider.
pub const LOGIN_TIME: Duration = Duration::from_mins(10);

/// A login that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Where to send the browser.
    pub url: Url,
    /// What it is to carry, for [`LOGIN_TIME`].
    pub carries: String,
}

/// What the browser comes back with.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    /// What the provider gives our token for.
    pub code: Option<String>,
    /// What we gave the browser along.
    pub state: Option<String>,
    /// Who answers.
    pub iss: Option<String>,
    /// Why not.
    pub error: Option<String>,
    /// The same in words.
    pub error_description: Option<String>,
}

/// A login that came to its end.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) person: Person,
    /// The path to go to.
    pub(crate) return_to: String,
    /// The token that says who, for the day when they log out at the provider too.
    pub(crate) id_token: String,
}

/// What a browser carries while it is at the provider.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
}

impl Carried {
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }
}

/// Sends a browser to the provider.
pub(crate) async fn begin(provider: &Provider, seal: &Seal, callback: &str, return_to: &str) -> Result<Begun, Error> {
    let known = provider.known().await?;
    let client = provider.client(&known).set_redirect_uri(redirect(provider, callback)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let request = client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random);
    let scopes = provider.config.scopes.iter().map(|scope| Scope::new(scope.clone()));
    let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
    let carried = Carried {
        provider: provider.name().to_owned(),
        state: state.into_secret(),
        nonce: nonce.secret().clone(),
        verifier: verifier.into_secret(),
        return_to: local_path(return_to).to_owned(),
    };
    Ok(Begun { url, carries: seal.seal(carried, Timestamp::now().plus(LOGIN_TIME)) })
}

/// Takes a browser that comes back.
pub(crate) async fn finish(provider: &Provider, carried: Carried, answer: Answer, callback: &str) -> Result<Arrived, Error> {
    if !answer.state.as_ref().is_some_and(|state| same(state, &carried.state)) {
        return Err(Error::NotOurs("its state is another"));
    }
    if answer.iss.as_ref().is_some_and(|issuer| *issuer != provider.config.issuer) {
        return Err(Error::NotOurs("another issuer answers"));
    }
    if let Some(error) = answer.error {
        let what = answer.error_description.unwrap_or(error).chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(Error::Refused { provider: provider.name().to_owned(), what });
    }
    let code = AuthorizationCode::new(answer.code.ok_or(Error::NotOurs("it has no code"))?);
    let known = provider.known().await?;
    let client = provider.client(&known).set_redirect_uri(redirect(provider, callback)?);
    let asked = client.exchange_code(code).map_err(|error| provider.away(&error))?;
    let given = asked.set_pkce_verifier(PkceCodeVerifier::new(carried.verifier)).request_async(&provider.net).await;
    let given = given.map_err(|error| match &error {
        RequestTokenError::ServerResponse(said) => Error::Refused { provider: provider.name().to_owned(), what: said.error().to_string() },
        _ => provider.away(&error),
    })?;
    let nonce = Nonce::new(carried.nonce);
    let (person, id_token) = person(provider, &given, Some(&nonce)).await?;
    Ok(Arrived { person, return_to: carried.return_to, id_token })
}

/// Who it is that the provider gave us this about.
pub(crate) async fn person(provider: &Provider, given: &Given, nonce: Option<&Nonce>) -> Result<(Person, String), Error> {
    let untrusted = |what: &str| Error::Untrusted { provider: provider.name().to_owned(), what: what.to_owned() };
    let token = given.id_token().ok_or_else(|| untrusted("it gave no ID token"))?;
    let said = prove(provider, token, nonce).await?;
    let said = if said.is_whole(&provider.config) { said } else { ask_more(provider, said, given.access_token()).await? };
    Ok((said.person(&provider.config), token.to_string()))
}

/// With the keys that are known; with newer ones if it is signed by none of those.
async fn prove(provider: &Provider, token: &Token, nonce: Option<&Nonce>) -> Result<Said, Error> {
    let client = ClientId::new(provider.config.client_id.clone());
    let judge =
        |known: &Known| Court { issuer: &provider.issuer, keys: known.keys(), now: chrono::Utc::now() }.login(token, &client, nonce);
    let mut judged = judge(&*provider.known().await?);
    if matches!(judged, Err(Doubt::UnknownKey)) {
        judged = judge(&*provider.once_more().await?);
    }
    judged.map_err(|doubt| untrusted(provider, doubt))
}

/// What could not be proven, for people.
pub(crate) fn untrusted(provider: &Provider, doubt: Doubt) -> Error {
    let what = match doubt {
        Doubt::UnknownKey => "it is signed by a key that the provider does not show".to_owned(),
        Doubt::Expired => "its time is over".to_owned(),
        Doubt::Wrong(what) => what,
    };
    Error::Untrusted { provider: provider.name().to_owned(), what }
}

/// Many providers tell more about a person only when they are asked with the access token.
async fn ask_more(provider: &Provider, said: Said, token: &AccessToken) -> Result<Said, Error> {
    let known = provider.known().await?;
    if known.metadata.userinfo_endpoint().is_none() {
        return Ok(said);
    }
    let client = provider.client(&known);
    let subject = SubjectIdentifier::new(said.subject.clone());
    let asked = client.user_info(token.clone(), Some(subject)).map_err(|error| provider.away(&error))?;
    let more: UserInfoClaims<Claims, CoreGenderClaim> = asked.request_async(&provider.net).await.map_err(|error| provider.away(&error))?;
    let more = Said {
        subject: said.subject.clone(),
        username: more.preferred_username().map(|name| name.to_string()),
        email: more.email().filter(|_| more.email_verified() != Some(false)).map(|email| email.to_string()),
        others: more.additional_claims().clone(),
    };
    Ok(said.and(more))
}

fn redirect(provider: &Provider, callback: &str) -> Result<RedirectUrl, Error> {
    RedirectUrl::new(callback.to_owned()).map_err(|error| provider.away(&error))
}

/// The path if it is one of ours, else the first page: nobody is sent elsewhere by a link to a login.
pub fn local_path(path: &str) -> &str {
    const LONGEST: usize = 1024;
    let odd = |c: char| c.is_control() || c == '\\' || !c.is_ascii();
    let local = path.starts_with('/') && !path.starts_with("//") && !path.contains(odd) && path.len() <= LONGEST;
    // A browser drops dots first: `/./` before `/host` would be `//host`.
    let plain = !path.split(['?', '#']).next().unwrap_or_default().split('/').any(|step| matches!(step, "." | ".." | "%2e" | "%2E"));
    if local && plain { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_ours_is_gone_to_after_a_login() {
        for good in ["/", "/console/", "/docs#x", "/console?a=//b", "/auth/device?code=AB-CD"] {
            assert_eq!(local_path(good), good);
        }
        for bad in
            ["", "x", "//evil", "/\\evil", "\\/evil", "https://evil", "javascript:x", "/\tx", "/\n/evil", "/./evil", "/..//evil", "/é"]
        {
            assert_eq!(local_path(bad), "/", "{bad:?}");
        }
    }
}
