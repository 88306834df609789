//! `penstock config check`: what it finds that `serve` would stumble over, without leaving a trace.

use super::ECHO;
use super::said::{ended, output, verb};
use crate::process::Process;
use crate::stage::Stage;

#[test]
fn a_config_is_checked_for_all_that_would_keep_a_server_from_starting() {
    let stage = Stage::new();
    let models = stage.folder().join("models");
    let config = "models_dir: ./models\nevents_file: ./nowhere/events\naccess_log: ./data/access.log\ntls: { cert: ./a.pem, key: ./a.key }\n\
        pull: { hub_token_file: ./none }\nblobs: { url: 's3://models', secrets: [secret_access_key=NOT_SET] }\n\
        webhooks:\n  - { name: a, url: 'https://a.example', secret_env: NOT_SET }\n  - { name: b, url: 'https://b.example', secret_file: ./none }\n";
    let check = |config: &str| {
        let checked =
            verb(&stage, &["config", "check", "--config"]).arg(stage.write_config(config)).env("PENSTOCK_MASTER_KEY", "short").output();
        let checked = checked.expect("penstock");
        (ended(&checked), format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr)))
    };
    let (status, told) = check(config);
    assert!(status == 2 && told.contains("the config has 8 faults"), "{status}: {told}");
    for words in [
        "a.pem",
        "hub_token_file",
        "blobs.secrets",
        "`a` has no secret",
        "`b` cannot be read",
        "nowhere/events",
        "models_dir",
        "PENSTOCK_MASTER_KEY",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    std::fs::create_dir(&models).expect("a folder");
    std::fs::write(models.join("tiny.gguf"), "").expect("a file");
    let routes = "models_dir: ./models\nroutes: [{ name: r, targets: [{ deployment: tiny.gguf }], fallback: [tini.gguf] }]\n";
    let (_, told) = check(routes);
    assert!(told.contains("there is no deployment or route `tini.gguf`") && told.contains("did you mean `tiny.gguf`?"), "{told}");
    assert!(!stage.data_dir().exists(), "nothing is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_checked_beside_what_a_server_has_stored() {
    let stage = Stage::new();
    let server = Process::start(&stage, ECHO).await;
    assert_eq!(ended(&output(&stage, &["deploy", "mine", "--engine", "echo"])), 0);
    let check = |config: &str, key: Option<&str>| {
        let mut check = verb(&stage, &["config", "check", "--config"]);
        check.arg(stage.write_config(config)).envs(key.map(|key| ("PENSTOCK_MASTER_KEY", key)));
        let checked = check.output().expect("penstock");
        (ended(&checked), String::from_utf8_lossy(&checked.stderr).into_owned())
    };
    let route = |to: &str| format!("routes: [{{ name: r, targets: [{{ deployment: {to} }}] }}]\n");
    assert_eq!(check(&route("mine"), None), (0, String::new()), "one that was made through the API");
    assert!(check(&route("mime"), None).1.contains("did you mean `mine`?"));
    let kept = server.client.post("/api/v1/secrets", &serde_json::json!({"name": "hub", "value": "hf_123"})).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    assert_eq!(check(ECHO, None), (0, String::new()));
    let other = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (status, told) = check(ECHO, Some(other));
    assert!(status == 2 && told.contains("master key that is not given"), "{status}: {told}");
    drop(server); // killed
    assert_eq!(check(&route("mine"), None), (0, String::new()));
    assert!(check(&route("mime"), None).1.contains("did you mean `mine`?"));
}
