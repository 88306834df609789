//! Logging in and out: `login`, `logout`, `whoami`.
//!
//! In: a server. Out: a token of its own for this machine, stored for the other verbs ([`super::credentials`]). Fails: when the person does
//! not agree in time, or is not let in. Holds: this thread while the person logs in elsewhere; the server is asked as
//! often as it says, and less often when it says that this is too often (RFC 8628).

use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::credentials::{Credentials, Kept};
use super::http::{Server, segment};
use super::out::{answer, line, note, text};
use super::{Failure, Globals, Output};

/// Words of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// The identity provider, where the server knows several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Read a token from standard input and store that, instead of logging in with a provider
    #[arg(long)]
    with_token: bool,
}

/// What RFC 8628 adds when the server is asked too often.
const SLOWER: Duration = Duration::from_secs(5);
/// Asked when the server does not say how often.
const USUAL: Duration = Duration::from_secs(5);
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(crate) fn login(globals: &Globals, words: &Login) -> Result<(), Failure> {
    let folder = folder(globals)?;
    let server = Server::unknown(globals)?;
    let given = if words.with_token { Some(typed()?) } else { globals.token.clone() };
    let kept = match given {
        Some(token) => Kept { token, id: None },
        None => with_provider(&server, words.provider.as_deref(), globals.output)?,
    };
    // A token that opens nothing is not stored.
    let me = server.clone().showing(&kept.token).get("/api/v1/whoami")?;
    let mut all = Credentials::read(folder)?;
    all.keep(server.url(), kept);
    let path = all.write(folder)?;
    note(&format!("stored in {}; `penstock logout` forgets it", path.display()));
    answer(globals.output, &me, |me| format!("logged in to {} as {}\n", server.url(), text(&me["name"])))
}

pub(crate) fn logout(globals: &Globals) -> Result<(), Failure> {
    let folder = folder(globals)?;
    let server = Server::unknown(globals)?;
    let mut all = Credentials::read(folder)?;
    let Some(kept) = all.forget(server.url()) else {
        return line(&format!("nobody is logged in to {}", server.url()));
    };
    all.write(folder)?;
    // One that we got by logging in is of no use any more; one that somebody gave us may be.
    if let Some(id) = &kept.id
        && let Err(failure) = server.clone().showing(&kept.token).delete(&format!("/api/v1/tokens/{}", segment(id)))
    {
        note(&format!("the server did not take the token back ({failure}); it ends by itself"));
    }
    line(&format!("logged out of {}", server.url()))
}

pub(crate) fn whoami(server: &Server, output: Output) -> Result<(), Failure> {
    let me = server.get("/api/v1/whoami")?;
    answer(output, &me, |me| format!("{} at {}\n", text(&me["name"]), server.url()))
}

/// The person logs in elsewhere.
fn with_provider(server: &Server, provider: Option<&str>, output: Output) -> Result<Kept, Failure> {
    let ask: Vec<(&str, &str)> = provider.map(|name| ("provider", name)).into_iter().collect();
    let shown = server.form("/auth/device", &ask)?.map_err(|refused| failed(&refused))?;
    tell(&shown, output)?;
    let seconds = |field: &str| shown[field].as_u64().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let until = Instant::now() + seconds("expires_in").unwrap_or(Duration::from_mins(10));
    let (mut pause, code, here) = (seconds("interval").unwrap_or(USUAL), text(&shown["device_code"]), this_machine());
    let ask = [("grant_type", DEVICE), ("device_code", code.as_str()), ("client_name", here.as_str())];
    while Instant::now() < until {
        std::thread::sleep(pause);
        let refused = match server.form("/auth/token", &ask) {
            Ok(Ok(given)) => return Ok(Kept { token: text(&given["access_token"]), id: given["id"].as_str().map(str::to_owned) }),
            Ok(Err(refused)) => refused,
            // The line broke: the person may still be typing.
            Err(Failure::NoServer { .. }) => {
                pause += SLOWER;
                continue;
            }
            Err(other) => return Err(other),
        };
        match refused["error"].as_str() {
            Some("authorization_pending" | "temporarily_unavailable") => {}
            Some("slow_down") => pause += SLOWER,
            _ => return Err(failed(&refused)),
        }
    }
    Err(Failure::Failed { what: "nobody confirmed the login in time".to_owned(), hint: "say `penstock login` again".to_owned() })
}

/// What the person has to do, as text, or as a line of JSON for a program that passes it on.
fn tell(shown: &Value, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let public = ["user_code", "verification_uri", "verification_uri_complete", "expires_in"];
        let told: serde_json::Map<_, _> = public.into_iter().map(|field| (field.to_owned(), shown[field].clone())).collect();
        return line(&Value::Object(told).to_string());
    }
    let at = shown["verification_uri_complete"].as_str().map_or_else(|| text(&shown["verification_uri"]), str::to_owned);
    note(&format!("open this page and log in:\n\n  {at}\n\nthe code it shows, or asks for, is {}\n", text(&shown["user_code"])));
    Ok(())
}

fn failed(refused: &Value) -> Failure {
    let said = refused["error_description"].as_str().or_else(|| refused["detail"].as_str()).or_else(|| refused["error"].as_str());
    let said = said.unwrap_or("the server did not say why");
    let (what, hint) = said.split_once("; ").unwrap_or((said, ""));
    Failure::Failed { what: format!("not logged in: {what}"), hint: hint.to_owned() }
}

fn typed() -> Result<String, Failure> {
    let mut token = String::new();
    std::io::stdin().lock().read_line(&mut token).map_err(Failure::io("standard input cannot be read"))?;
    match token.trim() {
        "" => Err(Failure::Misused { what: "no token came".to_owned(), hint: "write it to standard input".to_owned() }),
        token => Ok(token.to_owned()),
    }
}

fn this_machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

fn folder(globals: &Globals) -> Result<&Path, Failure> {
    globals.config_dir.as_deref().ok_or_else(|| Failure::Failed {
        what: "there is no folder to store a login in".to_owned(),
        hint: "set HOME or XDG_CONFIG_HOME, or use PENSTOCK_TOKEN".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_what_to_do() {
        let refused = json!({"error": "access_denied", "error_description": "`ann` has no role here; ask whoever operates this server"});
        let Failure::Failed { what, hint } = failed(&refused) else { panic!("another failure") };
        assert_eq!((what.as_str(), hint.as_str()), ("not logged in: `ann` has no role here", "ask whoever operates this server"));
        let Failure::Failed { what, .. } = failed(&json!({})) else { panic!("another failure") };
        assert_eq!(what, "not logged in: the server did not say why");
    }
}
