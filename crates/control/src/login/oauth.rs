//! How do programs get tokens: for a person who logs in elsewhere, or for themselves?
//!
//! In: forms, as OAuth has them. Out: a token of ours. Fails: in OAuth's own words, `{"error", "error_description"}`, which clients go by. `/auth/device` begins
//! the device flow (RFC 8628) at a provider, and `/auth/token` is asked until the person has agreed; it also gives a token of ours for one of
//! a provider (RFC 7523). The provider's secret stays here: a program needs to know nothing but where Penstock is.

use access::Came;
use access::login::Error as Trouble;
use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use base::{Fault as _, Retry, Secret, Timestamp};
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use spec::Token;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Coming;
use crate::error::{Error, OAUTH};
use crate::{House, view};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A name of a program that is longer is cut.
const LONGEST_NAME: usize = 64;

pub(super) fn routes() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(device)).routes(routes!(token))
}

#[derive(Deserialize)]
struct Device {
    provider: Option<String>,
}

/// Begin the login of a program without a browser
///
/// The device flow (RFC 8628): the program shows its person what this answers, and asks for its token until they have agreed.
#[utoipa::path(post, path = "/auth/device", operation_id = "begin_device_login", tag = "login", security(()),
    request_body(content = view::DeviceForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What to show, and what to ask with", body = view::DeviceLogin),
        (status = "default", description = "Why not", body = view::OAuthFailure)))]
async fn device(State(house): State<House>, Coming(came): Coming, form: Result<Form<Device>, FormRejection>) -> Response {
    let Ok(Form(Device { provider })) = form else { return refused(&unreadable()) };
    match house.logins.device(provider.as_deref(), came.from).await {
        Ok(shown) => ([(CACHE_CONTROL, "no-store")], Json(shown)).into_response(),
        Err(error) => refused(&error.into()),
    }
}

#[derive(Deserialize)]
struct Grant {
    #[serde(rename = "grant_type")]
    kind: String,
    device_code: Option<String>,
    assertion: Option<String>,
    /// What the token will be called; the machine's name, usually.
    client_name: Option<String>,
}

/// Get a token for a login
///
/// For a person who has agreed elsewhere (RFC 8628), or for a token of an identity provider (RFC 7523). The token may what its user may, and never more.
#[utoipa::path(post, path = "/auth/token", operation_id = "get_login_token", tag = "login", security(()),
    request_body(content = view::GrantForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token", body = view::GrantedToken),
        (status = "default", description = "Why not, or not yet: `authorization_pending`", body = view::OAuthFailure)))]
async fn token(State(house): State<House>, Coming(came): Coming, form: Result<Form<Grant>, FormRejection>) -> Response {
    let came = Came { status: StatusCode::OK.as_u16(), ..came };
    let Ok(Form(Grant { kind, device_code, assertion, client_name })) = form else { return refused(&unreadable()) };
    let name = client_name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect::<String>();
    let name = if name.trim().is_empty() { "login".to_owned() } else { format!("login on {}", name.trim()) };
    let given = match (kind.as_str(), device_code, assertion) {
        (DEVICE, Some(code), _) => house.logins.device_token(&code, &name, &came).await,
        (ASSERTION, _, Some(assertion)) => house.logins.exchange(&assertion, &came).await,
        (DEVICE | ASSERTION, ..) => return refused(&unreadable()),
        _ => return answer(OAUTH, "unsupported_grant_type", "device_code and jwt-bearer are served here", Retry::No),
    };
    match given {
        Ok((token, secret)) => granted(&token, &secret),
        Err(error) => refused(&error.into()),
    }
}

fn granted(token: &Token, secret: &Secret) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(told(token, secret))).into_response()
}

/// What the program is told.
pub(crate) fn told(token: &Token, secret: &Secret) -> Value {
    let expires_in = token.expires_at.map(|at| at.since(Timestamp::now()).as_secs());
    json!({
        "access_token": secret.expose(), "token_type": "Bearer", "expires_in": expires_in,
        "id": token.id, "name": token.name, "user": token.owner,
    })
}

fn unreadable() -> Error {
    Error::Access(Trouble::NotOurs("its form has no grant_type, or not what belongs to it").into())
}

/// In the words that RFC 6749 and 8628 have for it.
fn refused(error: &Error) -> Response {
    let word = match error {
        Error::Access(access::Error::Login(trouble)) => match trouble {
            Trouble::Pending => "authorization_pending",
            Trouble::TooFast(_) => "slow_down",
            Trouble::TooLate => "expired_token",
            Trouble::Refused { .. } | Trouble::NoRole { .. } => "access_denied",
            Trouble::Untrusted { .. } => "invalid_grant",
            Trouble::Away { .. } | Trouble::Busy | Trouble::Coming { .. } => "temporarily_unavailable",
            _ => "invalid_request",
        },
        Error::Access(access::Error::Disabled { .. }) => "access_denied",
        Error::Access(access::Error::Guessing { .. }) => "temporarily_unavailable",
        other if other.status().is_server_error() => "server_error",
        _ => "invalid_request",
    };
    let status = match word {
        "server_error" | "temporarily_unavailable" => error.status(),
        _ => OAUTH,
    };
    tracing::debug!(error = base::chain(error), word, "no token was given");
    let words = [Some(error.public()), error.hint()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    answer(status, word, &words, error.retry())
}

fn answer(status: StatusCode, word: &str, words: &str, retry: Retry) -> Response {
    let body = Json(json!({"error": word, "error_description": words}));
    let mut response = (status, [(CACHE_CONTROL, "no-store")], body).into_response();
    if let Retry::After(wait) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_they_are_documented() {
        let (some, kind) = (|word: &str| Some(word.to_owned()), ASSERTION.to_owned());
        let grant = view::GrantForm { grant_type: kind, device_code: some("d"), assertion: some("a"), client_name: some("c") };
        let read: Grant = serde_json::from_value(json!(grant)).expect("a form");
        assert_eq!((read.kind.as_str(), read.device_code, read.assertion, read.client_name), (ASSERTION, some("d"), some("a"), some("c")));
        let read: Device = serde_json::from_value(json!(view::DeviceForm { provider: some("corp") })).expect("a form");
        assert_eq!(read.provider, some("corp"));
    }
}
