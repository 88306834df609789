//! The error table: what operators read when they ask for what cannot be.

use std::fmt::Write as _;

use serde_json::Value;

use super::room::Room;

const NEW: &str = "/api/v1/deployments";
const TAKEN: &str = "/api/v1/deployments/taken";

/// Name of the case, method, path, headers, body.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], String);

fn cases(room: &Room) -> Vec<Case> {
    let dir = room.dir.path().display().to_string();
    let deployment = |rest: &str| format!(r#"{{"name":"new","model":"file:tiny.gguf"{rest}}}"#);
    vec![
        ("no body", "POST", NEW, &[], String::new()),
        ("not json", "POST", NEW, &[], "{\"name\":\"new\",\n  \"model\" \"x\"}".into()),
        ("two values", "POST", NEW, &[], "{\"name\":\"new\",\"engine\":\"echo\"} {}".into()),
        ("not an object", "POST", NEW, &[], "[]".into()),
        ("unknown field", "POST", NEW, &[], deployment(r#","replica":{}"#)),
        ("unknown field below", "POST", NEW, &[], deployment(r#","replicas":{"mx":2}"#)),
        ("unknown word", "POST", NEW, &[], deployment(r#","engine":"llama""#)),
        ("wrong type", "POST", NEW, &[], deployment(r#","context":"long""#)),
        ("bad duration", "POST", NEW, &[], deployment(r#","timeouts":{"idle":"soon"}"#)),
        ("ill-formed name", "POST", NEW, &[], r#"{"name":"a b","engine":"echo"}"#.into()),
        ("no name", "POST", NEW, &[], r#"{"engine":"echo"}"#.into()),
        ("taken name", "POST", NEW, &[], r#"{"name":"taken","engine":"echo"}"#.into()),
        ("two problems", "POST", NEW, &[], r#"{"name":"new","engine":"llama-server","replicas":{"min":3,"max":2}}"#.into()),
        ("missing model", "POST", NEW, &[], format!(r#"{{"name":"new","model":"file:{dir}/tinny.gguf"}}"#)),
        ("corrupt model", "POST", NEW, &[], r#"{"name":"new","model":"file:corrupt.gguf"}"#.into()),
        ("unknown architecture", "POST", NEW, &[], r#"{"name":"new","model":"file:foreign.gguf"}"#.into()),
        ("ill-formed source", "POST", NEW, &[], r#"{"name":"new","model":"hf:org"}"#.into()),
        ("unregistered model", "POST", NEW, &[], r#"{"name":"new","model":"tinyy"}"#.into()),
        ("wrong media type", "POST", NEW, &[("content-type", "text/plain")], deployment("")),
        ("too large", "POST", NEW, &[], format!(r#"{{"name":"{}"}}"#, "x".repeat(1 << 20))),
        ("stale generation", "PUT", TAKEN, &[("if-match", "\"7\"")], r#"{"engine":"echo"}"#.into()),
        ("nothing to match", "PUT", "/api/v1/deployments/new", &[("if-match", "*")], r#"{"engine":"echo"}"#.into()),
        ("create only", "PUT", TAKEN, &[("if-none-match", "*")], r#"{"engine":"echo"}"#.into()),
        ("no etag", "PATCH", TAKEN, &[("if-match", "7")], "{}".into()),
        ("renamed", "PATCH", TAKEN, &[], r#"{"name":"other"}"#.into()),
        ("patch is no object", "PATCH", TAKEN, &[], "3".into()),
        ("unknown deployment", "GET", "/api/v1/deployments/none", &[], String::new()),
        ("ill-formed name in path", "GET", "/api/v1/deployments/a%20b", &[], String::new()),
        ("unencoded slash", "GET", "/api/v1/deployments/a/b", &[], String::new()),
        ("load of unknown", "POST", "/api/v1/deployments/none/load", &[], String::new()),
        ("no log", "GET", "/api/v1/deployments/taken/logs", &[], String::new()),
        ("unknown parameter", "GET", "/api/v1/deployments?limt=3", &[], String::new()),
        ("limit of zero", "GET", "/api/v1/deployments?limit=0", &[], String::new()),
        ("unknown instance", "GET", "/api/v1/instances/none", &[], String::new()),
        ("log of unknown instance", "GET", "/api/v1/instances/none/logs", &[], String::new()),
        ("unknown operation", "GET", "/api/v1/operations/none", &[], String::new()),
        ("unknown model", "GET", "/api/v1/models/tinyy", &[], String::new()),
        ("model in use", "DELETE", "/api/v1/models/tiny", &[], String::new()),
        ("bad source", "POST", "/api/v1/models", &[], r#"{"name":"m","source":"file:none.gguf"}"#.into()),
        ("unknown token", "DELETE", "/api/v1/tokens/none", &[], String::new()),
        ("token without scopes", "POST", "/api/v1/tokens", &[], r#"{"name":"","scopes":[]}"#.into()),
        ("token with budget", "POST", "/api/v1/tokens", &[], r#"{"name":"t","scopes":["inference"],"budget":{"tokens_per_day":0}}"#.into()),
        ("bad span", "GET", "/api/v1/usage?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", &[], String::new()),
        ("bad group", "GET", "/api/v1/usage?group_by=day,modle", &[], String::new()),
        ("group twice", "GET", "/api/v1/usage?group_by=day,day", &[], String::new()),
        ("bad time", "GET", "/api/v1/usage?from=yesterday", &[], String::new()),
        ("bad format", "GET", "/api/v1/usage?format=xml", &[], String::new()),
        ("bad place of a call", "GET", "/api/v1/usage/calls?after=x", &[], String::new()),
        ("bad last event", "GET", "/api/v1/events?watch=1", &[("last-event-id", "x")], String::new()),
    ]
}

fn describe(case: &Case, status: u16, problem: &Value, dir: &str) -> String {
    let mut text = format!("{}: {} {}\n", case.0, case.1, case.2);
    let word = |field: &str| problem[field].as_str().unwrap_or_default().replace(dir, "DIR");
    assert_eq!(problem["status"], status, "{}", case.0);
    assert_eq!(problem["type"], format!("urn:penstock:problem:{}", word("code")), "{}", case.0);
    assert!(!word("title").is_empty() && !word("request_id").is_empty(), "{}", case.0);
    let _ = writeln!(text, "  {status} {}: {}", word("code"), word("detail"));
    let _ = writeln!(text, "  -> {}", word("hint"));
    for found in problem["problems"].as_array().into_iter().flatten() {
        let line = format!("{}: {} -> {}", found["field"], found["what"], found["hint"]).replace(dir, "DIR");
        let _ = writeln!(text, "  * {line}");
    }
    text
}

#[tokio::test]
async fn every_error_says_what_is_wrong_and_what_to_do() {
    let room = Room::open().await;
    room.model("tiny.gguf");
    room.file("corrupt.gguf", b"GGUF\x03\0\0\0");
    let foreign = gguf::sample::Sample::of("lama");
    room.file("foreign.gguf", &foreign.header());
    room.ask("POST", "/api/v1/deployments", r#"{"name":"taken","engine":"echo"}"#).await.expect(202);
    room.ask("POST", "/api/v1/models", r#"{"name":"tiny","source":"file:tiny.gguf"}"#).await.expect(201);
    room.ask("POST", "/api/v1/deployments", r#"{"name":"user","model":"tiny"}"#).await.expect(202);
    let dir = room.dir.path().display().to_string();
    let mut table = String::new();
    for case in cases(&room) {
        let answer = room.ask_with(case.3, case.1, case.2, &case.4).await;
        assert!(answer.status.is_client_error(), "{}: {} {}", case.0, answer.status, answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", case.0);
        table.push_str(&describe(&case, answer.status.as_u16(), &answer.json(), &dir));
    }
    insta::assert_snapshot!(table);
    assert_eq!(room.get("/api/v1/deployments").await["items"].as_array().unwrap().len(), 2, "a refused wish leaves nothing");
}
