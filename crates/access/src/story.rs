//! What did somebody's coming change, and who tries tokens? For who reads the story.
//!
//! In: how somebody came and from where ([`Came`]), and what that changed, before and after. Out: events, which are stored and then told to who
//! listens ([`Access::tell_also`]). Fails: an event that cannot be stored is logged as an error; the change stands. Holds no secret: of a token
//! neither text nor hash, of a session nothing that its cookie holds. Nobody waits here: a call that brings a token of a provider goes on while
//! the store writes.

use std::net::IpAddr;
use std::sync::Arc;

use base::tasks;
use serde_json::{Value, json};
use spec::{Audit, Cause, Event, EventKind, Kind, Token, User, UserId, Verb};

use crate::access::Access;
use crate::caller::Caller;

/// Who else is told, when an event is stored.
pub(crate) type Bell = Arc<dyn Fn(Event) + Send + Sync>;

/// How somebody came who logs in or out, or brings a token of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// What was asked: a method and a path, or what was brought.
    pub action: String,
    /// From where.
    pub from: Option<IpAddr>,
    /// The id of the request, as in its answer and in the log.
    pub request_id: String,
    /// The status of the answer, when all goes well.
    pub status: u16,
}

/// Who it was, once that is known.
#[derive(Debug, Clone)]
pub(crate) struct By {
    name: String,
    token: Option<String>,
    user: Option<UserId>,
}

impl By {
    pub(crate) fn user(user: &User) -> Self {
        Self { name: user.name.clone(), token: None, user: Some(user.id.clone()) }
    }

    pub(crate) fn caller(caller: &Caller) -> Self {
        let user = caller.user().map(|owner| owner.id().clone());
        Self { name: caller.name().to_owned(), token: caller.token().map(str::to_owned), user }
    }

    /// Of somebody who is let in no more there is only an id.
    pub(crate) fn gone(id: &str) -> Self {
        Self { name: id.to_owned(), token: None, user: None }
    }

    fn cause(&self) -> Cause {
        Cause::Api { token: self.name.clone(), id: self.token.clone() }
    }
}

/// What was changed, in the words of the authorization table.
struct Change<'a> {
    verb: Verb,
    kind: &'a str,
    target: &'a str,
    before: Option<Value>,
    after: Option<Value>,
}

/// Browsers that are logged in are no kind of thing that anybody may have rights to.
const SESSIONS: &str = "sessions";

/// What a provider's word made of a user: a new one, or one with other groups. Nothing when they only came again.
pub(crate) fn of_user(came: &Came, before: Option<&User>, after: &User) -> Vec<Event> {
    if before.is_some_and(|before| before.mapped == after.mapped && before.email == after.email) {
        return Vec::new();
    }
    let (kind, verb, did) = match before {
        None => (EventKind::UserCreated, Verb::Create, "came for the first time"),
        Some(_) => (EventKind::UserUpdated, Verb::Update, "is described otherwise by their provider"),
    };
    let by = By::user(after);
    let change =
        Change { verb, kind: Kind::Users.as_str(), target: &after.name, before: before.map(|user| json!(user)), after: Some(json!(after)) };
    let story = Event::now(kind, by.cause(), format!("user `{}` ({}) {did}", after.name, after.id));
    vec![story, audit(came, &by, change)]
}

/// A token that a login has made for its person.
pub(crate) fn of_token(came: &Came, user: &User, token: &Token) -> Vec<Event> {
    let by = By::user(user);
    let change = Change { verb: Verb::Create, kind: Kind::Tokens.as_str(), target: &token.name, before: None, after: Some(json!(token)) };
    let message = format!("token `{}` ({}) was made by a login of `{}`", token.name, token.id, user.name);
    vec![Event::now(EventKind::TokenCreated, by.cause(), message), audit(came, &by, change)]
}

/// A token of an earlier login that made room for a later one.
pub(crate) fn of_room(token: &Token) -> Event {
    let message = format!("token `{}` ({}) of an earlier login was taken back: its owner has too many", token.name, token.id);
    Event::now(EventKind::TokenRevoked, Cause::Penstock, message)
}

/// Somebody has logged in: with a browser, or for a program.
pub(crate) fn of_login(by: &By, how: &str) -> Event {
    Event::now(EventKind::UserLoggedIn, by.cause(), format!("`{}` logged in {how}", by.name))
}

/// The session of a browser begins.
pub(crate) fn of_session(came: &Came, by: &By, provider: Option<&str>) -> Event {
    let change = Change { verb: Verb::Create, kind: SESSIONS, target: &by.name, before: None, after: Some(json!({"provider": provider})) };
    audit(came, by, change)
}

/// The session of a browser is ended by its person.
pub(crate) fn of_logout(came: &Came, by: &By, provider: Option<&str>) -> Event {
    let change = Change { verb: Verb::Delete, kind: SESSIONS, target: &by.name, before: Some(json!({"provider": provider})), after: None };
    audit(came, by, change)
}

fn audit(came: &Came, by: &By, change: Change<'_>) -> Event {
    let Change { verb, kind, target, before, after } = change;
    let message = format!("{verb} {kind} `{target}` by `{}`", by.name);
    let audit = Audit {
        action: came.action.clone(),
        verb: verb.to_string(),
        kind: kind.to_owned(),
        target: Some(target.to_owned()),
        user: by.user.as_ref().map(ToString::to_string),
        address: came.from.map(|address| address.to_string()),
        request_id: came.request_id.clone(),
        status: came.status,
        before,
        after,
    };
    Event { audit: Some(Box::new(audit)), ..Event::now(EventKind::Audit, by.cause(), message) }
}

impl Access {
    /// From now on whoever listens is told too what this room adds to the story, once it is stored.
    pub fn tell_also(&self, bell: impl Fn(Event) + Send + Sync + 'static) {
        // There is one fleet in a house.
        let _ = self.inner.bell.set(Arc::new(bell));
    }

    /// Adds to the story; nobody waits for it.
    pub(crate) fn tell(&self, mut events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let this = self.clone();
        let told = async move {
            match this.inner.store.append_events(&events).await {
                Ok(ids) => events.iter_mut().zip(ids).for_each(|(event, id)| event.id = id),
                Err(error) => tracing::error!(error = base::chain(&error), lost = events.len(), "events could not be stored"),
            }
            for event in events {
                match event.kind {
                    EventKind::Audit => {}
                    EventKind::TokensGuessed => tracing::warn!("{}", event.message),
                    _ => tracing::info!(cause = %event.cause, "{}", event.message),
                }
                if let Some(bell) = this.inner.bell.get() {
                    bell(event);
                }
            }
        };
        tasks::spawn("access-story", told).detach();
    }
}
