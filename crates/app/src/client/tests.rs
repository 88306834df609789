//! What people see, and the statuses that scripts see.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use base::Timestamp;
use serde_json::json;

use super::http::{Server, segment};
use super::{Failure, allocation, chat, deploy, doctor, explain, follow, look, out, project, run, token, usage, webhook};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_600_000);
const THEN: &str = "2023-11-14T22:13:20.000Z";

#[test]
fn a_disk_is_judged_by_what_can_still_be_done_with_it() {
    let [nothing, little, enough] = [0, 100, 512].map(|mib| doctor::room(base::ByteSize::mib(mib), base::ByteSize::mib(512)));
    assert!(nothing.0 == "fail" && nothing.1.contains("every change is refused"), "{nothing:?}");
    assert!(little.0 == "warn" && little.1.contains("blobs.reserve"), "{little:?}");
    assert_eq!(enough, ("ok", ""));
}

#[test]
fn deployments_as_a_table() {
    let all = json!({"items": [
        {"name": "tiny", "spec": {"model": "file:/m/tiny.gguf"}, "status": {"state": "ready", "ready": 1}, "created_at": THEN},
        {"name": "org/remote:8b", "spec": {"url": "http://127.0.0.1:9/v1"}, "status": {"state": "failed", "ready": 0, "reason": {"message": "no answer"}}, "created_at": THEN},
    ]});
    insta::assert_snapshot!(look::deployment_table(&all, NOW));
}

#[test]
fn instances_as_a_table() {
    let all = json!({"items": [{"id": "0123456789abcdef", "deployment": "tiny", "engine": "llama-server", "phase": "ready", "in_flight": 1,
        "slots": 4, "memory": 25_000_000, "pid": 4242, "since": THEN}]});
    insta::assert_snapshot!(look::instance_table(&all, NOW));
}

#[test]
fn what_is_set_aside_as_a_table() {
    let all = json!({"items": [
        {"id": "0123456789abcdef", "node": "here", "device": "ram", "bytes": 8_u64 << 30, "holder": "training", "created_at": THEN},
        {"id": "fedcba9876543210", "node": "here", "device": "cuda:GPU-1", "bytes": 512 << 20, "holder": "a batch", "created_at": THEN,
            "expires_at": "2023-11-15T00:00:00.000Z"},
    ]});
    insta::assert_snapshot!(allocation::allocation_table(&all, NOW));
}

#[test]
fn which_machine_is_meant_must_be_said_where_there_are_several() {
    let nodes = |names: &[&str]| json!({"items": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    assert_eq!(allocation::only(&nodes(&["here"])).ok().as_deref(), Some("here"));
    let refused = allocation::only(&nodes(&["here", "there"])).expect_err("two are there");
    assert!(matches!(&refused, Failure::Misused { hint, .. } if hint.contains("here, there")), "{refused:?}");
}

#[test]
fn usage_as_a_table_has_the_columns_that_were_asked_for() {
    let all = json!({"items": [
        {"day": "2026-01-31", "token": "0123", "token_name": "ci", "calls": 12, "completed": 11, "prompt_tokens": 3400, "cached_tokens": 100,
            "completion_tokens": 900, "cost_usd": 1e-9},
        {"day": "2026-01-31", "calls": 1, "completed": 0, "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0},
    ]});
    insta::assert_snapshot!(usage::usage_table(&all, &["day".to_owned(), "token".to_owned()]));
}

#[test]
fn tokens_as_a_table_show_no_secret() {
    let all = json!({"items": [{"id": "t1", "name": "ci", "prefix": "psk_ab12", "scopes": ["inference", "admin"],
        "limits": {"requests_per_minute": 60, "concurrency": 2}, "budget": {"tokens_per_day": 1000}, "created_at": THEN}]});
    insta::assert_snapshot!(token::token_table(&all, NOW));
}

#[test]
fn projects_as_a_table_show_what_is_gone_of_their_budgets() {
    let quota = |limit: f64, spent: f64, reserved: f64| json!({"limit": limit, "spent": spent, "reserved": reserved, "resets_at": THEN});
    let all = json!({"items": [
        {"name": "red", "limits": {"tokens_per_minute": 500}, "budget": {"usd_per_month": 12.5}, "created_at": THEN,
            "usage": {"running": 2, "budget": {"usd_per_month": quota(12.5, 3.25, 0.5)}}},
        {"name": "blue", "limits": {}, "budget": {}, "created_at": THEN, "usage": {"running": 0}},
    ]});
    insta::assert_snapshot!(project::project_table(&all, NOW));
}

fn next(more: &serde_json::Value) -> serde_json::Value {
    let mut next = json!({"verdict": "after_others", "memory": 3_221_225_472_u64, "measured": false, "cost_ms": 7000,
        "grant": {"node": "big", "shares": [{"device": "cuda:0", "kind": "cuda", "bytes": 2_147_483_648_u64, "layers": 20},
            {"device": "ram", "kind": "ram", "bytes": 1_073_741_824, "layers": 0}]},
        "reason": {"code": "no_room", "message": "it needs 3 GiB, 1 GiB more than is free of 8 GiB", "remedy": "it starts when another model is unloaded"},
        "leave": [{"instance": "0123456789abcdef", "deployment": "old", "memory": 4_294_967_296_u64, "reload_ms": 7000, "in_flight": 1, "last_used": THEN}]});
    for (key, value) in more.as_object().into_iter().flatten() {
        next[key] = value.clone();
    }
    next
}

#[test]
fn why_it_is_so_is_told_with_who_would_leave_and_what_that_costs() {
    let explained = json!({"name": "tiny", "state": "placing", "reason": next(&json!({}))["reason"], "memory": 3_221_225_472_u64,
        "rollout": {"state": "complete"}, "scaling": {"wanted": 1, "min": 0, "max": 1, "has": 1, "because": [
            {"code": "in_use", "message": "1 work or are kept, 2 wait in line", "facts": {"instances": 1, "waiting": 2}}]},
        "instances": [{"id": "fedcba9876543210", "phase": "placing", "since": THEN, "cause": {"kind": "demand", "waiting": 2},
            "reason": next(&json!({}))["reason"]}],
        "blocked": next(&json!({}))["reason"], "next": next(&json!({})),
        "steps": [{"step": "resolve", "state": "done"}, {"step": "place", "state": "open", "reason": next(&json!({}))["reason"]}]});
    insta::assert_snapshot!(explain::explanation(&explained, NOW));
}

#[test]
fn what_would_fit_is_told_in_one_of_four_ways() {
    let fits = next(&json!({"verdict": "fits", "reason": null, "leave": [], "measured": true}));
    let waits = next(&json!({"verdict": "waits", "leave": [], "grant": {}, "again_at": NOW.plus(std::time::Duration::from_millis(2100))}));
    let never = json!({"code": "does_not_fit", "message": "it needs 9 GiB, and there are 8 GiB in all", "remedy": "lower context"});
    let never = next(&json!({"verdict": "never", "leave": [], "grant": {}, "reason": never}));
    let all = [fits, next(&json!({})), waits, never];
    insta::assert_snapshot!(all.iter().map(|one| explain::trial(one, NOW)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn receivers_of_events_are_a_line_each_with_what_went_wrong_last() {
    let all = json!({"items": [
        {"name": "audit", "origin": "https://audit.example", "state": "idle", "sent": 12, "dropped": 0, "failed": 0, "lag": 0, "lag_ms": 0},
        {"name": "gone", "origin": "https://gone.example", "state": "disabled", "sent": 2, "dropped": 3, "failed": 0, "lag": 9, "lag_ms": 5,
            "disabled": "its receiver answered 410: it wants no more events"},
        {"name": "pager", "origin": "http://127.0.0.1:9", "state": "failing", "sent": 2, "dropped": 0, "failed": 4, "lag": 9, "lag_ms": 5,
            "last_failure": {"at": THEN, "what": "it answers 500", "tries": 4}},
    ]});
    insta::assert_snapshot!(webhook::webhook_table(&all, NOW));
}

#[test]
fn an_event_is_one_line() {
    let event = json!({"id": 7, "at": THEN, "kind": "instance_phase", "cause": {"kind": "demand", "waiting": 2}, "message": "tiny: loading -> ready"});
    assert_eq!(follow::row(&event).join("|"), format!("7|{THEN}|instance_phase|demand 2|tiny: loading -> ready|"));
}

#[test]
fn a_problem_becomes_its_detail_and_hint_and_a_status_for_scripts() {
    let body = r#"{"title":"Not Found","detail":"there is no deployment `x`","hint":"list them","problems":[]}"#;
    let failure = Failure::refused(404, body);
    assert_eq!((failure.to_string().as_str(), failure.hint().as_deref()), ("there is no deployment `x`", Some("list them")));
    let many = r#"{"detail":"two things","problems":[{"field":"a","what":"is bad"},{"field":"b","what":"is worse"}]}"#;
    assert_eq!(Failure::refused(400, many).to_string(), "a: is bad\n       b: is worse");
    assert_eq!(Failure::refused(502, r#"{"error":{"message":"upstream"}}"#).to_string(), "upstream");
    assert_eq!(Failure::refused(500, "<html>").to_string(), "the server answered with status 500");
    assert!(Failure::refused(404, r#"{"detail":"there is none","code":"not_found"}"#).by("http://h").is_missing());
}

#[test]
fn what_is_no_penstock_is_told_from_one_that_misses_something() {
    let failure = Failure::refused(404, "<html>").by("http://127.0.0.1:8080");
    assert_eq!(failure.to_string(), "what answers at http://127.0.0.1:8080 is no Penstock: it says 404");
    assert!(!failure.is_missing() && failure.hint().is_some());
}

#[test]
fn a_terminal_gets_text_and_nothing_that_it_obeys() {
    let said = json!("\u{1b}]0;title\u{7}red\nline 2\tend\r");
    assert_eq!(out::text(&said), "\u{fffd}]0;title\u{fffd}red\nline 2\tend\u{fffd}");
    assert_eq!(out::pairs(&[("note", "one\ntwo".to_owned())]), "note  one\n      two\n");
    assert_eq!(out::table(["A", "B"], [["one\ntwo".to_owned(), "3".to_owned()]]), "A        B\none two  3\n");
}

#[test]
fn who_hangs_up_ends_what_is_asked_over_those_connections_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::at(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let apart = server.apart();
    let asking = std::thread::spawn({
        let apart = apart.clone();
        move || apart.lines("/silent", None, |_line| Ok(true))
    });
    let (mut caller, _) = listener.accept().unwrap();
    let mut head = [0; 1024];
    assert!(caller.read(&mut head).unwrap() > 0);
    apart.hang_up();
    assert!(asking.join().unwrap().is_err());
    let left = std::iter::repeat_with(|| caller.read(&mut head)).find(|read| !matches!(read, Ok(more) if *more > 0)).unwrap();
    assert!(matches!(left, Ok(0)), "the server sees that nobody listens: {left:?}");
    assert!(apart.get("/more").is_err());
}

#[test]
fn a_streamed_error_ends_the_answer_and_done_is_no_event() {
    assert!(chat::event("data: [DONE]").unwrap().is_none());
    assert!(chat::event(": ping").unwrap().is_none());
    assert!(chat::event(r#"data: {"choices":[]}"#).unwrap().is_some());
    let error = chat::event(r#"data: {"error":{"message":"the engine ended"}}"#).unwrap_err();
    assert_eq!(error.to_string(), "the engine ended");
}

#[test]
fn bytes_that_are_no_text_end_no_log() {
    const SAID: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\nk\xe4se\r\nnext\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::at(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let serving = std::thread::spawn(move || {
        for caller in listener.incoming().take(2) {
            let mut caller = caller.unwrap();
            let head = BufReader::new(&caller).lines().map_while(Result::ok);
            assert!(head.take_while(|line| !line.is_empty()).count() > 0);
            caller.write_all(SAID).unwrap();
        }
    });
    let mut lines = Vec::new();
    let each = |line: &str| {
        lines.push(line.to_owned());
        Ok(true)
    };
    server.lines("/log", None, each).unwrap();
    assert_eq!(lines, ["k\u{fffd}se", "next"]);
    assert_eq!(server.text("/log").unwrap(), "k\u{fffd}se\r\nnext\n");
    serving.join().unwrap();
}

#[test]
fn a_name_is_one_segment_and_a_path_is_absolute() {
    assert_eq!(segment("qwen/qwen3:8b"), "qwen%2Fqwen3%3A8b");
    assert_eq!(deploy::absolute("qwen3"), "qwen3");
    assert_eq!(deploy::absolute("https://h/m.gguf"), "https://h/m.gguf");
    assert!(deploy::absolute("./m.gguf").starts_with("file:/"));
    assert_eq!(deploy::absolute("file:/m.gguf"), "file:/m.gguf");
}

#[test]
fn ages_have_one_unit() {
    assert_eq!(out::age(&json!(THEN), NOW), "10m");
    assert_eq!(out::age(&json!("nonsense"), NOW), "");
}

#[test]
fn large_numbers_have_one_unit() {
    let counted = [json!(999), json!(869_504), json!(7_240_000_000_u64), json!(0), json!(null)].map(|number| out::count(&number));
    assert_eq!(counted, ["999", "869.5 K", "7.2 B", "", ""]);
}

#[test]
fn a_hint_for_programs_becomes_one_for_people() {
    let hint = |hint: &str| Failure::refused(404, &json!({"detail": "no", "hint": hint}).to_string()).hint();
    assert_eq!(hint("GET /api/v1/deployments lists what there is").as_deref(), Some("`penstock list` shows what there is"));
    assert_eq!(hint("list the tokens to see which there are").as_deref(), Some("`penstock token list` shows what there is"));
    let revisions = "GET /api/v1/deployments/tiny/revisions lists what there is";
    assert_eq!(hint(revisions).as_deref(), Some("`penstock rollout history tiny` shows what there is"));
    assert_eq!(hint("check the path").as_deref(), Some("check the path"));
}

#[test]
fn a_file_gives_its_deployment_a_name_that_a_deployment_may_have() {
    let name = |file: &str| run::name_of(std::path::Path::new(file));
    assert_eq!(name("/m/Qwen3-0.6B-Q8_0.gguf"), "Qwen3-0.6B-Q8_0");
    assert_eq!(name("my model (1).gguf"), "my-model--1");
    assert_eq!(name("???.gguf"), "model");
}

#[test]
fn a_check_says_what_to_do_below_it() {
    let fine = json!({"check": "memory", "verdict": "ok", "found": "8 GiB", "to_do": ""});
    assert_eq!(doctor::row(&fine), "ok    memory          8 GiB\n");
    let wrong = json!({"check": "token", "verdict": "fail", "found": "the token is not valid", "to_do": "say --token TOKEN"});
    assert_eq!(doctor::row(&wrong), "fail  token           the token is not valid\n                      -> say --token TOKEN\n");
}
