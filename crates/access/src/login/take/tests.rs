//! What a provider said last is what counts, whatever it was told by, and however late.

use std::time::Duration;

use spec::{EventKind, Grants, Scope};

use super::*;
use crate::access::Mode;
use crate::ask::NewToken;
use crate::login::{Config, Logins};
use crate::users::UserPatch;
use crate::words::Denied;

fn ann(roles: &[&str]) -> Person {
    let roles = roles.iter().map(|role| role.parse().expect("a name")).collect();
    let (provider, subject, name) = ("corp".to_owned(), "4711".to_owned(), "ann".to_owned());
    Person { provider, subject, name, email: None, grants: Grants { roles, ..Grants::default() } }
}

fn ago(minutes: u64) -> Timestamp {
    let millis = i64::try_from(Duration::from_mins(minutes).as_millis()).expect("some");
    Timestamp::from_millis(Timestamp::now().as_millis() - millis)
}

#[tokio::test]
async fn a_later_word_counts_that_comes_after_an_earlier_one_was_brought_late() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("x.db")).await.expect("a store");
    let access = Access::open(store, Mode::Tokens).await.expect("a door");
    let _logins = Logins::open(&access, Config::local("http://127.0.0.1:1"), &|_| None).await.expect("a desk");
    let roles = |user: &User| user.mapped.roles.iter().map(ToString::to_string).collect::<Vec<_>>();
    let then = ago(10);
    let user = access.arrive(ann(&["admin"]), then, &Came::default()).await.expect("a user");
    assert_eq!((roles(&user), user.last_login_at), (vec!["admin".to_owned()], Some(then)), "said then, and not now");
    let user = access.arrive(ann(&["viewer"]), ago(5), &Came::default()).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "they left the group before the earlier word was brought, and it was said after it");
    let user = access.arrive(ann(&["admin"]), ago(7), &Came::default()).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "what was said before does not count any more");
    let ahead = Timestamp::now().plus(Duration::from_mins(1));
    access.arrive(ann(&["admin"]), ahead, &Came::default()).await.expect("the user");
    let user = access.arrive(ann(&["viewer"]), Timestamp::now(), &Came::default()).await.expect("the user");
    assert_eq!(roles(&user), ["viewer"], "a clock that is ahead keeps nobody's word out");
}

#[tokio::test]
async fn a_disabled_user_does_not_come_in_whenever_their_provider_spoke_of_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("x.db")).await.expect("a store");
    let access = Access::open(store, Mode::Tokens).await.expect("a door");
    let user = access.arrive(ann(&["viewer"]), ago(10), &Came::default()).await.expect("a user");
    let shut_out = UserPatch { disabled: Some(true), ..UserPatch::default() };
    access.patch_user(&user.id, shut_out).await.expect("shut out");
    for said in [ago(15), ago(10), ago(5)] {
        let came = access.arrive(ann(&["viewer"]), said, &Came::default()).await;
        assert!(matches!(&came, Err(Error::Disabled { user }) if user == "ann"), "{came:?}");
    }
}

#[tokio::test]
async fn who_brings_a_token_of_a_provider_is_there_and_makes_tokens_until_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("x.db")).await.expect("a store");
    let access = Access::open(store, Mode::Tokens).await.expect("a door");
    let user = access.arrive(ann(&["admin"]), ago(10), &Came::default()).await.expect("a user").id;
    let until = Timestamp::now().plus(Duration::from_mins(1));
    let caller = access.caller_until(&Known { user: user.clone(), until }).expect("let in");
    let new = |expires_at| NewToken { owner: Some(user.clone()), scopes: vec![Scope::Admin], expires_at, ..NewToken::named("t") };
    assert!(caller.may_admin().is_ok() && access.check_gives(&caller, &new(Some(until))).is_ok());
    let looser = access.check_gives(&caller, &new(None));
    assert!(matches!(looser, Err(Error::Forbidden { what: Denied::Looser("expires_at") })), "{looser:?}");
    let over = access.caller_until(&Known { user: user.clone(), until: ago(1) }).expect("known");
    assert!(matches!(over.check_valid(), Err(Error::Expired { .. })), "who has watched until then watches no more");
    let session = access.caller_of_user(&user).expect("a session");
    assert!(access.check_gives(&session, &new(None)).is_ok(), "a browser is its person");
}

#[tokio::test]
async fn what_a_login_changes_is_written_down_with_before_and_after_and_a_login_that_changes_nothing_is_not() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path().join("x.db")).await.expect("a store");
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    let (ring, mut rung) = tokio::sync::mpsc::channel(16);
    access.tell_also(move |event| ring.try_send(event).expect("room"));
    let mut next = async || tokio::time::timeout(PATIENCE, rung.recv()).await.expect("in time").expect("an event");
    let came = |request: &str| Came {
        action: "GET /auth/callback".to_owned(),
        from: Some([10, 0, 0, 7].into()),
        request_id: request.to_owned(),
        status: 303,
    };
    access.arrive(ann(&["admin"]), ago(10), &came("first")).await.expect("a user");
    let (told, audit) = (next().await, next().await.audit.expect("who did it"));
    assert_eq!((told.kind, audit.verb.as_str(), audit.kind.as_str()), (EventKind::UserCreated, "create", "users"), "{told:?}");
    assert_eq!((audit.address.as_deref(), audit.request_id.as_str(), audit.status), (Some("10.0.0.7"), "first", 303));
    assert!(audit.before.is_none() && audit.after.is_some_and(|after| after["mapped"]["roles"][0] == "admin"));
    access.arrive(ann(&["admin"]), ago(9), &came("again")).await.expect("the user");
    access.arrive(ann(&["viewer"]), ago(8), &came("moved")).await.expect("the user");
    let (told, audit) = (next().await, next().await.audit.expect("who did it"));
    assert_eq!((told.kind, audit.verb.as_str(), audit.request_id.as_str()), (EventKind::UserUpdated, "update", "moved"), "{told:?}");
    let roles = |user: Option<&serde_json::Value>| user.map(|user| user["mapped"]["roles"][0].clone());
    assert_eq!((roles(audit.before.as_ref()), roles(audit.after.as_ref())), (Some("admin".into()), Some("viewer".into())));
    assert_eq!(store.newest_event().await.expect("events"), 4, "they are in the store, and no more");
}
