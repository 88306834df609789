//! Who may make and change tokens and users, and how much: now, and when somebody gets more later.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::{Access, Caller, Denied, Error, Mode, NewRole, NewToken, NewUser, Patch, UserPatch};
use base::Timestamp;
use spec::{Budget, Kind, Limits, Name, Rights, Scope, Token, User, Verb};
use store::Store;
use tempfile::TempDir;

struct House {
    _dir: TempDir,
    access: Access,
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// Rights to make and change tokens and users, and to call.
fn of_clerk() -> Rights {
    Rights::NONE.with_all(&[Verb::Create, Verb::Update], &[Kind::Tokens, Kind::Users]).with(Verb::Use, Kind::Calls)
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
        let access = Access::open(store, Mode::Tokens).await.expect("a door");
        access.create_role(NewRole { name: name("clerk"), description: None, rights: of_clerk() }).await.expect("a role");
        Self { _dir: dir, access }
    }

    async fn user(&self, text: &str, roles: &[&str]) -> User {
        let roles = roles.iter().map(|role| name(role)).collect();
        let new = NewUser { name: text.to_owned(), email: None, service: false, roles, projects: BTreeMap::new() };
        self.access.create_user(new).await.expect("a user")
    }

    fn session(&self, user: &User) -> Arc<Caller> {
        self.access.caller_of_user(&user.id).expect("a session")
    }

    async fn token(&self, new: NewToken) -> (Token, Arc<Caller>) {
        let (token, text) = self.access.create(new).await.expect("a token");
        (token, self.access.verify(Some(text.expose())).expect("let in"))
    }
}

fn all_of(user: &User) -> NewToken {
    NewToken { scopes: vec![Scope::Admin], owner: Some(user.id.clone()), ..NewToken::named("all of theirs") }
}

fn is_beyond(checked: &Result<(), Error>) -> bool {
    matches!(checked, Err(Error::Forbidden { what: Denied::Beyond }))
}

fn is_looser(checked: &Result<(), Error>, field: &str) -> bool {
    matches!(checked, Err(Error::Forbidden { what: Denied::Looser(found) }) if *found == field)
}

#[tokio::test]
async fn nobody_makes_a_token_that_grows_with_somebody_else() {
    let house = House::open().await;
    let (clerk, bob) = (house.user("clerk", &["clerk"]).await, house.user("bob", &[]).await);
    let session = house.session(&clerk);
    assert!(is_beyond(&house.access.check_gives(&session, &all_of(&bob))), "bob has nothing now, and may get everything");
    let (small, _) = house.token(NewToken { owner: Some(bob.id.clone()), ..NewToken::named("calls") }).await;
    let more = Patch { scopes: Some(vec![Scope::Admin]), ..Patch::default() };
    assert!(is_beyond(&house.access.check_patch(&session, &small, &more)), "nor makes one of bob's into it");
    let renamed = Patch { name: Some("other".to_owned()), ..Patch::default() };
    assert!(house.access.check_patch(&session, &small, &renamed).is_ok());
    let calls = NewToken { owner: Some(bob.id.clone()), ..NewToken::named("calls") };
    assert!(house.access.check_gives(&session, &calls).is_ok(), "what they may themselves they may give");
    assert!(house.access.check_gives(&session, &all_of(&clerk)).is_ok(), "one's own grows with oneself");
    let narrow = NewToken { owner: Some(clerk.id.clone()), scopes: Vec::new(), rights: of_clerk(), ..NewToken::named("narrow") };
    let (_, narrow) = house.token(narrow).await;
    assert!(is_beyond(&house.access.check_gives(&narrow, &all_of(&clerk))), "a token that was made for less makes none for more");
}

#[tokio::test]
async fn nobody_lets_in_or_speaks_for_a_disabled_user_who_may_more() {
    let house = House::open().await;
    let (clerk, boss, ops) =
        (house.user("clerk", &["clerk"]).await, house.user("boss", &["admin"]).await, house.user("ops", &["admin"]).await);
    house.token(all_of(&ops)).await;
    let (of_boss, _) = house.token(all_of(&boss)).await;
    let disabled = UserPatch { disabled: Some(true), ..UserPatch::default() };
    house.access.patch_user(&boss.id, disabled).await.expect("disabled");
    let session = house.session(&clerk);
    assert!(is_beyond(&house.access.check_over(&session, &boss.id)), "they could let them in again");
    assert!(is_beyond(&house.access.check_gives(&session, &all_of(&boss))));
    let renamed = Patch { name: Some("other".to_owned()), ..Patch::default() };
    assert!(is_beyond(&house.access.check_patch(&session, &of_boss, &renamed)));
    assert!(house.access.check_over(&house.session(&ops), &boss.id).is_ok());
}

#[tokio::test]
async fn a_bounded_token_neither_makes_nor_becomes_one_that_is_bounded_less() {
    let house = House::open().await;
    let ann = house.user("ann", &["admin"]).await;
    let end = Timestamp::now().plus(Duration::from_hours(1));
    let bounded = NewToken {
        models: Some(vec!["tiny".to_owned(), "small".to_owned()]),
        limits: Limits { requests_per_minute: Some(10), ..Limits::default() },
        budget: Budget { tokens_per_day: Some(1_000), ..Budget::default() },
        expires_at: Some(end),
        ..all_of(&ann)
    };
    let (token, caller) = house.token(bounded.clone()).await;
    let gives = |new: NewToken| house.access.check_gives(&caller, &new);
    assert!(gives(bounded.clone()).is_ok());
    assert!(gives(NewToken { models: Some(vec!["tiny".to_owned()]), ..bounded.clone() }).is_ok());
    assert!(is_looser(&gives(NewToken { models: None, ..bounded.clone() }), "models"));
    assert!(is_looser(&gives(NewToken { models: Some(vec!["large".to_owned()]), ..bounded.clone() }), "models"));
    assert!(is_looser(&gives(NewToken { limits: Limits::default(), ..bounded.clone() }), "limits"));
    let faster = Limits { requests_per_minute: Some(11), ..Limits::default() };
    assert!(is_looser(&gives(NewToken { limits: faster.clone(), ..bounded.clone() }), "limits"));
    assert!(is_looser(&gives(NewToken { budget: Budget::default(), ..bounded.clone() }), "budget"));
    assert!(is_looser(&gives(NewToken { expires_at: None, ..bounded.clone() }), "expires_at"));
    assert!(is_looser(&gives(NewToken { expires_at: Some(end.plus(Duration::from_secs(1))), ..bounded.clone() }), "expires_at"));

    let becomes = |patch: Patch| house.access.check_patch(&caller, &token, &patch);
    assert!(becomes(Patch { name: Some("renamed".to_owned()), ..Patch::default() }).is_ok());
    assert!(becomes(Patch { models: Some(Some(vec!["small".to_owned()])), ..Patch::default() }).is_ok());
    assert!(is_looser(&becomes(Patch { models: Some(None), ..Patch::default() }), "models"));
    assert!(is_looser(&becomes(Patch { limits: Some(faster), ..Patch::default() }), "limits"));
    assert!(is_looser(&becomes(Patch { budget: Some(Budget::default()), ..Patch::default() }), "budget"));
    assert!(is_looser(&becomes(Patch { expires_at: Some(None), ..Patch::default() }), "expires_at"));
}

#[tokio::test]
async fn the_token_of_a_login_makes_what_its_person_could_make_with_a_browser() {
    let house = House::open().await;
    let ann = house.user("ann", &["developer"]).await;
    let login = NewToken { expires_at: Some(Timestamp::now().plus(Duration::from_hours(1))), from_login: true, ..all_of(&ann) };
    let (_, caller) = house.token(login).await;
    assert!(house.access.check_gives(&caller, &all_of(&ann)).is_ok(), "it ends so that its person logs in again");
}
