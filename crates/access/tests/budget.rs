//! Budgets over a restart, and projects as their callers meet them.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use access::{Access, Ask, Caller, Error, Mode, NewProject, NewToken, Patch, Permit, ProjectPatch, Used, Whose};
use base::{Fault as _, Kind, Timestamp};
use spec::{Budget, Ending, Limits, Name, Prices, Usage, Usd};
use store::Store;
use tempfile::TempDir;

struct House {
    dir: TempDir,
    store: Store,
    access: Access,
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

async fn house() -> House {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    House { dir, store, access }
}

fn project(text: &str, limits: Limits, budget: Budget) -> NewProject {
    NewProject { name: name(text), description: None, limits, budget, quota: spec::Allotment::default() }
}

impl House {
    async fn caller(&self, project: &str) -> Arc<Caller> {
        let new = NewToken { project: Some(project.to_owned()), ..NewToken::named("ci") };
        let (_, secret) = self.access.create(new).await.expect("a token");
        self.access.verify(Some(secret.expose())).expect("let in")
    }

    fn admit(&self, caller: &Arc<Caller>, tokens: u64) -> Result<Permit, Error> {
        let gate = self.access.gate(&name("tiny"));
        self.access.admit(&Ask {
            caller,
            gate: &gate,
            limits: &Limits::default(),
            budget: &Budget::default(),
            prices: &Prices { input_per_million: Usd::dollars(1_000_000), ..Prices::default() },
            input: tokens,
            answers: 1,
            max_tokens: Some(0),
            context: None,
        })
    }
}

fn whole(input: u64) -> Used {
    Used { input, output: 0, cost: Usd::dollars(input), whole: true }
}

#[tokio::test]
async fn tokens_of_a_project_share_its_limits_as_soon_as_it_has_some() {
    let house = house().await;
    let (one, two) = (house.caller("red").await, house.caller("red").await);
    let held = house.admit(&one, 10).expect("no limits yet");
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    house.access.create_project(project("red", limits, Budget::default())).await.expect("made");
    let refused = house.admit(&two, 10);
    assert!(matches!(&refused, Err(Error::Limited { whose: Whose::Project(name), .. }) if name == "red"), "{refused:?}");
    drop(held);
    let held = house.admit(&two, 10).expect("a place");
    let used = house.access.use_of_project(&name("red")).expect("a project");
    assert_eq!((used.running, used.requests, used.tokens), (1, 2, 0));
    let more: ProjectPatch = serde_json::from_str(r#"{"description":"who paints","limits":{"concurrency":2}}"#).expect("a patch");
    let changed = house.access.patch_project(&name("red"), more).await.expect("changed");
    assert_eq!((changed.description.as_deref(), changed.limits.concurrency), (Some("who paints"), Some(2)));
    drop(house.admit(&one, 10).expect("a second place"));
    drop(held);
    assert_eq!(house.access.use_of_project(&name("red")).expect("a project").running, 0);
}

#[tokio::test]
async fn a_project_stays_while_tokens_belong_to_it() {
    let house = house().await;
    house.access.create_project(project("red", Limits::default(), Budget::default())).await.expect("made");
    let twice = house.access.create_project(project("red", Limits::default(), Budget::default())).await;
    assert!(matches!(&twice, Err(Error::ProjectExists(_))) && twice.expect_err("taken").kind() == Kind::Conflict);
    let caller = house.caller("red").await;
    let refused = house.access.delete_project(&name("red")).await;
    assert!(matches!(&refused, Err(Error::ProjectInUse { owned, .. }) if owned.tokens == 1), "{refused:?}");
    let id = spec::TokenId::new(caller.token().expect("an id"));
    let moved: Patch = serde_json::from_str(r#"{"project":null}"#).expect("a patch");
    house.access.patch(&id, moved).await.expect("moved");
    house.access.delete_project(&name("red")).await.expect("nobody's");
    assert!(matches!(house.access.get_project(&name("red")).await, Err(Error::NoProject(_))));
    assert!(matches!(house.access.delete_project(&name("red")).await, Err(Error::NoProject(_))));
    let bad = NewProject {
        description: Some("x".repeat(2_000)),
        ..project("red", Limits { concurrency: Some(0), ..Limits::default() }, Budget { usd_per_day: Some(Usd(0)), ..Budget::default() })
    };
    let Err(Error::Invalid(invalid)) = house.access.put_project(bad).await else { panic!("accepted") };
    let fields: Vec<&str> = invalid.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["description", "limits.concurrency", "budget.usd_per_day"]);
}

#[tokio::test]
async fn a_token_that_moves_takes_its_calls_along_and_leaves_none_behind() {
    let house = house().await;
    let caller = house.caller("red").await;
    let held = house.admit(&caller, 10).expect("let in");
    let id = spec::TokenId::new(caller.token().expect("an id"));
    let to_blue: Patch = serde_json::from_str(r#"{"project":"blue"}"#).expect("a patch");
    house.access.patch(&id, to_blue).await.expect("moved");
    assert_eq!(house.access.use_of_token(&id).expect("a token").running, 1);
    drop(held);
    assert_eq!(house.access.use_of_project(&name("red")).expect("counted").running, 0);
    assert_eq!(house.access.use_of_token(&id).expect("a token").running, 0);
}

#[tokio::test]
async fn a_spent_budget_says_what_is_spent_and_when_it_begins_anew() {
    let house = house().await;
    let budget = Budget { tokens_per_month: Some(100), usd_per_month: Some(Usd::dollars(60)), ..Budget::default() };
    house.access.create_project(project("red", Limits::default(), budget)).await.expect("made");
    let caller = house.caller("red").await;
    let mut permit = house.admit(&caller, 50).expect("room");
    permit.settle(whole(50));
    drop(permit);
    let refused = house.admit(&caller, 20).expect_err("too dear");
    assert!(refused.is_final(), "{refused:?}");
    let words = refused.to_string();
    assert!(
        words.starts_with(
            "project `red`: the budget of 60.00 USD per month has no room for 20.00 USD: 50.00 USD are spent; the next month begins at 20"
        ),
        "{words}"
    );
    let used = serde_json::to_value(house.access.use_of_project(&name("red"))).expect("json");
    assert_eq!(used["budget"]["tokens_per_month"]["spent"], 50);
    assert_eq!((&used["usd"], &used["budget"]["usd_per_month"]["limit"]), (&serde_json::json!(50.0), &serde_json::json!(60.0)));
}

#[tokio::test]
async fn a_restart_forgives_no_budget() {
    let house = house().await;
    let budget = Budget { tokens_per_day: Some(100), ..Budget::default() };
    house.access.create_project(project("red", Limits::default(), budget)).await.expect("made");
    let caller = house.caller("red").await;
    let id = spec::TokenId::new(caller.token().expect("an id"));
    // Yesterday's calls are of this month at most; none of them is of this day.
    let now = Timestamp::now();
    let yesterday = Timestamp::from_millis(now.as_millis() - 24 * 3_600_000);
    let call = |at, prompt_tokens, ending| Usage {
        at,
        token: Some(id.to_string()),
        project: Some("red".to_owned()),
        model: "asked-for".to_owned(),
        deployment: Some("tiny".to_owned()),
        prompt_tokens,
        completion_tokens: 1,
        cost: Usd::dollars(2),
        ending,
        ..Usage::default()
    };
    let calls = [
        call(now, 59, Ending::Completed),
        call(yesterday, 1_000, Ending::Completed),
        call(now, 19, Ending::Cancelled),
        call(now, 500, Ending::Rejected),
    ];
    house.store.book_calls(7, 0, &calls).await.expect("booked");
    house.store.close().await;
    let House { dir, .. } = house;
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    let spent = |access: &Access| {
        let used = access.use_of_project(&name("red")).expect("a project");
        used.budget.0.iter().map(|quota| quota.spent).collect::<Vec<_>>()
    };
    assert_eq!(spent(&access), [80]);
    // What the journal of the last process still held comes later, and counts once.
    let late = [call(now, 9, Ending::Completed)];
    store.book_calls(7, 4, &late).await.expect("booked");
    for _ in 0..2 {
        access.recount().await.expect("counted");
        assert_eq!(spent(&access), [90]);
    }
    // What this process books is counted as it happens, and not again.
    let own = call(Timestamp::now().plus(Duration::from_mins(1)), 1_000, Ending::Completed);
    store.book_calls(8, 0, &[own]).await.expect("booked");
    access.recount().await.expect("counted");
    assert_eq!(spent(&access), [90]);
    let of_token = access.use_of_token(&id).expect("a token");
    assert!([3, 4].contains(&of_token.requests), "of this month: {of_token:?}");
    let of_model = access.use_of_deployment(&name("tiny"), &Limits::default(), &Budget::default()).expect("a deployment");
    assert_eq!(of_model.tokens, of_token.tokens);
}
