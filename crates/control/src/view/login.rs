//! Logins: forms that browsers and programs send, and what they are answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who is logged in with this browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BrowserSession {
    /// What they are called.
    pub name: String,
    /// The identity provider that they logged in at; absent for who has typed a token in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// When it ends in any case.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// For the header `x-csrf-token` of changes.
    pub csrf_token: String,
}

/// A token that somebody has typed in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnterForm {
    /// A token of this server.
    pub token: String,
    /// The path to go to; the console when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_to: Option<String>,
}

/// A browser that leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogoutForm {
    /// The `csrf_token` of its session.
    pub csrf_token: String,
}

/// The beginning of a device flow (RFC 8628).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceForm {
    /// At which identity provider; where there is only one it needs not be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// What a program shows its person (RFC 8628).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceLogin {
    /// What the program asks `/auth/token` with; nobody else may know it.
    pub device_code: String,
    /// What the person compares or types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// Seconds that the person has.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u64,
}

/// What a program gets a token for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantForm {
    /// `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628) or `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523).
    pub grant_type: String,
    /// Of the device flow: what `/auth/device` has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// Of the other: a token of the identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<String>,
    /// What the token will be called; the machine's name, usually.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
}

/// A token that a login has made. This is the only time that it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantedToken {
    /// The token.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds that it lasts.
    pub expires_in: u64,
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whose it is: the id of a user.
    pub user: String,
}

/// Why no token was given, in OAuth's words (RFC 6749, 8628).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OAuthFailure {
    /// `authorization_pending`, `slow_down`, `expired_token`, `access_denied`, `invalid_grant`, `invalid_request`,
    /// `unsupported_grant_type`, `temporarily_unavailable` or `server_error`.
    pub error: String,
    /// For people: what, and what to do.
    pub error_description: String,
}
