//! Models by verbs: brought in, looked at, changed, tagged, sent, removed.

use super::said::{Terminal, ended, output};
use crate::process::Process;
use crate::rollouts::reaches;
use crate::stage::{Stage, tiny};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_brought_in_looked_at_changed_tagged_and_removed() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, "").await;
    std::fs::copy(tiny(), stage.folder().join("m.gguf")).expect("a copy");
    std::fs::write(stage.folder().join("t.jinja"), "{{ messages }}").expect("a file");
    terminal.does(&["model", "list"]);
    terminal.does(&[
        "import",
        "m.gguf",
        "capitals:v1",
        "--copy",
        "--description",
        "Knows a few capitals",
        "--label",
        "team=geo",
        "--note",
        "the first",
    ]);
    terminal.does(&["model", "ls"]);
    terminal.does(&["model", "search", "capitals", "--label", "team", "--capability", "chat"]);
    terminal.does(&["model", "search", "--format", "onnx"]);
    terminal.does(&[
        "model",
        "set",
        "capitals",
        "--licence",
        "MIT",
        "--parameter",
        "temperature=0.5",
        "--chat-template",
        "t.jinja",
        "--label",
        "team=",
    ]);
    terminal.does(&["model", "set", "capitals:v1", "--note", "the very first"]);
    terminal.does(&["model", "set", "capitals", "--parameter", "temperature=9"]);
    terminal.does(&["model", "set", "capitals", "--parameter", "warmth=1"]);
    terminal.does(&["model", "show", "capitals"]);
    terminal.does(&["model", "tag", "capitals:v1", "prod"]);
    terminal.does(&["model", "tag", "capitals:v9", "prod"]);
    terminal.does(&["model", "history", "capitals"]);
    terminal.does(&["model", "cp", "capitals:prod", "second:v1"]);
    terminal.does(&["model", "untag", "capitals:prod"]);
    terminal.does(&["model", "set", "second", "--deprecated", "use capitals"]);
    terminal.does(&["model", "ls"]);
    terminal.does(&["deploy", "old", "--model", "second:v1"]);
    terminal.does(&["model", "rm", "second"]);
    terminal.does(&["model", "show", "capitol"]);
    terminal.does(&["model", "rm", "capitals"]);
    terminal.does(&["import", "none.gguf", "x"]);
    terminal.does(&["import", "penstock.yaml", "x"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_sent_to_a_server_and_what_is_there_is_not_sent_again() {
    let stage = Stage::new();
    let mut terminal = Terminal::of(&stage);
    let _server = Process::start(&stage, "").await;
    let folder = stage.folder().join("encoder");
    std::fs::create_dir(&folder).expect("a folder");
    let header = br#"{"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}"#;
    let weights = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 6]].concat();
    std::fs::write(folder.join("model.safetensors"), &weights).expect("a file");
    std::fs::write(folder.join("config.json"), r#"{"model_type":"bert","architectures":["BertModel"]}"#).expect("a file");
    std::fs::write(stage.folder().join("model.pt"), b"\x80\x02}q\x00.").expect("a file");
    std::fs::copy(tiny(), stage.folder().join("m.gguf")).expect("a copy");
    terminal.does(&["push", "m.gguf", "sent:v1", "--licence", "MIT", "--note", "by wire"]);
    terminal.does(&["push", "m.gguf", "sent:v2"]);
    terminal.does(&["push", "encoder", "encoder"]);
    terminal.does(&["push", "model.pt", "bad", "--format", "opaque"]);
    terminal.does(&["push", "none.gguf", "bad"]);
    terminal.does(&["model", "ls"]);
    insta::assert_snapshot!(terminal.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_walks_from_a_file_to_a_limited_route_by_verbs() {
    let Some(stage) = Stage::with_engine() else { return };
    let server = Process::start(&stage, "").await;
    let does = |words: &[&str]| {
        let said = output(&stage, words);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(ended(&said), 0, "{words:?}: {text}{}", String::from_utf8_lossy(&said.stderr));
        text
    };
    does(&["import", &tiny(), "capitals:v1", "--copy", "--licence", "Apache-2.0", "--label", "team=geo", "--parameter", "temperature=0"]);
    assert!(does(&["model", "search", "--label", "team=geo"]).contains("capitals"));
    assert!(does(&["top", "-o", "json"]).contains("devices"));
    assert!(does(&["fit", "capitals:v1", "--context", "128"]).contains("fits"));
    std::fs::write(
        stage.folder().join("service.yaml"),
        "name: capitals\nmodel: capitals:v1\ncontext: 128\ngpu_layers: 0\nlimits: { requests_per_minute: 100 }\n",
    )
    .expect("a file");
    does(&["deploy", "-f", "service.yaml", "--wait"]);
    does(&["route", "set", "geo", "capitals"]);
    let token = does(&["token", "create", "team", "--model", "geo", "--rpm", "50", "-o", "json"]);
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
    let said = does(&["run", "geo", "What is the capital of France?", "--token", token["token"].as_str().expect("a token")]);
    assert!(said.contains("Paris"), "{said}");
    std::fs::copy(tiny(), stage.folder().join("next.gguf")).expect("a copy");
    let mut bytes = std::fs::read(tiny()).expect("the model");
    bytes.extend([0; 32]);
    std::fs::write(stage.folder().join("next.gguf"), bytes).expect("a file");
    does(&["push", "next.gguf", "capitals:v2"]);
    does(&["model", "tag", "capitals:v2", "v1"]);
    reaches(&server.client, "capitals", "complete", 2).await;
    assert!(does(&["rollout", "history", "capitals"]).contains("the tag `v1` of the model `capitals`, moved by token"));
    does(&["rollout", "undo", "capitals"]);
    reaches(&server.client, "capitals", "complete", 3).await;
}
