//! Files that live in an object store, through the front door: what one server has fetched another one serves.

use serde_json::{Value, json};
use testkit::{Azurite, FileHost, Manners, S3Server};

use crate::process::Process;
use crate::pulls::hub;
use crate::stage::{Stage, until};

/// The part of a config that knows the store; secrets are named, not said.
struct Store {
    config: String,
    secrets: Vec<(&'static str, String)>,
}

fn amazon(server: &S3Server) -> Store {
    let options = format!("[endpoint={}, region=eu-1, allow_http=true]", server.url());
    Store {
        config: format!(
            "blobs: {{ url: \"s3://models/some/prefix\", options: {options}, secrets: [access_key_id=KEY, secret_access_key=SECRET] }}\n"
        ),
        secrets: vec![("KEY", "key".to_owned()), ("SECRET", "secret".to_owned())],
    }
}

fn azure(server: &Azurite) -> Store {
    let options = format!("[endpoint={}, account_name={}, allow_http=true]", server.url(), server.account());
    Store {
        config: format!("blobs: {{ url: \"az://models/some/prefix\", options: {options}, secrets: [account_key=KEY] }}\n"),
        secrets: vec![("KEY", server.key().to_owned())],
    }
}

async fn start(stage: &Stage, host: &FileHost, store: &Store) -> Process {
    let secrets: Vec<(&str, &str)> = store.secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    let pull = format!("pull: {{ hub: \"{}\", stall: 2s }}\n", host.url());
    Process::start_with(stage, &format!("{pull}{}", store.config), &secrets).await
}

/// Pulls the model, and says how many bytes the hub gave for it.
async fn pull(server: &Process, host: &FileHost) -> usize {
    host.asked();
    let begun = server.client.post("/api/v1/models", &json!({"name": "capitals", "source": "hf:me/capitals-GGUF"})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let path = format!("/api/v1/operations/{}", begun.json()["id"].as_str().expect("an id"));
    let ended: Value = until("the pull has ended", async || {
        let operation = server.client.get(&path).await.json();
        (operation["state"] != "running").then_some(operation)
    })
    .await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}\n{}", server.log());
    host.asked().iter().filter(|asked| asked.path.starts_with("/cdn/") && asked.method == "GET").count()
}

/// The engine ends, and of its files only the store has something left.
async fn put_out(server: &Process, stage: &Stage) {
    assert_eq!(server.client.post("/api/v1/deployments/capitals/unload", &json!({})).await.status, 202);
    until("the engine has ended", async || {
        let instances = server.client.get("/api/v1/instances").await.json();
        instances["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    for kind in ["links", "sha256"] {
        let folder = stage.data_dir().join("blobs").join(kind);
        for entry in std::fs::read_dir(folder).expect("blobs").flatten() {
            let path = entry.path();
            let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            gone.expect("removed");
        }
    }
}

/// One server fetches; another one, which has only the store, serves.
async fn what_one_fetches_another_serves(store: &Store) {
    let (Some(one), Some(two)) = (Stage::with_engine(), Stage::with_engine()) else { return };
    let host = hub(None).await;
    let first = start(&one, &host, store).await;
    assert!(pull(&first, &host).await > 0);
    drop(first);
    let second = start(&two, &host, store).await;
    assert_eq!(pull(&second, &host).await, 0, "the hub is not asked for what the store has");
    let made = second.client.post("/api/v1/deployments", &json!({"name": "capitals", "model": "capitals"})).await;
    assert_eq!(made.status, 202, "{}", made.text);
    assert!(second.client.capital("capitals").await.said().contains("Paris"));
    put_out(&second, &two).await;
    assert!(second.client.capital("capitals").await.said().contains("Paris"), "what the cache has put out comes back");
    let said = second.log();
    for (_, secret) in &store.secrets {
        assert!(secret.len() < 10 || !said.contains(secret.as_str()), "a secret stands in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_has_fetched_into_amazons_store_another_one_serves() {
    let server = S3Server::open(Manners::Good).await.expect("a store");
    what_one_fetches_another_serves(&amazon(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_has_fetched_into_azures_store_another_one_serves() {
    let Some(server) = tokio::task::spawn_blocking(Azurite::open).await.expect("a thread").expect("Azurite") else { return };
    what_one_fetches_another_serves(&azure(&server)).await;
}
