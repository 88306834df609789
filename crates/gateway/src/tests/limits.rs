//! How much: budgets and rates as a client meets them at the door, under load and however calls end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::{NewProject, NewToken, Patch};
use serde_json::json;
use spec::{Budget, Limits, Name, Prices, Usd};
use tokio::sync::Semaphore;

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, entry, limited};

/// Tokens in, of the engine's own count.
const INPUT: u64 = 7;

fn answer(output: u64) -> Vec<Step> {
    let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": output, "total_tokens": INPUT + output}});
    fake::whole("200 OK", &body.to_string())
}

async fn token(house: &House, new: NewToken) -> (spec::TokenId, String) {
    let (token, secret) = house.access.create(new).await.unwrap();
    (token.id, secret.expose().to_owned())
}

fn daily(tokens: u64) -> Budget {
    Budget { tokens_per_day: Some(tokens), ..Budget::default() }
}

fn chat(max_tokens: u64) -> String {
    CHAT.replace("}]", &format!(r#"}}],"max_tokens":{max_tokens}"#))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_on_one_budget_settle_to_what_the_engine_counted() {
    const BUDGET: u64 = 20_000;
    let mut house = House::new().await;
    let truth = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&truth);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |number, _| {
        let output = 20 + number as u64 * 37 % 40;
        made.fetch_add(INPUT + output, Ordering::SeqCst);
        answer(output)
    });
    house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 64)]), |spec| spec.max_queue = 2_000)]);
    let (id, secret) = token(&house, NewToken { budget: daily(BUDGET), ..NewToken::named("t") }).await;
    house.token = secret;
    let gone = || {
        let used = house.access.use_of_token(&id).unwrap();
        (used.budget.0[0].spent, used.budget.0[0].reserved, used.running)
    };
    let body = chat(60);
    let calls = (0..1_000).map(|_| async {
        let answer = house.chat(&body).await;
        let (spent, reserved, _) = gone();
        assert!(spent + reserved <= BUDGET, "{spent} + {reserved}");
        answer.status.as_u16()
    });
    let statuses = super::soon(futures_util::future::join_all(calls)).await;
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)));
    assert!((200..1_000).contains(&done), "{done}");
    super::until(|| gone().2 == 0).await;
    assert_eq!(gone(), (truth.load(Ordering::SeqCst), 0, 0), "no error against the truth");
    let mut last = house.chat(&body).await;
    while last.status == 200 {
        last = house.chat(&body).await;
    }
    let error = &last.json()["error"];
    assert_eq!((last.status.as_u16(), &error["type"], &error["code"]), (429, &json!("insufficient_quota"), &json!("insufficient_quota")));
    assert_eq!((last.header("x-should-retry"), last.header("retry-after")), ("false", ""));
    assert!(error["message"].as_str().unwrap().contains("20000 tokens per day"), "{error}");
    assert!(truth.load(Ordering::SeqCst) <= BUDGET);
}

#[tokio::test]
async fn what_an_engine_heeds_by_another_name_is_set_aside_as_well() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| answer(10));
    house.publish([entry("m", ALL, &[(&engine.endpoint, 4)])]);
    house.token = token(&house, NewToken { budget: daily(200), ..NewToken::named("t") }).await.1;
    for more in [r#""n_predict":200"#, r#""max_completion_tokens":200"#, r#""n_cmpl":128,"n_predict":2"#, r#""best_of":100,"n_predict":2"#]
    {
        for (path, prompt) in [("chat/completions", r#""messages":[{}]"#), ("completions", r#""prompt":"hi""#)] {
            let body = format!(r#"{{"model":"m",{prompt},"max_tokens":1,"n":1,{more}}}"#);
            assert_eq!(house.ask(house.request(&format!("/v1/{path}"), body)).await.status, 429, "{path} {more}");
        }
    }
    assert!(engine.seen().is_empty(), "more than there is");
    assert_eq!(house.chat(&chat(100)).await.status, 200);
}

#[tokio::test]
async fn every_answer_tells_the_tightest_limit_of_token_project_and_deployment() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| answer(3));
    house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 4)]), |spec| {
        spec.limits = Limits { requests_per_minute: Some(2), tokens_per_minute: Some(5_000), ..Limits::default() };
    })]);
    let limits = Limits { tokens_per_minute: Some(1_000), requests_per_minute: Some(60), ..Limits::default() };
    let project = NewProject {
        name: Name::parse("red").unwrap(),
        description: None,
        limits,
        budget: Budget::default(),
        quota: spec::Allotment::default(),
    };
    house.access.create_project(project).await.unwrap();
    let own = Limits { tokens_per_minute: Some(3_000), ..Limits::default() };
    house.token = token(&house, NewToken { project: Some("red".to_owned()), limits: own, ..NewToken::named("t") }).await.1;
    let first = house.chat(&chat(100)).await;
    assert_eq!(first.status, 200);
    let told = |answer: &super::house::Answer, kind: &str| {
        ["limit", "remaining", "reset"].map(|what| answer.header(&format!("x-ratelimit-{what}-{kind}")).to_owned())
    };
    assert_eq!(told(&first, "requests"), ["2", "1", "30s"], "the deployment's");
    let [limit, remaining, reset] = told(&first, "tokens");
    assert_eq!(limit, "1000", "the project's");
    assert!((880..900).contains(&remaining.parse().unwrap()) && reset.ends_with('s'), "{remaining} {reset}");
    assert_eq!(house.chat(&chat(100)).await.status, 200);
    let refused = house.chat(&chat(100)).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(told(&refused, "requests")[..2], ["2", "0"]);
    assert_eq!(refused.json()["error"]["type"], "requests");
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("2 requests per minute of model `m`"), "{message}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 30);
}

#[tokio::test]
async fn money_is_counted_by_the_prices_of_the_deployment() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| answer(10));
    let prices = Prices { input_per_million: Usd::dollars(1_000), output_per_million: Usd::dollars(10_000), ..Prices::default() };
    house.publish([limited(entry("m", ALL, &[(&engine.endpoint, 4)]), |spec| spec.prices = prices)]);
    let budget = Budget { usd_per_month: Some(Usd::dollars(1)), ..Budget::default() };
    let (id, secret) = token(&house, NewToken { budget, ..NewToken::named("t") }).await;
    house.token = secret;
    assert_eq!(house.chat(&chat(10)).await.status, 200);
    super::until(|| house.access.use_of_token(&id).unwrap().running == 0).await;
    // Seven in at a thousandth, ten out at a hundredth of a dollar.
    assert_eq!(house.access.use_of_token(&id).unwrap().usd, "0.107".parse().unwrap());
    let refused = house.chat(&chat(90)).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "insufficient_quota"));
    assert_eq!(house.chat(&chat(80)).await.status, 200);
}

#[tokio::test]
async fn a_fallback_that_the_budget_cannot_pay_is_not_asked_and_one_that_it_can_is_paid_at_its_own_prices() {
    let mut house = House::new().await;
    let hangs = Fake::unix(house.dir.path(), "hangs.sock", |_, _| vec![Step::Hang]);
    let dear = Fake::unix(house.dir.path(), "dear.sock", |_, _| answer(10));
    let priced =
        |dollars| Prices { input_per_million: Usd::dollars(dollars), output_per_million: Usd::dollars(dollars), ..Prices::default() };
    let m = limited(entry("m", ALL, &[(&hangs.endpoint, 4)]), |spec| {
        spec.prices = priced(1);
        spec.fallback = vec![Name::parse("dear").unwrap()];
    });
    house.publish([m, limited(entry("dear", ALL, &[(&dear.endpoint, 4)]), |spec| spec.prices = priced(1_000))]);
    for (budget, status, spent) in [("0.01", 502, "0"), ("1", 200, "0.017")] {
        let budget = Budget { usd_per_day: Some(budget.parse().unwrap()), ..Budget::default() };
        let (id, secret) = token(&house, NewToken { budget, ..NewToken::named("t") }).await;
        house.token = secret;
        let answer = house.chat(&chat(10)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        super::until(|| house.access.use_of_token(&id).unwrap().running == 0).await;
        let used = house.access.use_of_token(&id).unwrap();
        assert_eq!((used.usd, used.budget.0[0].reserved), (spent.parse().unwrap(), 0));
    }
    assert_eq!(dear.seen().len(), 1);
}

#[tokio::test]
async fn a_first_call_without_max_tokens_is_let_in_and_what_it_took_is_expected_of_the_next() {
    let mut house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| answer(200));
    house.publish([entry("m", ALL, &[(&engine.endpoint, 4)])]);
    let (id, secret) = token(&house, NewToken { budget: daily(1_000), ..NewToken::named("t") }).await;
    house.token = secret;
    assert_eq!(house.access.gate(&Name::parse("m").unwrap()).likely_output(), None);
    for expected in [200, 200, 200, 200] {
        assert_eq!(house.chat(CHAT).await.status, expected);
        super::until(|| house.access.use_of_token(&id).unwrap().running == 0).await;
    }
    assert_eq!(house.access.use_of_token(&id).unwrap().tokens, 4 * (INPUT + 200));
    assert!(house.access.gate(&Name::parse("m").unwrap()).likely_output().unwrap() >= 200);
    let refused = house.chat(CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "insufficient_quota"), "828 are gone and some 200 expected");
    assert_eq!(house.chat(&chat(50)).await.status, 200, "one that says how little it needs is let in");
}

#[tokio::test]
async fn a_call_that_is_left_gives_back_its_place_and_what_was_set_aside() {
    let mut house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |number, _| {
        let mut steps = if number == 1 { vec![Step::AwaitClose] } else { vec![Step::Wait(Arc::clone(&held))] };
        steps.extend(answer(5));
        steps
    });
    house.publish([entry("m", ALL, &[(&engine.endpoint, 4)])]);
    let limits = Limits { concurrency: Some(1), ..Limits::default() };
    let (id, secret) = token(&house, NewToken { limits, budget: daily(1_000), ..NewToken::named("t") }).await;
    house.token = secret;
    let used = || {
        let used = house.access.use_of_token(&id).unwrap();
        (used.running, used.budget.0[0].reserved)
    };
    {
        let body = chat(500);
        let mut left = std::pin::pin!(house.chat(&body));
        let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(left.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        tokio::select! {
            _ = &mut left => panic!("the engine never answers"),
            () = super::until(|| engine.seen().len() == 1) => {}
        }
        assert_eq!(used().0, 1);
        assert!(used().1 >= 500);
        let full = house.chat(&chat(1)).await;
        assert_eq!((full.status.as_u16(), full.json()["error"]["type"].as_str()), (429, Some("requests")));
    }
    super::until(|| used() == (0, 0)).await;
    engine.closed(1).await;
    gate.add_permits(1);
    assert_eq!(house.chat(&chat(500)).await.status, 200, "all of it is free again");
}

#[tokio::test]
async fn a_token_that_is_taken_back_or_changed_holds_for_the_next_call_while_others_run() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let mut steps = vec![Step::Wait(Arc::clone(&held))];
        steps.extend(answer(5));
        steps
    });
    house.publish([entry("m", ALL, &[(&engine.endpoint, 8)])]);
    let (id, secret) = token(&house, NewToken::named("t")).await;
    let ask = || {
        let mut request = house.request("/v1/chat/completions", CHAT);
        let value = format!("Bearer {secret}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        house.ask(request)
    };
    let running = ask();
    let change = async {
        super::until(|| engine.seen().len() == 1).await;
        let limits = Limits { concurrency: Some(1), ..Limits::default() };
        house.access.patch(&id, Patch { limits: Some(limits), ..Patch::default() }).await.unwrap();
        assert_eq!(ask().await.status, 429, "the one that runs counts");
        house.access.revoke(&id).await.unwrap();
        for _ in 0..20 {
            assert_eq!(ask().await.status, 401);
        }
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(running, change);
    assert_eq!(answer.status, 200, "what was begun may end");
    assert_eq!(ask().await.status, 401);
}

#[tokio::test]
async fn a_call_in_line_whose_token_is_taken_back_goes_no_further() {
    let mut house = House::new().await;
    let (id, secret) = token(&house, NewToken::named("t")).await;
    let other = std::mem::replace(&mut house.token, secret);
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let slow = Fake::unix(house.dir.path(), "slow.sock", move |_, _| {
        let mut steps = vec![Step::Wait(Arc::clone(&held))];
        steps.extend(answer(5));
        steps
    });
    house.publish([entry("m", ALL, &[(&slow.endpoint, 1)])]);
    let mut first = house.request("/v1/chat/completions", CHAT);
    first.headers_mut().insert("authorization", format!("Bearer {other}").parse().unwrap());
    let (first, waited, ()) = tokio::join!(
        house.ask(first),
        async {
            super::until(|| slow.seen().len() == 1).await;
            house.chat(CHAT).await
        },
        async {
            super::until(|| house.board.demand()[0].waiting == 1).await;
            house.access.revoke(&id).await.unwrap();
            gate.add_permits(2);
        }
    );
    assert_eq!((first.status.as_u16(), waited.status.as_u16()), (200, 401), "{}", waited.body);
    assert_eq!(slow.seen().len(), 1, "the engine never heard of it");
}
