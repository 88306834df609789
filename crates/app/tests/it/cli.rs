//! The command line as people and scripts meet it: the real program, its words and its statuses.
//!
//! Life of a transcript: a server of its own ([`said`] starts the verbs in its folder, so that they
//! find it by themselves), verb after verb, and all that was said, without what differs from run to
//! run, as a snapshot.

mod config;
mod models;
mod reference;
mod rollout;
mod run;
mod said;

use std::time::Duration;

use said::{Terminal, at_rest, ended, output};

use crate::process::Process;
use crate::rollouts::reaches;
use crate::stage::{PATIENCE, Stage, lazy, until};

const ECHO: &str = "deployments:\n  - { name: parrot, engine: echo }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_can_be_looked_at() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let server = Process::start(&stage, &lazy()).await;
    at_rest(&server, "tiny").await;
    terminal.does(&["list"]);
    terminal.does(&["ps"]);
    terminal.does(&["show", "tiny"]);
    terminal.does(&["explain", "tiny"]);
    terminal.does(&["show", "tini"]);
    terminal.does(&["show", "no good name"]);
    terminal.does(&["run", "tini", "hello"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_into_service_changes_rests_and_leaves() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let server = Process::start(&stage, "").await;
    terminal.does(&["list"]);
    terminal.does(&["deploy", "parrot", "--engine", "echo", "--wait"]);
    terminal.does(&["run", "parrot", "say", "this"]);
    // A call is over a moment after its last byte.
    until("nobody calls", async || (server.client.get("/api/v1/instances").await.json()["items"][0]["in_flight"] == 0).then_some(())).await;
    terminal.does(&["ps"]);
    terminal.does(&["deploy", "parrot"]);
    terminal.does(&["deploy", "parrot", "--parallel", "3", "--keep-alive", "1h"]);
    reaches(&server.client, "parrot", "complete", 2).await;
    terminal.does(&["show", "parrot"]);
    terminal.does(&["stop", "parrot"]);
    terminal.does(&["stop", "parrot"]);
    terminal.does(&["wait", "parrot", "--timeout", "200ms"]);
    terminal.does(&["load", "parrot"]);
    terminal.does(&["wait", "parrot"]);
    terminal.does(&["rm", "parrot"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_set_aside_for_others_shown_and_given_back() {
    let stage = Stage::new();
    let _server = Process::start(&stage, "deployments:\n  - { name: parrot, engine: echo, replicas: { min: 1 } }\n").await;
    let said = |words: &[&str]| {
        let done = output(&stage, words);
        (ended(&done), String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (status, made, _) = said(&["allocation", "create", "64MiB", "--for", "a batch", "--expires", "1h"]);
    let id = made.trim();
    assert_eq!((status, id.len()), (0, 16), "{made}");
    let (_, all, _) = said(&["allocation", "list"]);
    let line = all.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{all}"));
    assert!(line.contains("ram") && line.contains("64.0 MiB") && line.contains("a batch"), "{all}");
    let holders = |top: &String| top.lines().any(|line| line.contains("parrot ") && line.contains(" MiB, [a batch] 64.0 MiB"));
    until("its engine holds memory beside them", async || Some(said(&["top", "--once"]).1).filter(holders)).await;
    let (status, _, refused) = said(&["allocation", "create", "90000GiB", "--for", "too much"]);
    assert!(status == 1 && refused.contains("90000.00 GiB") && refused.contains("hint: "), "{status}: {refused}");
    assert_eq!(said(&["allocation", "create", "1MiB", "--for", "x", "--node", "nowhere"]).0, 3);
    assert_eq!(said(&["allocation", "release", id]), (0, format!("{id}: given back\n"), String::new()));
    let (status, _, gone) = said(&["allocation", "release", id]);
    assert!(status == 3 && gone.contains("penstock allocation list"), "{status}: {gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_the_whole_wish_and_its_paths_count_from_it() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, "").await;
    std::fs::create_dir(stage.folder().join("wishes")).expect("a folder");
    std::fs::copy(crate::stage::tiny(), stage.folder().join("wishes/m.gguf")).expect("a copy");
    std::fs::write(stage.folder().join("wishes/m.yaml"), "name: m\nmodel: ./m.gguf\ncontext: 512\n").expect("a file");
    terminal.does(&["deploy", "-f", "wishes/m.yaml", "--threads", "1"]);
    terminal.does(&["show", "m"]);
    std::fs::write(stage.folder().join("wishes/m.yaml"), "name: m\nmodel: ./m.gguf\n").expect("a file");
    terminal.does(&["deploy", "-f", "wishes/m.yaml"]);
    terminal.does(&["deploy", "-f", "wishes/none.yaml"]);
    terminal.does(&["deploy", "-f", "penstock.yaml"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_with_what_to_do() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, ECHO).await;
    std::fs::write(stage.folder().join("short.gguf"), &std::fs::read(crate::stage::tiny()).expect("the model")[..1000]).expect("a file");
    terminal.does(&["deploy", "x", "--model", "./none.gguf"]);
    terminal.does(&["deploy", "x", "--model", "short.gguf"]);
    terminal.does(&["deploy", "x", "--model", "./penstock.yaml"]);
    terminal.does(&["deploy", "x"]);
    terminal.does(&["deploy", "x", "--engine", "parrot"]);
    terminal.does(&["deploy", "x y", "--engine", "echo"]);
    terminal.does(&["deploy"]);
    terminal.does(&["deploy", "parrot", "--parallel", "2"]);
    terminal.does(&["load", "parot"]);
    terminal.does(&["stop", "x"]);
    terminal.does(&["rm", "x"]);
    terminal.does(&["wait", "x"]);
    terminal.does(&["logs", "x"]);
    terminal.does(&["logs", "parrot"]);
    terminal.does(&["run", "./shrot.gguf", "hello"]);
    terminal.does(&["fit", "file:none/m.gguf"]);
    terminal.does(&["lisst"]);
    terminal.does(&["list", "--output", "xml"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_config_can_be_taken_out_of_service_with_a_word_about_it() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, ECHO).await;
    terminal.does(&["rm", "parrot"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_listed_used_within_its_scope_and_taken_back() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, ECHO).await;
    let made = output(&stage, &["token", "create", "ci", "--rpm", "100", "--expires", "30d", "-o", "json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let (token, id) = (made["token"].as_str().expect("a token"), made["id"].as_str().expect("an id"));
    terminal.does(&["token", "list"]);
    terminal.does(&["run", "parrot", "hello", "--token", token]);
    terminal.does(&["list", "--token", token]);
    terminal.does(&["list", "--token", "psk_wrong"]);
    terminal.does(&["token", "revoke", id]);
    terminal.does(&["token", "revoke", id]);
    terminal.does(&["run", "parrot", "hello", "--token", token]);
    terminal.does(&["token", "create", "x", "--scope", "everything"]);
    terminal.does(&["token", "create", "other"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_user_makes_is_theirs_or_with_that_word_nobodys() {
    let stage = Stage::new();
    let _server = Process::start(&stage, ECHO).await;
    let made = |words: &[&str]| -> serde_json::Value {
        let made = output(&stage, &[words, &["-o", "json"]].concat());
        serde_json::from_slice(&made.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {made:?}"))
    };
    let ann = made(&["user", "create", "ann", "--role", "admin"]);
    let own = made(&["token", "create", "own", "--user", "ann", "--scope", "admin"]);
    let own = own["token"].as_str().expect("a token");
    assert_eq!(made(&["token", "create", "laptop", "--token", own])["owner"], ann["id"]);
    assert!(made(&["token", "create", "machine", "--nobody", "--token", own])["owner"].is_null());
    assert!(made(&["token", "create", "first"])["owner"].is_null(), "the first token is nobody's, and so is what it makes");
    assert_eq!(output(&stage, &["token", "create", "both", "--nobody", "--user", "ann"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_changed_looked_at_and_removed() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, ECHO).await;
    terminal.does(&["project", "create", "red", "--rpm", "60", "--budget-usd-per-month", "12.50"]);
    terminal.does(&["project", "create", "red"]);
    terminal.does(&["project", "set", "red", "--tpm", "9000", "--rpm", "none", "--description", "who paints"]);
    terminal.does(&["project", "set", "red", "--budget-tokens-per-day", "0"]);
    terminal.does(&["project", "set", "red", "--budget-usd-per-day", "five"]);
    let made = output(&stage, &["token", "create", "ci", "--project", "red", "--budget-tokens-per-hour", "500", "-o", "json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let (token, id) = (made["token"].as_str().expect("a token"), made["id"].as_str().expect("an id"));
    assert_eq!((&made["project"], &made["budget"]), (&"red".into(), &serde_json::json!({"tokens_per_hour": 500})));
    terminal.does(&["run", "parrot", "hello", "--token", token]);
    terminal.does(&["project", "rm", "red"]);
    terminal.does(&["token", "revoke", id]);
    terminal.does(&["project", "list"]);
    terminal.does(&["project", "rm", "red"]);
    terminal.does(&["project", "show", "red"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_token_is_shown_to_the_local_server_only() {
    let stage = Stage::new();
    let _server = Process::start(&stage, ECHO).await;
    let (port, heard) = said::listener();
    let listed = output(&stage, &["list", "--server", &format!("http://127.0.0.1:{port}")]);
    assert_ne!(ended(&listed), 0);
    let request = heard.recv().expect("a request").to_lowercase();
    assert!(request.starts_with("get /api/v1/deployments") && !request.contains("authorization"), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_token_is_shown_to_nobody_who_listens_where_a_server_was_killed() {
    let stage = Stage::new();
    let mut server = Process::start(&stage, ECHO).await;
    server.signal(nix::sys::signal::Signal::SIGKILL);
    server.ended().await;
    let (port, heard) = said::listener();
    std::fs::write(stage.data_dir().join("address"), format!("127.0.0.1:{port}\n")).expect("the file that was left");
    let listed = output(&stage, &["list"]);
    assert_eq!(ended(&listed), 5, "{listed:?}");
    let told = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(told.starts_with("no server runs for ") && told.contains("was killed"), "{told}");
    assert!(heard.try_recv().is_err(), "it is not asked");
    let named = output(&stage, &["list", "--server", &format!("http://127.0.0.1:{port}")]);
    let request = heard.recv().expect("a request").to_lowercase();
    assert!(ended(&named) != 0 && !request.contains("authorization"), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_yaml_are_what_the_api_gives() {
    let stage = Stage::new();
    let server = Process::start(&stage, ECHO).await;
    at_rest(&server, "parrot").await;
    for path in ["deployments", "instances", "tokens"] {
        let verb = match path {
            "deployments" => vec!["list"],
            "instances" => vec!["ps"],
            _ => vec!["token", "list"],
        };
        let api = server.client.get(&format!("/api/v1/{path}")).await.text;
        let api: serde_json::Value = serde_json::from_str(&api).expect("JSON");
        let json = output(&stage, &[verb.as_slice(), &["-o", "json"]].concat()).stdout;
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).expect("JSON"), api);
        let yaml = output(&stage, &[verb.as_slice(), &["-o", "yaml"]].concat()).stdout;
        let yaml = String::from_utf8(yaml).expect("text");
        assert!(yaml.starts_with("items:"), "{yaml}");
        assert!(!yaml.contains("\"name\""), "YAML as people write it: {yaml}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_events_go_on_until_the_server_ends() {
    let stage = Stage::new();
    let mut server = Process::start(&stage, ECHO).await;
    assert_eq!(ended(&output(&stage, &["load", "parrot"])), 0);
    let logged = output(&stage, &["logs", "parrot", "-n", "1"]);
    assert!(String::from_utf8_lossy(&logged.stdout).contains("the echo listens"), "{logged:?}");
    let mut logs = said::following(&stage, &["logs", "-f", "parrot"]);
    let mut events = said::following(&stage, &["events", "-f", "--deployment", "parrot"]);
    let (logged, told) = (said::lines(&mut logs), said::lines(&mut events));
    let line = logged.recv_timeout(PATIENCE).expect("a line");
    assert!(line.contains("the echo listens"), "{line}");
    // It is told of what happens once it listens.
    let line = until("it is told of an unload", async || {
        let stopped = output(&stage, &["stop", "parrot"]);
        assert_eq!(ended(&stopped), 0, "{stopped:?}");
        let mut lines = std::iter::from_fn(|| told.recv_timeout(Duration::from_secs(1)).ok());
        let line = lines.find(|line| line.contains("unload_asked"));
        if line.is_none() {
            assert_eq!(ended(&output(&stage, &["load", "parrot"])), 0);
        }
        line
    })
    .await;
    assert!(line.contains("api admin"), "{line}");
    let listed = output(&stage, &["events", "--deployment", "parrot", "-n", "2"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 3, "headings and two events");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.ended().await;
    assert!(logs.wait().expect("it ends").success());
    assert!(events.wait().expect("it ends").success());
}

#[test]
fn without_a_server_each_verb_says_so() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let nobody = said::nobody();
    for verb in [&["list"][..], &["ps"], &["deploy", "x", "--engine", "echo"], &["token", "list"], &["run", "x", "hello"]] {
        let words = [verb, &["--server", &nobody]].concat();
        assert_eq!(ended(&output(&stage, &words)), 5, "{verb:?}");
    }
    terminal.does(&["list", "--server", &nobody]);
    terminal.does(&["list", "--server", "nonsense"]);
    terminal.does(&["run", "./none.gguf", "hello", "--server", &nobody]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_made_looked_at_and_removed() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, "deployments:\n  - { name: parrot, engine: echo }\n  - { name: polly, engine: echo }\n").await;
    terminal.does(&["route", "list"]);
    terminal.does(&["route", "set", "chat", "parrot=9", "polly=1", "--fallback", "polly"]);
    terminal.does(&["route", "ls"]);
    terminal.does(&["route", "show", "chat"]);
    terminal.does(&["route", "show", "chatt"]);
    terminal.does(&["run", "chat", "say", "this"]);
    terminal.does(&["route", "set", "chat", "parot"]);
    terminal.does(&["route", "set", "chat", "parrot=many"]);
    terminal.does(&["route", "set", "polly", "parrot"]);
    terminal.does(&["rm", "polly", "--yes"]);
    terminal.does(&["route", "rm", "chat"]);
    terminal.does(&["route", "show", "chat"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_config_machine_and_server() {
    let stage = Stage::new();
    stage.write_config(ECHO);
    let alone = output(&stage, &["doctor", "--server", &said::nobody(), "-o", "json"]);
    assert_eq!(said::verdicts(&alone), [("config", "ok"), ("llama-server", "warn"), ("data directory", "ok"), ("server", "warn")]);
    assert_eq!(ended(&alone), 0, "nothing that must be mended");
    let _server = Process::start(&stage, ECHO).await;
    let both = output(&stage, &["doctor", "-o", "json"]);
    assert_eq!(said::verdicts(&both)[3..], [("server", "ok"), ("token", "ok")]);
    let wrong = output(&stage, &["doctor", "--token", "psk_wrong", "-o", "json"]);
    assert_eq!((said::verdicts(&wrong)[4], ended(&wrong)), (("token", "fail"), 1));
    std::fs::write(stage.folder().join("penstock.yaml"), "lisen: 1\n").expect("a config");
    let broken = output(&stage, &["doctor", "--server", &said::nobody(), "-o", "json"]);
    assert_eq!((said::verdicts(&broken)[0], ended(&broken)), (("config", "fail"), 1));
    // Another server than the one that is meant is not asked by mistake.
    let lost = output(&stage, &["list"]);
    let told = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(told.contains("penstock.yaml:1") && told.contains("--server"), "{told}");
    assert_eq!(ended(&lost), 2);
    assert_eq!(ended(&output(&stage, &["list", "--server", &said::nobody()])), 5, "who is named is asked");
}

#[test]
fn a_completion_script_knows_the_verbs() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&stage, &["completion", shell]);
        let text = String::from_utf8(script.stdout).expect("text");
        assert!(text.contains("penstock") && text.contains("deploy") && text.contains("keep-alive"), "{shell}");
    }
    assert_eq!(ended(&output(&stage, &["completion", "abacus"])), 2);
}
