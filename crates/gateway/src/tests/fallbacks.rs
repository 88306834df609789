//! When a call goes on to a fallback, and when it does not.

use base::Timestamp;
use board::Entry;
use spec::{Deployment, Endpoint, Limits, Retries};
use store::{GroupBy, UsageQuery};

use super::fake::{self, Fake, Step};
use super::house::{ALL, CHAT, House, MS, STREAM, STREAMS, entry, limited};
use super::routes::{ASK, name, publish, route};

/// Retries that stand in the rows of this model.
async fn retries(house: &House, model: &str) -> u64 {
    house.gateway.flush().await;
    let query = UsageQuery { from: Timestamp::from_millis(0), to: Timestamp::from_millis(i64::MAX), by: vec![GroupBy::Model], most: 100 };
    let sums = house.store.usage_sums(&query).await.unwrap();
    sums.iter().filter(|sum| sum.keys[0].as_deref() == Some(model)).map(|sum| sum.retries).sum()
}

fn fake(house: &House, of: &str, steps: Vec<Step>) -> Fake {
    Fake::unix(house.dir.path(), of, move |_, _| steps.clone())
}

fn falls_back(of: Entry, change: impl FnOnce(&mut Deployment)) -> Entry {
    limited(of, |spec| {
        spec.fallback = vec![name("spare")];
        change(spec);
    })
}

#[tokio::test]
async fn a_call_whose_engine_fails_before_its_first_byte_goes_to_the_fallback_and_to_nobody_else() {
    let error = r#"{"error":{"message":"out of memory","type":"server_error","param":null,"code":null}}"#;
    let cases: Vec<(Vec<Step>, u16)> = vec![
        (vec![Step::AwaitClose], 504),
        (vec![fake::sse_head(), Step::AwaitClose], 504),
        (vec![Step::Hang], 502),
        (vec![fake::sse_head(), Step::Hang], 502),
        (fake::events(&[]), 502),
        (fake::events(&[error]), 502),
        (fake::whole("500 Internal Server Error", error), 502),
    ];
    let house = House::new().await;
    let spare = fake(&house, "spare", fake::answer());
    for (at, (steps, status)) in cases.into_iter().enumerate() {
        let (one, two) = (fake(&house, &format!("{at}-one"), steps.clone()), fake(&house, &format!("{at}-two"), steps));
        let fails = || limited(entry("m", STREAMS, &[(&one.endpoint, 4), (&two.endpoint, 4)]), |spec| spec.timeouts.first_token = MS * 50);
        let before = house.board.fallbacks();
        publish(&house, [falls_back(fails(), |_| {}), entry("spare", STREAMS, &[(&spare.endpoint, 4)])], []);
        for body in [STREAM, CHAT] {
            let answer = house.chat(body).await;
            assert_eq!(answer.status, 200, "case {at}: {}", answer.body);
            assert!(answer.body.contains("über"), "case {at}: {}", answer.body);
        }
        assert_eq!(one.seen().len() + two.seen().len(), 2, "case {at}: the other instance was asked as well");
        assert_eq!(house.board.fallbacks() - before, 2);
        publish(&house, [fails()], []);
        assert_eq!(house.chat(STREAM).await.status, status, "case {at}, without a fallback");
    }
    let (calls, completed, ..) = house.rows("m").await;
    assert_eq!((calls, completed, retries(&house, "m").await), (21, 14, 14));
    assert_eq!(house.board.in_flight(), 0);
}

#[tokio::test]
async fn a_body_that_the_engine_makes_no_sense_of_is_its_callers_error_and_says_nothing_of_the_engine() {
    let words = [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        r#"Failed to parse messages: Missing 'role' in message: {\"content\":\"x\"}"#,
        r"Failed to parse tools: Missing tool type: {}; tools = [\n  {}\n]",
        "Failed to parse tool call arguments as JSON: not json",
        r#"\"prompt\" elements must be a string, a list of tokens, a JSON object containing a prompt string, or a list of mixed strings & tokens."#,
        "Unknown reasoning format: loud",
        "Cannot use both json_schema and grammar",
        "[json.exception.parse_error.101] parse error at line 1, column 46: syntax error while parsing value",
    ];
    let house = House::new().await;
    let spare = fake(&house, "spare", fake::answer());
    let error = |words: &str| {
        fake::whole("500 Internal Server Error", &format!(r#"{{"error":{{"code":500,"message":"{words}","type":"server_error"}}}}"#))
    };
    for (at, words) in words.into_iter().enumerate() {
        let (one, two) = (fake(&house, &format!("{at}-one"), error(words)), fake(&house, &format!("{at}-two"), error(words)));
        let m = falls_back(entry("m", STREAMS, &[(&one.endpoint, 4), (&two.endpoint, 4)]), |_| {});
        publish(&house, [m, entry("spare", STREAMS, &[(&spare.endpoint, 4)])], []);
        for round in 1..=20 {
            let answer = house.chat(if round % 2 == 0 { CHAT } else { STREAM }).await;
            assert_eq!((answer.status.as_u16(), answer.json()["error"]["type"].as_str()), (400, Some("invalid_request_error")), "{words}");
            assert!(answer.body.contains(words), "{}", answer.body);
            assert_eq!(one.seen().len() + two.seen().len(), round, "once for each call");
        }
        assert!(!one.seen().is_empty() && !two.seen().is_empty(), "both stay in service");
    }
    assert!(spare.seen().is_empty() && house.board.take_suspects().is_empty());
    let fails = fake(&house, "fails", error("Failed to parse input at pos 7: what the model made"));
    let m = falls_back(entry("m", STREAMS, &[(&fails.endpoint, 4)]), |_| {});
    publish(&house, [m, entry("spare", STREAMS, &[(&spare.endpoint, 4)])], []);
    assert_eq!((house.chat(CHAT).await.status.as_u16(), spare.seen().len()), (200, 1), "that is the engine's own error");
}

#[tokio::test]
async fn an_error_in_place_of_a_whole_answer_is_no_answer() {
    let house = House::new().await;
    let spare = fake(&house, "spare", fake::answer());
    let fails = fake(&house, "m", fake::whole("200 OK", r#"{"error":{"message":"out of memory","code":7},"usage":{"prompt_tokens":9}}"#));
    let m = || limited(entry("m", ALL, &[(&fails.endpoint, 4)]), |spec| spec.prices.per_request = spec::Usd(5));
    publish(&house, [m()], []);
    let answer = house.chat(CHAT).await;
    assert!(answer.status == 502 && answer.body.contains("out of memory"), "{}", answer.body);
    assert!(wire::openai::error::is_openai_error(answer.body.as_bytes()), "{}", answer.body);
    assert_eq!(house.rows("m").await, (1, 0, 0, 0), "nothing was made");
    publish(&house, [falls_back(m(), |_| {}), entry("spare", STREAMS, &[(&spare.endpoint, 4)])], []);
    assert_eq!((house.chat(CHAT).await.status.as_u16(), spare.seen().len()), (200, 1));
    let none = r#"{"error":null,"choices":[],"usage":{"prompt_tokens":9}}"#;
    let answers = fake(&house, "none", fake::whole("200 OK", none));
    publish(&house, [entry("m", ALL, &[(&answers.endpoint, 4)])], []);
    let answer = house.chat(CHAT).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, none));
}

#[tokio::test]
async fn an_answer_that_has_begun_and_a_call_without_time_are_not_gone_on_with() {
    let house = House::new().await;
    let spare = fake(&house, "spare", fake::answer());
    let begun = vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\n", fake::HI).into_bytes()), Step::Hang];
    let (begins, silent) = (fake(&house, "begins", begun), fake(&house, "silent", vec![Step::AwaitClose]));
    let spare_entry = || entry("spare", STREAMS, &[(&spare.endpoint, 4)]);
    publish(&house, [falls_back(entry("m", STREAMS, &[(&begins.endpoint, 4)]), |_| {}), spare_entry()], []);
    assert!(house.chat(STREAM).await.body.contains(r#""code":"upstream_error""#));
    assert_eq!(house.chat(CHAT).await.status, 502);
    let no_time = falls_back(entry("m", STREAMS, &[(&silent.endpoint, 4)]), |spec| spec.timeouts.total = MS * 30);
    publish(&house, [no_time, spare_entry()], []);
    let late = house.chat(CHAT).await;
    assert!(late.status == 504 && late.body.contains("timeouts.total"), "{}", late.body);
    let once = |spec: &mut Deployment| {
        spec.retries = Retries { attempts: 1 };
        spec.timeouts.first_token = MS * 30;
    };
    publish(&house, [falls_back(entry("m", STREAMS, &[(&silent.endpoint, 4)]), once), spare_entry()], []);
    assert_eq!(house.chat(CHAT).await.status, 504, "one try is all that it has");
    assert!(spare.seen().is_empty());
}

#[tokio::test]
async fn a_fallback_that_leads_back_to_the_deployment_that_failed_leads_past_it() {
    let house = House::new().await;
    let (hangs, spare) = (fake(&house, "m", vec![Step::Hang]), fake(&house, "spare", fake::answer()));
    let entries = || [entry("m", STREAMS, &[(&hangs.endpoint, 64)]), entry("spare", STREAMS, &[(&spare.endpoint, 1)])];
    publish(&house, entries(), [route("chat", &[("m", 1)], &["both"]), route("both", &[("m", 1000), ("spare", 1)], &[])]);
    for _ in 0..6 {
        assert_eq!(house.chat(ASK).await.status, 200);
    }
    assert_eq!((hangs.seen().len(), spare.seen().len()), (6, 6));
    publish(&house, entries(), [route("chat", &[("m", 1)], &["same"]), route("same", &[("m", 1)], &[])]);
    assert_eq!(house.chat(ASK).await.status, 502, "there is nobody else");
    assert_eq!(hangs.seen().len(), 7);
}

#[tokio::test]
async fn a_fallback_takes_every_call_while_it_answers_and_is_spared_when_it_is_down_as_well() {
    const HANGS: usize = 14;
    let house = House::new().await;
    let (full, spare) = (fake(&house, "full", fake::whole("503 Service Unavailable", "{}")), fake(&house, "spare", fake::answer()));
    let hangs = fake(&house, "hangs", vec![Step::Hang]);
    for engine in [&full, &hangs] {
        let entries =
            [falls_back(entry("m", STREAMS, &[(&engine.endpoint, 64)]), |_| {}), entry("spare", STREAMS, &[(&spare.endpoint, 64)])];
        publish(&house, entries, []);
        for _ in 0..100 {
            assert_eq!(house.chat(CHAT).await.status, 200);
        }
    }
    assert_eq!(spare.seen().len(), 200);
    // Down at first, and back later.
    let returns = Fake::unix(house.dir.path(), "returns", |number, _| if number <= HANGS { vec![Step::Hang] } else { fake::answer() });
    let entries = [falls_back(entry("m", STREAMS, &[(&hangs.endpoint, 64)]), |_| {}), entry("spare", STREAMS, &[(&returns.endpoint, 64)])];
    publish(&house, entries, []);
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(house.chat(CHAT).await.status.as_u16());
    }
    let down = statuses.iter().position(|status| *status == 200).unwrap();
    assert!(down >= 40, "{down} calls were {HANGS} tries more: an outage is not made worse");
    assert!(statuses[down..].iter().all(|status| *status == 200), "once it is back it takes all: {statuses:?}");
}

#[tokio::test]
async fn a_fallback_with_a_smaller_context_is_asked_only_for_what_fits() {
    let house = House::new().await;
    let gone = Endpoint::Unix(house.dir.path().join("nobody"));
    let (small, large) = (fake(&house, "small", fake::answer()), fake(&house, "large", fake::whole("200 OK", "{}")));
    let with = |of: Entry, context: u32| limited(of, |spec| spec.context = Some(context));
    let m = || with(entry("m", ALL, &[(&gone, 4)]), 8192);
    let entries = |fallback: &[&str]| {
        [
            limited(m(), |spec| spec.fallback = fallback.iter().map(|of| name(of)).collect()),
            with(entry("small", ALL, &[(&small.endpoint, 4)]), 64),
            with(entry("large", ALL, &[(&large.endpoint, 4)]), 4096),
        ]
    };
    let ids: Vec<String> = (0..65).map(|id| id.to_string()).collect();
    let body = format!(r#"{{"model":"m","prompt":[{}]}}"#, ids.join(","));
    let ask = async || house.ask(house.request("/v1/completions", body.clone())).await;
    publish(&house, entries(&["small"]), []);
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "context_length_exceeded"));
    assert!(refused.body.contains("at least 65 tokens; the context of `small` is 64 tokens"), "{}", refused.body);
    publish(&house, entries(&["small", "large"]), []);
    assert_eq!(ask().await.status, 200);
    assert_eq!((small.seen().len(), large.seen().len()), (0, 1), "it was passed over");
    publish(
        &house,
        [m(), with(entry("large", ALL, &[(&large.endpoint, 4)]), 32), entries(&[])[1].clone()],
        [route("chat", &[("large", 1), ("small", 1000)], &[])],
    );
    let chat = house.ask(house.request("/v1/completions", body.replace(r#""m""#, r#""chat""#))).await;
    assert_eq!(chat.status, 400, "no target has room for it");
    publish(&house, entries(&[]), [route("chat", &[("large", 1), ("small", 1000)], &[])]);
    for _ in 0..8 {
        assert_eq!(house.ask(house.request("/v1/completions", body.replace(r#""m""#, r#""chat""#))).await.status, 200);
    }
    assert!(small.seen().is_empty(), "of the targets the one with room is taken");
}

#[tokio::test]
async fn a_deployment_over_its_own_limit_is_answered_for_by_its_fallback() {
    let mut house = House::new().await;
    let (m, spare) = (fake(&house, "m", fake::answer()), fake(&house, "spare", fake::answer()));
    let once = |spec: &mut Deployment| spec.limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let first = || entry("m", STREAMS, &[(&m.endpoint, 4)]);
    let second = |limits: Limits| limited(entry("spare", STREAMS, &[(&spare.endpoint, 4)]), |spec| spec.limits = limits);
    publish(&house, [falls_back(first(), once), second(Limits::default())], []);
    for _ in 0..3 {
        assert_eq!(house.chat(CHAT).await.status, 200);
    }
    assert_eq!((m.seen().len(), spare.seen().len(), house.board.fallbacks()), (1, 2, 2));
    publish(&house, [falls_back(first(), once), second(Limits { requests_per_minute: Some(1), ..Limits::default() })], []);
    house.chat(CHAT).await;
    let refused = house.chat(CHAT).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert!(refused.body.contains("of model `m`"), "the one that was asked for says why: {}", refused.body);
    publish(&house, [limited(first(), once)], []);
    assert_eq!(house.chat(CHAT).await.status, 429, "without a fallback");
    publish(&house, [limited(first(), once), second(Limits::default())], [route("chat", &[("m", 1000), ("spare", 1)], &[])]);
    for _ in 0..4 {
        assert_eq!(house.chat(ASK).await.status, 200, "the other target has room");
    }
    publish(&house, [falls_back(first(), |_| {}), second(Limits::default())], []);
    house.token = house.token_for(None, Limits { requests_per_minute: Some(1), ..Limits::default() }).await;
    assert_eq!(house.chat(CHAT).await.status, 200);
    let before = spare.seen().len();
    assert_eq!(house.chat(CHAT).await.status, 429, "the caller's own limit holds everywhere");
    assert_eq!(spare.seen().len(), before);
}
