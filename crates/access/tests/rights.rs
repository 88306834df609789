//! What users, roles and their tokens may, and how soon a change of it is in force.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use access::{Access, Came, Denied, Error, Login, Mode, NewRole, NewToken, NewUser, Reach, RolePatch, UserPatch};
use spec::{Grants, Kind, Name, Rights, Scope, User, UserId, Verb};
use store::Store;
use tempfile::TempDir;

struct House {
    _dir: TempDir,
    store: Store,
    access: Access,
}

async fn house() -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    House { _dir: dir, store, access }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn wanted(text: &str, roles: &[&str]) -> NewUser {
    let roles = roles.iter().map(|role| name(role)).collect();
    NewUser { name: text.to_owned(), email: None, service: false, roles, projects: BTreeMap::new() }
}

impl House {
    async fn user(&self, text: &str, roles: &[&str]) -> User {
        self.access.create_user(wanted(text, roles)).await.expect("a user")
    }
    /// A token that may all that its owner may.
    async fn token_of(&self, user: &User) -> String {
        let new = NewToken { owner: Some(user.id.clone()), scopes: vec![Scope::Admin], ..NewToken::named("theirs") };
        self.access.create(new).await.expect("a token").1.expose().to_owned()
    }
    async fn change(&self, user: &User, patch: UserPatch) -> Result<User, Error> {
        self.access.patch_user(&user.id, patch).await
    }
}

#[tokio::test]
async fn a_token_never_may_more_than_its_owner_now() {
    let house = house().await;
    let ann = house.user("ann", &["developer"]).await;
    let text = house.token_of(&ann).await;
    let caller = house.access.verify(Some(&text)).expect("let in");
    assert!(caller.may_infer("tiny").is_ok() && caller.may(Verb::Create, Kind::Deployments).is_ok());
    assert!(
        caller.may_admin().is_err() && caller.may(Verb::Create, Kind::Users).is_err(),
        "the scope `admin` of an owned token is all that its owner may"
    );
    house.change(&ann, UserPatch { roles: Some(vec![name("viewer")]), ..UserPatch::default() }).await.expect("changed");
    assert!(matches!(caller.may_infer("tiny"), Err(Error::Forbidden { what: Denied::Inference })), "a caller that is on its way too");
    assert!(caller.may(Verb::List, Kind::Deployments).is_ok());
    house.change(&ann, UserPatch { disabled: Some(true), ..UserPatch::default() }).await.expect("changed");
    assert!(!caller.still_valid());
    assert!(matches!(house.access.verify(Some(&text)), Err(Error::Disabled { user }) if user == "ann"));
    assert!(matches!(house.access.caller_of_user(&ann.id), Err(Error::Disabled { .. })));
    house.change(&ann, UserPatch { disabled: Some(false), ..UserPatch::default() }).await.expect("changed");
    assert!(house.access.verify(Some(&text)).is_ok() && caller.still_valid());
    house.access.delete_user(&ann.id).await.expect("removed");
    assert!(!caller.still_valid());
    assert!(matches!(house.access.verify(Some(&text)), Err(Error::WrongToken)));
    assert!(house.store.list_tokens().await.expect("tokens").is_empty());
}

#[tokio::test]
async fn what_was_given_is_there_after_a_restart() {
    let house = house().await;
    assert!(matches!(house.access.create_user(wanted("ann", &["tester"])).await, Err(Error::NoRole(_))));
    let rights = Rights::NONE.with(Verb::Use, Kind::Calls);
    house.access.create_role(NewRole { name: name("tester"), description: None, rights }).await.expect("a role");
    let ann = house.user("ann", &["tester"]).await;
    let text = house.token_of(&ann).await;
    let again = Access::open(house.store.clone(), Mode::Tokens).await.expect("a door");
    let caller = again.verify(Some(&text)).expect("let in");
    assert_eq!((caller.rights(), caller.user().map(|user| user.name().to_string())), (rights, Some("ann".to_owned())));
    assert_eq!(again.caller_of_user(&ann.id).expect("a session").rights(), rights);
}

#[tokio::test]
async fn a_changed_role_holds_at_once_for_users_and_for_tokens() {
    let house = house().await;
    let calls = Rights::NONE.with(Verb::Use, Kind::Calls);
    house.access.create_role(NewRole { name: name("tester"), description: None, rights: calls }).await.expect("a role");
    let ann = house.user("ann", &["tester"]).await;
    let new = NewToken { scopes: Vec::new(), role: Some(name("tester")), ..NewToken::named("a program's") };
    let of_nobody = house.access.create(new).await.expect("a token").1;
    let both = [house.token_of(&ann).await, of_nobody.expose().to_owned()].map(|text| house.access.verify(Some(&text)).expect("let in"));
    assert!(both.iter().all(|caller| caller.rights() == calls));
    let more = calls.with(Verb::List, Kind::Models);
    house.access.patch_role(&name("tester"), RolePatch { rights: Some(more), ..RolePatch::default() }).await.expect("changed");
    assert!(both.iter().all(|caller| caller.rights() == more));
    assert!(matches!(house.access.delete_role(&name("tester")).await, Err(Error::RoleInUse { users: 1, tokens: 1, .. })));
    for built_in in ["admin", "viewer"] {
        let change = house.access.patch_role(&name(built_in), RolePatch { rights: Some(more), ..RolePatch::default() }).await;
        assert!(matches!(change, Err(Error::BuiltIn(_))), "{built_in}");
        assert!(matches!(house.access.delete_role(&name(built_in)).await, Err(Error::BuiltIn(_))), "{built_in}");
    }
}

#[tokio::test]
async fn a_role_within_a_project_reaches_that_project_only() {
    let house = house().await;
    let projects = BTreeMap::from([(name("red"), vec![name("admin")]), (name("blue"), vec![name("viewer")])]);
    let ann = house.access.create_user(NewUser { projects, ..wanted("ann", &[]) }).await.expect("a user");
    let session = house.access.caller_of_user(&ann.id).expect("a session");
    assert!(session.may(Verb::List, Kind::Projects).is_err() && session.may_infer("tiny").is_err());
    let reach = |verb, kind| session.reach(verb, kind).expect("some");
    let some = |projects: &[&str], user: Option<&UserId>| Reach::Some {
        projects: projects.iter().map(|project| name(project)).collect(),
        user: user.cloned(),
    };
    assert_eq!(reach(Verb::Get, Kind::Projects), some(&["blue", "red"], None));
    assert_eq!(reach(Verb::Create, Kind::Tokens), some(&["red"], Some(&ann.id)));
    assert!(session.reach(Verb::Create, Kind::Users).is_ok(), "within red, where nothing of that kind is");
    let new = NewToken { owner: Some(ann.id.clone()), project: Some("red".to_owned()), ..NewToken::named("in red") };
    let text = house.access.create(new).await.expect("a token").1;
    let caller = house.access.verify(Some(text.expose())).expect("let in");
    assert!(caller.may_infer("tiny").is_ok(), "calls that are booked on red");
    assert!(caller.reach(Verb::Create, Kind::Tokens).is_err(), "a token for calls makes no tokens");
}

#[tokio::test]
async fn who_has_left_a_project_calls_no_more_on_its_account() {
    let house = house().await;
    let calls = Rights::NONE.with(Verb::Use, Kind::Calls);
    house.access.create_role(NewRole { name: name("callers"), description: None, rights: calls }).await.expect("a role");
    for (text, everywhere) in [("ann", "callers"), ("bob", "developer")] {
        let projects = BTreeMap::from([(name("red"), vec![name("developer")])]);
        let user = house.access.create_user(NewUser { projects, ..wanted(text, &[everywhere]) }).await.expect("a user");
        let new = NewToken { owner: Some(user.id.clone()), project: Some("red".to_owned()), ..NewToken::named("in red") };
        let red = house.access.create(new).await.expect("a token").1;
        let red = house.access.verify(Some(red.expose())).expect("let in");
        assert!(red.may_infer("tiny").is_ok() && red.calls_reach(Some("red")));
        for less in [BTreeMap::from([(name("red"), vec![name("viewer")])]), BTreeMap::new()] {
            house.change(&user, UserPatch { projects: Some(less), ..UserPatch::default() }).await.expect("changed");
            let refused = red.may_infer("tiny");
            assert!(matches!(&refused, Err(Error::Forbidden { what: Denied::Project(red) }) if red == "red"), "{refused:?}");
            assert!(!red.calls_reach(Some("red")));
        }
        let own = house.access.verify(Some(&house.token_of(&user).await)).expect("let in");
        assert!(own.may_infer("tiny").is_ok(), "what is booked on nobody goes on");
        house.change(&user, UserPatch { roles: Some(vec![name("operator")]), ..UserPatch::default() }).await.expect("changed");
        assert!(red.may_infer("tiny").is_ok(), "who says how much red may");
    }
}

#[tokio::test]
async fn nobody_gives_what_they_may_not_do() {
    let house = house().await;
    let rights =
        Rights::NONE.with_all(&[Verb::Create, Verb::Update], &[Kind::Tokens, Kind::Users, Kind::Roles]).with(Verb::Use, Kind::Calls);
    house.access.create_role(NewRole { name: name("clerk"), description: None, rights }).await.expect("a role");
    let (clerk, boss) = (house.user("clerk", &["clerk"]).await, house.user("boss", &["admin"]).await);
    let caller = house.access.caller_of_user(&clerk.id).expect("a session");
    let beyond = |checked: Result<(), Error>| matches!(checked, Err(Error::Forbidden { what: Denied::Beyond }));
    let token =
        |scope, owner: Option<&User>| NewToken { scopes: vec![scope], owner: owner.map(|user| user.id.clone()), ..NewToken::named("t") };
    assert!(house.access.check_gives(&caller, &token(Scope::Inference, None)).is_ok());
    assert!(house.access.check_gives(&caller, &token(Scope::Admin, Some(&clerk))).is_ok(), "no more than they may");
    assert!(beyond(house.access.check_gives(&caller, &token(Scope::Admin, None))));
    assert!(beyond(house.access.check_gives(&caller, &token(Scope::Admin, Some(&boss)))));
    assert!(beyond(house.access.check_roles_given(&caller, [&name("operator")])));
    assert!(beyond(house.access.check_rights_given(&caller, Rights::ALL)));
    assert!(beyond(house.access.check_over(&caller, &boss.id)), "who may more is changed by who may as much");
    assert!(house.access.check_over(&caller, &clerk.id).is_ok());
}

#[tokio::test]
async fn the_last_who_can_operate_is_neither_disabled_nor_stripped() {
    let house = house().await;
    let ann = house.user("ann", &["admin"]).await;
    house.token_of(&ann).await;
    let refused = |done: Result<User, Error>| matches!(done, Err(Error::LastAdminUser(_)));
    assert!(refused(house.change(&ann, UserPatch { disabled: Some(true), ..UserPatch::default() }).await));
    assert!(refused(house.change(&ann, UserPatch { roles: Some(Vec::new()), ..UserPatch::default() }).await));
    assert!(matches!(house.access.delete_user(&ann.id).await, Err(Error::LastAdminUser(_))));
    assert!(house.access.caller_of_user(&ann.id).expect("still in").may_admin().is_ok());
    let bob = house.user("bob", &["admin"]).await;
    house.token_of(&bob).await;
    house.change(&ann, UserPatch { disabled: Some(true), ..UserPatch::default() }).await.expect("there is bob");
    assert!(refused(house.change(&bob, UserPatch { disabled: Some(true), ..UserPatch::default() }).await));
}

#[tokio::test]
async fn who_logs_in_is_made_once_and_follows_their_groups() {
    let house = house().await;
    house.user("ann", &[]).await;
    let login = |roles: &[&str]| Login {
        provider: "corp".to_owned(),
        subject: "4711".to_owned(),
        name: "ann".to_owned(),
        email: Some("ann@example.org".to_owned()),
        mapped: Grants { roles: roles.iter().map(|role| name(role)).collect(), projects: BTreeMap::new() },
        as_of: base::Timestamp::now(),
    };
    let first = house.access.login_user(login(&["developer"]), &Came::default()).await.expect("a user");
    assert_eq!(first.name, "ann@corp/4711", "another ann was there");
    assert!(house.access.caller_of_user(&first.id).expect("a session").may_infer("tiny").is_ok());
    let again = house.access.login_user(login(&["viewer"]), &Came::default()).await.expect("the user");
    assert_eq!(again.id, first.id);
    assert!(house.access.caller_of_user(&first.id).expect("a session").may_infer("tiny").is_err());
    house.change(&first, UserPatch { disabled: Some(true), ..UserPatch::default() }).await.expect("disabled");
    assert!(matches!(house.access.login_user(login(&["admin"]), &Came::default()).await, Err(Error::Disabled { .. })));
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_who_came_before_does_not() {
    let house = house().await;
    let right = house.access.create(NewToken::named("right")).await.expect("a token").1;
    let other = house.access.create(NewToken::named("other")).await.expect("a token").1;
    let (here, there) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
    assert!(house.access.enter(Some(right.expose()), Some(here)).is_ok());
    let tries = (0..100).map(|n| house.access.enter(Some(&format!("psk_{n}")), Some(here)));
    let slowed = tries.filter(|tried| matches!(tried, Err(Error::Guessing { .. }))).count();
    assert_eq!(slowed, 80);
    assert!(house.access.enter(Some(right.expose()), Some(here)).is_ok(), "it came from here before");
    assert!(
        matches!(house.access.enter(Some(other.expose()), Some(here)), Err(Error::Guessing { .. })),
        "a right one is no better than a wrong one"
    );
    assert!(house.access.enter(Some(other.expose()), Some(there)).is_ok(), "somewhere else nobody waits");
    let told = async || house.store.list_events(store::EventQuery::default()).await.expect("events").len();
    let story = async {
        while told().await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(2), story).await.expect("it is told");
    assert_eq!(told().await, 1, "a burst is told once");
}

#[tokio::test]
async fn the_last_use_of_a_token_is_written_behind_its_back() {
    let house = house().await;
    let (token, text) = house.access.create(NewToken::named("used")).await.expect("a token");
    let idle = house.access.create(NewToken::named("idle")).await.expect("a token").0;
    for _ in 0..3 {
        house.access.verify(Some(text.expose())).expect("let in");
    }
    let used = async |id| house.access.get(id).await.expect("a token").last_used_at;
    assert_eq!(used(&token.id).await, None, "not on the way of a call");
    house.access.flush().await;
    let first = used(&token.id).await.expect("it was used");
    assert_eq!(used(&idle.id).await, None);
    house.access.verify(Some(text.expose())).expect("let in");
    house.access.flush().await;
    assert!(used(&token.id).await.expect("it was used again") >= first);
}

#[tokio::test]
async fn a_project_has_no_more_tokens_than_its_quota() {
    let house = house().await;
    let quota = spec::Allotment { tokens: Some(2), ..spec::Allotment::default() };
    let new = access::NewProject {
        name: name("red"),
        description: None,
        limits: spec::Limits::default(),
        budget: spec::Budget::default(),
        quota,
    };
    house.access.create_project(new).await.expect("a project");
    let token = || NewToken { project: Some("red".to_owned()), ..NewToken::named("t") };
    let first = house.access.create(token()).await.expect("one").0;
    house.access.create(token()).await.expect("two");
    assert!(matches!(house.access.create(token()).await, Err(Error::Quota { most: 2, .. })));
    let outside = house.access.create(NewToken::named("t")).await.expect("of no project").0;
    let moved = access::Patch { project: Some(Some("red".to_owned())), ..access::Patch::default() };
    assert!(matches!(house.access.patch(&outside.id, moved.clone()).await, Err(Error::Quota { .. })));
    house.access.revoke(&first.id).await.expect("revoked");
    house.access.patch(&outside.id, moved).await.expect("there is room now");
}
