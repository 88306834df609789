//! Who changed what, from where, and what was it before and after?
//!
//! In: a request that changes something, and what its handler says of before and after. Out: one event of kind `audit` for a change that was
//! made, stored before it is answered. Fails: an event that cannot be stored is logged as an error; the change stands. Holds no
//! secret: values of environment variables and of fields that are called so are left out.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use access::table::Row;
use access::{Address, Caller};
use axum::extract::Request;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use spec::{Audit, Event, EventKind};

use crate::House;
use crate::door::{RequestId, cause};
use crate::shown::HIDDEN;

/// Fields whose values are not told; of a map, each of its values.
const SECRET: [&str; 8] = ["env", "token", "secret", "password", "key", "api_key", "client_secret", "authorization"];

/// What is known of a change while it is made; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Note(Arc<Known>);

#[derive(Debug)]
struct Known {
    row: &'static Row,
    action: String,
    target: Option<String>,
    address: Option<IpAddr>,
    request_id: String,
    said: Mutex<Said>,
}

/// What the handler says.
#[derive(Debug, Default)]
struct Said {
    before: Option<Value>,
    after: Option<Value>,
}

impl Note {
    pub(crate) fn of(request: &Request, row: &'static Row) -> Self {
        Self(Arc::new(Known {
            row,
            action: format!("{} {}", request.method(), request.uri().path()),
            target: target(row.path, request.uri().path()),
            address: request.extensions().get::<Address>().map(|address| address.0),
            request_id: request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            said: Mutex::default(),
        }))
    }

    pub(crate) fn before(&self, value: &impl Serialize) {
        self.said().before = shown(value);
    }

    pub(crate) fn after(&self, value: &impl Serialize) {
        self.said().after = shown(value);
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it down, if something was changed.
    pub(crate) async fn write(&self, house: &House, caller: &Caller, status: StatusCode) {
        let Some((verb, kind)) = self.0.row.changes().filter(|_| status.is_success()) else { return };
        let Said { before, after } = std::mem::take(&mut *self.said());
        if self.0.row.quiet && before.is_none() && after.is_none() {
            return;
        }
        let name = |value: &Option<Value>| value.as_ref().and_then(|value| Some(value.get("name")?.as_str()?.to_owned()));
        let target = self.0.target.clone().or_else(|| name(&after));
        let audit = Audit {
            action: self.0.action.clone(),
            verb: verb.to_string(),
            kind: kind.to_string(),
            target,
            user: caller.user().map(|user| user.id().to_string()),
            address: self.0.address.map(|address| address.to_string()),
            request_id: self.0.request_id.clone(),
            status: status.as_u16(),
            before,
            after,
        };
        let what = audit.target.as_ref().map(|target| format!(" `{target}`")).unwrap_or_default();
        let message = format!("{verb} {kind}{what} by `{}`", caller.name());
        let event = Event { audit: Some(Box::new(audit)), ..Event::now(EventKind::Audit, cause(caller), message) };
        match house.store.append_events(std::slice::from_ref(&event)).await {
            Ok(_) => house.fleet.ring(event),
            Err(error) => {
                tracing::error!(error = base::chain(&error), action = self.0.action, "who changed this could not be written down");
            }
        }
    }
}

/// What stands in the path for the first word in braces.
fn target(template: &str, path: &str) -> Option<String> {
    let place = template.split('/').position(|word| word.starts_with('{'))?;
    path.split('/').nth(place).map(decoded)
}

/// Without percent signs, where they stand for something.
fn decoded(word: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    while let [first, after @ ..] = rest {
        let code =
            (*first == b'%').then(|| after.get(..2)).flatten().and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn shown(value: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(value).ok()?;
    hide(&mut value);
    Some(value)
}

/// Leaves out what may be a secret.
fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // What is used changes by itself; it is no part of what somebody made of it.
            fields.shift_remove("usage");
            for (name, value) in fields {
                if SECRET.contains(&name.as_str()) { cover(value) } else { hide(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        // What stands behind the `?` of an address may open what it names.
        Value::String(text) if text.contains("://") => text.truncate(text.find('?').unwrap_or(text.len())),
        _ => {}
    }
}

fn cover(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(cover),
        Value::Array(items) => items.iter_mut().for_each(cover),
        Value::Null | Value::Bool(_) => {}
        other => *other = HIDDEN.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_a_secret_is_covered_wherever_it_stands() {
        let told = shown(
            &json!({"name": "a", "env": {"HF_TOKEN": "hf_x"}, "usage": {"requests": 1}, "inner": [{"token": "psk_x", "prefix": "psk_ab"}]}),
        );
        let wanted = json!({"name": "a", "env": {"HF_TOKEN": HIDDEN}, "inner": [{"token": HIDDEN, "prefix": "psk_ab"}]});
        assert_eq!(told, Some(wanted));
    }

    #[test]
    fn what_stands_behind_an_address_is_left_out() {
        let told = shown(&json!({"source": "https://h/m.gguf?X-Signature=s", "description": "why?"}));
        assert_eq!(told, Some(json!({"source": "https://h/m.gguf", "description": "why?"})));
    }

    #[test]
    fn the_target_is_what_stands_for_the_first_word_in_braces() {
        assert_eq!(target("/api/v1/deployments/{name}/load", "/api/v1/deployments/a%2Fb/load").as_deref(), Some("a/b"));
        assert_eq!(target("/api/v1/tokens", "/api/v1/tokens"), None);
    }
}
