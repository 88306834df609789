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
    let bounded = NewToken { models: Some(vec!["tiny".to_owned(), "small".to_owned()]), expires_at: Some(end), ..all_of(&ann) };
    let (token, caller) = house.token(bounded.clone()).await;
    let gives = |new: NewToken| house.access.check_gives(&caller, &new);
    assert!(gives(bounded.clone()).is_ok());
    assert!(gives(NewToken { models: Some(vec!["tiny".to_owned()]), ..bounded.clone() }).is_ok());
    assert!(is_looser(&gives(NewToken { models: None, ..bounded.clone() }), "models"));
    assert!(is_looser(&gives(NewToken { models: Some(vec!["large".to_owned()]), ..bounded.clone() }), "models"));
    assert!(is_looser(&gives(NewToken { expires_at: None, ..bounded.clone() }), "expires_at"));
    assert!(is_looser(&gives(NewToken { expires_at: Some(end.plus(Duration::from_secs(1))), ..bounded.clone() }), "expires_at"));

    let becomes = |patch: Patch| house.access.check_patch(&caller, &token, &patch);
    assert!(becomes(Patch { name: Some("renamed".to_owned()), ..Patch::default() }).is_ok());
    assert!(becomes(Patch { models: Some(Some(vec!["small".to_owned()])), ..Patch::default() }).is_ok());
    assert!(is_looser(&becomes(Patch { models: Some(None), ..Patch::default() }), "models"));
    assert!(is_looser(&becomes(Patch { expires_at: Some(None), ..Patch::default() }), "expires_at"));
}

#[tokio::test]
async fn a_token_with_limits_or_a_budget_makes_none_that_has_a_meter_of_its_own() {
    let house = House::open().await;
    let ann = house.user("ann", &["admin"]).await;
    let (limits, budget) =
        (Limits { requests_per_minute: Some(10), ..Limits::default() }, Budget { tokens_per_day: Some(30), ..Budget::default() });
    let (other, _) = house.token(NewToken { scopes: Vec::new(), rights: Rights::NONE.with(Verb::Get, Kind::Models), ..all_of(&ann) }).await;
    for metered in [NewToken { limits, ..all_of(&ann) }, NewToken { budget, ..all_of(&ann) }] {
        let (own, caller) = house.token(metered.clone()).await;
        let is_metered = |checked: Result<(), Error>| matches!(checked, Err(Error::Forbidden { what: Denied::Metered }));
        assert!(is_metered(house.access.check_gives(&caller, &metered)), "the same once more is twice as much");
        let calls = Patch { scopes: Some(vec![Scope::Inference]), ..Patch::default() };
        for token in [&own, &other] {
            assert!(is_metered(house.access.check_patch(&caller, token, &calls)), "nor makes another one call");
            assert!(is_metered(house.access.check_patch(&caller, token, &Patch { limits: Some(Limits::default()), ..Patch::default() })));
            let renamed = Patch { name: Some("renamed".to_owned()), ..Patch::default() };
            assert!(house.access.check_patch(&caller, token, &renamed).is_ok());
        }
    }
}

#[tokio::test]
async fn an_owned_token_is_booked_on_a_project_that_its_owner_calls_for() {
    let house = House::open().await;
    let admin = house.session(&house.user("boss", &["admin"]).await);
    let role = async |text: &str, everywhere: &[&str], within: &str| {
        let projects = BTreeMap::from([(name("red"), vec![name(within)])]);
        let roles = everywhere.iter().map(|role| name(role)).collect();
        let new = NewUser { name: text.to_owned(), email: None, service: false, roles, projects };
        house.access.create_user(new).await.expect("a user")
    };
    let booked = |user: &User| NewToken { owner: Some(user.id.clone()), project: Some("red".to_owned()), ..NewToken::named("red's") };
    let makes = |user: &User| house.access.check_gives(&admin, &booked(user));
    let (looks, calls) = (role("looks", &["developer"], "viewer").await, role("calls", &[], "developer").await);
    assert!(matches!(makes(&looks), Err(Error::Invalid(_))), "who calls what is nobody's, and looks at red");
    assert!(makes(&calls).is_ok());
    assert!(makes(&house.user("ops", &["operator"]).await).is_ok(), "who says how much red may");
    let moved = Patch { project: Some(Some("red".to_owned())), ..Patch::default() };
    let (of_looks, _) = house.token(all_of(&looks)).await;
    assert!(matches!(house.access.check_patch(&admin, &of_looks, &moved), Err(Error::Invalid(_))));
    let (of_calls, _) = house.token(all_of(&calls)).await;
    assert!(house.access.check_patch(&admin, &of_calls, &moved).is_ok());
}

#[tokio::test]
async fn the_token_of_a_login_makes_what_its_person_could_make_with_a_browser() {
    let house = House::open().await;
    let ann = house.user("ann", &["developer"]).await;
    let login = NewToken { expires_at: Some(Timestamp::now().plus(Duration::from_hours(1))), from_login: true, ..all_of(&ann) };
    let (_, caller) = house.token(login).await;
    assert!(house.access.check_gives(&caller, &all_of(&ann)).is_ok(), "it ends so that its person logs in again");
    let end = Timestamp::now().plus(Duration::from_hours(1));
    let exchanged = NewToken { expires_at: Some(end), from_login: true, exchanged: true, ..all_of(&ann) };
    let (_, caller) = house.token(exchanged).await;
    assert!(is_looser(&house.access.check_gives(&caller, &all_of(&ann)), "expires_at"), "nobody has logged in for it");
    assert!(house.access.check_gives(&caller, &NewToken { expires_at: Some(end), ..all_of(&ann) }).is_ok());
}
