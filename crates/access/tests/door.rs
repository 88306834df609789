//! Who is let in, who is not, and what becomes of a token over its life.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use access::{Access, Ask, Caller, Denied, Error, Mode, NewToken, Patch, Permit, Resource, Used};
use base::{Fault as _, Kind, Retry, Secret, Timestamp};
use spec::{Budget, Limits, Name, Prices, Scope, TokenId};
use store::Store;
use tempfile::TempDir;

struct House {
    dir: TempDir,
    store: Store,
    access: Access,
}

async fn house(mode: Mode) -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store.clone(), mode).await.expect("a door");
    House { dir, store, access }
}

impl House {
    /// Asks for so many tokens.
    fn admit(&self, caller: &Arc<Caller>, tokens: u64) -> Result<Permit, Error> {
        let gate = self.access.gate(&Name::parse("tiny").expect("a name"));
        self.access.admit(&Ask {
            caller,
            gate: &gate,
            limits: &Limits::default(),
            budget: &Budget::default(),
            prices: &Prices::default(),
            input: tokens,
            answers: 1,
            max_tokens: Some(0),
            context: None,
        })
    }

    /// As after a restart.
    async fn reopened(self, mode: Mode) -> Self {
        self.store.close().await;
        let store = Store::open(self.dir.path().join("penstock.db")).await.expect("a store");
        let access = Access::open(store.clone(), mode).await.expect("a door");
        Self { dir: self.dir, store, access }
    }
}

fn wanted(name: &str, scope: Scope) -> NewToken {
    NewToken { scopes: vec![scope], ..NewToken::named(name) }
}

#[tokio::test]
async fn a_token_opens_the_door_from_when_it_is_made_and_after_a_restart() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    let caller = house.access.verify(Some(secret.expose())).expect("let in");
    assert_eq!((caller.token(), caller.name()), (Some(token.id.as_str()), "ci"));
    let house = house.reopened(Mode::Tokens).await;
    assert_eq!(house.access.verify(Some(secret.expose())).expect("let in").token(), Some(token.id.as_str()));
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    for nothing in [None, Some(""), Some("   ")] {
        assert!(matches!(house.access.verify(nothing), Err(Error::MissingToken)), "{nothing:?}");
    }
    let text = secret.expose();
    let longer = format!("{text}x");
    let long = "x".repeat(100_000);
    for wrong in [&text[..46], &longer, &token.hash, &token.prefix, &text.to_uppercase(), &long, "psk_", "ü"] {
        let refused = house.access.verify(Some(wrong));
        assert!(matches!(&refused, Err(Error::WrongToken)), "{refused:?}");
    }
    let error = house.access.verify(Some("psk_wrong")).expect_err("refused");
    assert_eq!((error.kind(), error.retry()), (Kind::Unauthenticated, Retry::No));
    assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("psk_wrong"));
}

#[tokio::test]
async fn the_text_of_a_token_is_kept_nowhere() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    let body = secret.expose().strip_prefix("psk_").expect("marked").as_bytes()[8..].to_vec();
    house.store.close().await;
    for entry in std::fs::read_dir(house.dir.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        assert!(!bytes.windows(body.len()).any(|window| window == body), "{} holds the token", path.display());
    }
    let caller = house.access.verify(Some(secret.expose())).expect("from memory, with the store closed");
    assert!(!format!("{token:?} {caller:?} {secret:?}").contains(secret.expose()));
}

#[tokio::test]
async fn a_revoked_token_ends_at_once_also_for_a_call_in_flight() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    let caller = house.access.verify(Some(secret.expose())).expect("let in");
    let permit = house.admit(&caller, 10).expect("a permit");
    assert!(permit.caller().still_valid());
    house.access.revoke(&token.id).await.expect("revoked");
    assert!(!permit.caller().still_valid());
    assert!(matches!(house.access.verify(Some(secret.expose())), Err(Error::WrongToken)));
    assert!(matches!(house.admit(&caller, 10), Err(Error::WrongToken)), "verified before, admitted after");
    assert!(matches!(house.access.revoke(&token.id).await, Err(Error::NotFound(_))));
    let house = house.reopened(Mode::Tokens).await;
    assert!(matches!(house.access.verify(Some(secret.expose())), Err(Error::WrongToken)));
}

#[tokio::test]
async fn a_token_that_is_over_is_refused_and_says_since_when() {
    let house = house(Mode::Tokens).await;
    let (mut token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    let ended = Timestamp::now();
    token.expires_at = Some(ended);
    house.store.put_token(&token).await.expect("stored");
    let house = house.reopened(Mode::Tokens).await;
    let refused = house.access.verify(Some(secret.expose()));
    assert!(matches!(&refused, Err(Error::Expired { at }) if *at == ended), "{refused:?}");
}

#[tokio::test]
async fn a_caller_may_use_its_models_and_an_operator_everything() {
    let house = house(Mode::Tokens).await;
    let few = NewToken { models: Some(vec!["tiny".to_owned()]), ..wanted("few", Scope::Inference) };
    let (_, few) = house.access.create(few).await.expect("a token");
    let (_, admin) = house.access.create(wanted("boss", Scope::Admin)).await.expect("a token");
    let few = house.access.verify(Some(few.expose())).expect("let in");
    assert!(few.may_infer("tiny").is_ok());
    let refused = few.may_infer("large");
    assert!(matches!(&refused, Err(Error::Forbidden { what: Denied::Model(model) }) if model == "large"), "{refused:?}");
    assert!(matches!(few.may_admin(), Err(Error::Forbidden { what: Denied::Admin })));
    let admin = house.access.verify(Some(admin.expose())).expect("let in");
    assert!(admin.may_infer("large").is_ok() && admin.may_admin().is_ok());
}

#[tokio::test]
async fn an_open_house_lets_everybody_operate() {
    let house = house(Mode::Open).await;
    let caller = house.access.verify(None).expect("let in");
    assert!(caller.token().is_none() && caller.may_admin().is_ok() && caller.may_infer("x").is_ok());
    assert!(house.access.verify(Some("sk-whatever")).is_ok(), "clients that must send a key send any");
    assert!(house.admit(&caller, u64::MAX).is_ok());
    assert_eq!(house.access.first_token(None).await.expect("none needed"), None);
}

#[tokio::test]
async fn the_first_start_makes_an_operator_and_later_ones_do_not() {
    let house = house(Mode::Tokens).await;
    let secret = house.access.first_token(None).await.expect("made").expect("shown once");
    let caller = house.access.verify(Some(secret.expose())).expect("let in");
    assert!(caller.may_admin().is_ok());
    assert_eq!(caller.name(), "admin");
    assert_eq!(house.access.first_token(None).await.expect("there is one"), None);
    let house = house.reopened(Mode::Tokens).await;
    assert_eq!(house.access.first_token(None).await.expect("there is one"), None);
    assert!(house.access.verify(Some(secret.expose())).is_ok());
}

#[tokio::test]
async fn a_given_token_becomes_the_operators_and_replaces_the_one_before() {
    let house = house(Mode::Tokens).await;
    let made = house.access.first_token(None).await.expect("made").expect("shown once");
    let (first, second) = (Secret::new("given-by-the-environment-1"), Secret::new("given-by-the-environment-2"));
    for _ in 0..2 {
        assert_eq!(house.access.first_token(Some(&first)).await.expect("adopted"), None);
        assert!(house.access.verify(Some(first.expose())).expect("let in").may_admin().is_ok());
        assert!(matches!(house.access.verify(Some(made.expose())), Err(Error::WrongToken)), "exactly this one");
        assert_eq!(house.access.list().await.expect("tokens").len(), 1);
    }
    let before = house.access.verify(Some(first.expose())).expect("let in");
    let house = house.reopened(Mode::Tokens).await;
    house.access.first_token(Some(&second)).await.expect("adopted");
    assert!(house.access.verify(Some(second.expose())).is_ok());
    assert!(matches!(house.access.verify(Some(first.expose())), Err(Error::WrongToken)));
    assert!(before.still_valid(), "a caller of another process is not ours to end");
    for bad in ["", "with space", "new\nline"] {
        assert!(matches!(house.access.first_token(Some(&Secret::new(bad))).await, Err(Error::Invalid(_))), "{bad:?}");
    }
}

#[tokio::test]
async fn a_token_of_somebody_that_is_given_becomes_the_operators() {
    let house = house(Mode::Tokens).await;
    let (_, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    let before = house.access.verify(Some(secret.expose())).expect("let in");
    house.access.first_token(Some(&secret)).await.expect("adopted");
    assert!(house.access.verify(Some(secret.expose())).expect("let in").may_admin().is_ok());
    assert!(!before.still_valid());
    assert_eq!(house.access.list().await.expect("tokens").len(), 1);
}

#[tokio::test]
async fn the_last_operator_cannot_be_locked_out() {
    let house = house(Mode::Tokens).await;
    house.access.first_token(None).await.expect("made");
    let admin = TokenId::new("admin");
    let less = Patch { scopes: Some(vec![Scope::Inference]), ..Patch::default() };
    assert!(matches!(house.access.revoke(&admin).await, Err(Error::LastAdmin(_))));
    assert!(matches!(house.access.patch(&admin, less.clone()).await, Err(Error::LastAdmin(_))));
    house.access.create(wanted("second", Scope::Admin)).await.expect("a token");
    house.access.patch(&admin, less).await.expect("there is another");
    house.access.revoke(&admin).await.expect("there is another");
}

#[tokio::test]
async fn the_last_operator_without_an_end_is_given_none() {
    let house = house(Mode::Tokens).await;
    house.access.first_token(None).await.expect("made");
    let (admin, end) = (TokenId::new("admin"), Timestamp::now().plus(Duration::from_hours(1)));
    let ends = Patch { expires_at: Some(Some(end)), ..Patch::default() };
    let (brief, _) = house.access.create(NewToken { expires_at: Some(end), ..wanted("brief", Scope::Admin) }).await.expect("a token");
    assert!(matches!(house.access.patch(&admin, ends.clone()).await, Err(Error::LastAdmin(_))));
    assert!(matches!(house.access.revoke(&admin).await, Err(Error::LastAdmin(_))), "one that ends is nobody to count on");
    house.access.create(wanted("second", Scope::Admin)).await.expect("a token");
    house.access.patch(&admin, ends.clone()).await.expect("there is another");
    house.access.revoke(&brief.id).await.expect("one that ends may go");
    let later = Patch { expires_at: Some(Some(end.plus(Duration::from_hours(1)))), ..Patch::default() };
    house.access.patch(&admin, later).await.expect("it has an end already");
    let given = Secret::new("given-by-the-environment-1");
    house.access.first_token(Some(&given)).await.expect("adopted");
    house.access.patch(&admin, ends).await.expect("there is the second");
    house.access.first_token(Some(&given)).await.expect("adopted");
    assert_eq!(house.access.get(&admin).await.expect("a token").expires_at, None, "what is given operates for good");
}

#[tokio::test]
async fn a_change_reaches_those_who_hold_the_token_and_keeps_what_they_used() {
    let house = house(Mode::Tokens).await;
    let limits = Limits { tokens_per_minute: Some(100), ..Limits::default() };
    let new = NewToken { limits, ..wanted("ci", Scope::Inference) };
    let (token, secret) = house.access.create(new).await.expect("a token");
    let caller = house.access.verify(Some(secret.expose())).expect("let in");
    let _permit = house.admit(&caller, 100).expect("a permit");

    let patch: Patch = serde_json::from_str(r#"{"name":"new","models":["a"],"limits":{"tokens_per_minute":150}}"#).expect("a patch");
    let changed = house.access.patch(&token.id, patch).await.expect("changed");
    assert_eq!((changed.name.as_str(), changed.hash.as_str()), ("new", token.hash.as_str()));
    let caller = house.access.verify(Some(secret.expose())).expect("the same text");
    assert!(caller.may_infer("b").is_err());
    assert_eq!(caller.running(), 1);
    let refused = house.admit(&caller, 60);
    assert!(matches!(&refused, Err(Error::Limited { what: Resource::Tokens, limit: 150, .. })), "{refused:?}");

    let back: Patch = serde_json::from_str(r#"{"models":null}"#).expect("a patch");
    let changed = house.access.patch(&token.id, back).await.expect("changed");
    assert_eq!((changed.models, changed.name.as_str()), (None, "new"), "null takes away, absent stays");
    assert!(serde_json::from_str::<Patch>(r#"{"nmae":"x"}"#).is_err());
}

#[tokio::test]
async fn a_token_that_makes_no_sense_is_refused_with_every_reason() {
    let house = house(Mode::Tokens).await;
    let bad = NewToken {
        project: Some(String::new()),
        scopes: vec![],
        models: Some(vec![]),
        limits: Limits { concurrency: Some(0), ..Limits::default() },
        ..NewToken::named(" ")
    };
    let Err(Error::Invalid(invalid)) = house.access.create(bad).await else { panic!("it must be refused") };
    let fields: Vec<&str> = invalid.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["name", "project", "scopes", "models", "limits.concurrency"]);
    let over = NewToken { expires_at: Some(Timestamp::from_millis(1)), ..wanted("x", Scope::Inference) };
    assert!(matches!(house.access.create(over).await, Err(Error::Invalid(_))));
    assert!(house.access.list().await.expect("tokens").is_empty());
}

#[tokio::test]
async fn a_permit_gives_back_what_was_not_used_and_time_does_the_rest() {
    let house = house(Mode::Tokens).await;
    let limits = Limits { requests_per_minute: Some(60), tokens_per_minute: Some(600), concurrency: Some(1) };
    let new = NewToken { limits, ..wanted("ci", Scope::Inference) };
    let (_, secret) = house.access.create(new).await.expect("a token");
    let caller = house.access.verify(Some(secret.expose())).expect("let in");

    // The store is not needed from here on, so time may stand still.
    tokio::time::pause();
    let mut permit = house.admit(&caller, 500).expect("a permit");
    assert_eq!(permit.rates().tokens.map(|r| r.remaining), Some(100));
    let refused = house.admit(&caller, 1).expect_err("one at once");
    assert!(matches!(refused.retry(), Retry::After(_)));
    permit.settle(Used { input: 200, ..Used::default() });
    drop(permit);
    assert_eq!(caller.rates().tokens.map(|r| (r.remaining, r.reset)), Some((400, Duration::from_secs(20))));

    drop(house.admit(&caller, 400).expect("a permit"));
    assert_eq!(caller.rates().tokens.map(|r| r.remaining), Some(400), "dropped without a word: nothing was used");

    let refused = house.admit(&caller, 500).expect_err("too much for now");
    let Retry::After(wait) = refused.retry() else { panic!("{refused:?}") };
    assert_eq!(wait, Duration::from_secs(10));
    tokio::time::advance(wait).await;
    drop(house.admit(&caller, 500).expect("after the time that was told"));

    let never = house.admit(&caller, 601).expect_err("more than a whole minute's");
    assert!(matches!(never, Error::NeverFits { asked: 601, limit: 600, .. }), "{never:?}");
    assert_eq!((never.kind(), never.retry()), (Kind::Limited, Retry::No));
}

#[tokio::test]
async fn changes_at_the_same_time_leave_store_and_memory_alike() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("start", Scope::Inference)).await.expect("a token");
    let mut tasks = Vec::new();
    for n in 0..16 {
        let (access, id) = (house.access.clone(), token.id.clone());
        tasks.push(base::tasks::spawn("patch", async move {
            let patch = Patch { name: Some(format!("name {n}")), ..Patch::default() };
            access.patch(&id, patch).await.expect("changed");
        }));
    }
    for task in tasks {
        task.join().await;
    }
    let caller: Arc<access::Caller> = house.access.verify(Some(secret.expose())).expect("let in");
    assert_eq!(house.access.get(&token.id).await.expect("stored").name, caller.name());
    assert_ne!(caller.name(), "start");
}

#[tokio::test]
async fn a_change_whose_asker_goes_away_is_made_as_a_whole() {
    let house = house(Mode::Tokens).await;
    let (token, secret) = house.access.create(wanted("ci", Scope::Inference)).await.expect("a token");
    {
        let mut revoke = std::pin::pin!(house.access.revoke(&token.id));
        let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(revoke.as_mut().poll(cx))).await;
        assert!(begun.is_pending(), "it waits for the store");
    }
    // The next change has to wait for the one that was begun.
    house.access.create(wanted("next", Scope::Inference)).await.expect("a token");
    assert!(matches!(house.access.verify(Some(secret.expose())), Err(Error::WrongToken)));
    assert!(matches!(house.access.get(&token.id).await, Err(Error::NotFound(_))));
}
