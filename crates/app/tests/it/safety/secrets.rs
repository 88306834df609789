//! Keys of others: kept, shown to their servers, and to nobody else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::upstream::{Script, Upstream};

use crate::client::Client;
use crate::process::{Process, penstock};
use crate::stage::{Stage, stop, until};
use crate::wire::{CHAT, chat, soon, whole};

const FIRST: &str = "sk-first-hunter2hunter2";
const SECOND: &str = "sk-second-swordfish42";
const ALLOWED: &str = "outbound: { allow: [127.0.0.1] }\n";

fn verb(stage: &Stage, words: &[&str], said: &str) -> Output {
    tokio::task::block_in_place(|| {
        let mut command = penstock(stage);
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("penstock");
        child.stdin.take().expect("an input").write_all(said.as_bytes()).expect("read");
        child.wait_with_output().expect("an end")
    })
}

fn fine(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned() + &err
}

/// Every process that this one has started, and those that they have.
fn children(of: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// Where these words stand below a folder.
fn found_below(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(found_below(&path, words));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let has = |word: &&str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            found.extend(words.iter().filter(|word| has(word)).map(|word| format!("{word} in {}", path.display())));
        }
    }
    found
}

fn asked_with(upstream: &Upstream, key: &str) -> bool {
    upstream.asks().iter().any(|ask| ask.header("authorization") == Some(&format!("Bearer {key}")))
}

/// All that the API says, and how it refuses.
async fn answers(client: &Client) -> String {
    let mut shown = String::new();
    for path in [
        "/api/v1/secrets",
        "/api/v1/deployments",
        "/api/v1/deployments/gpt",
        "/api/v1/events?limit=500",
        "/api/v1/instances",
        "/status",
        "/metrics",
        "/api/v1/openapi.json",
    ] {
        let answer = soon(client.get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        shown += &answer.text;
    }
    // What is refused does not repeat it either.
    for body in [
        json!({"name": "x y", "value": FIRST}),
        json!({"name": "x", "value": [FIRST]}),
        json!({"name": "x", "value": 5}),
        json!({"name": "x", "val": FIRST}),
    ] {
        let answer = soon(client.post("/api/v1/secrets", &body)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        shown += &answer.text;
    }
    shown
}

/// Not in what others see of the processes, engines included.
fn assert_no_process_shows(pid: u32, words: &[&str]) {
    let processes = children(pid);
    assert!(processes.len() >= 2, "the echo engine is one: {processes:?}");
    for pid in &processes {
        for of in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{of}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(words.iter().all(|word| !text.contains(word)), "{of} of {pid}");
        }
    }
    let listed = std::process::Command::new("ps")
        .args(["axww", "-o", "args"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(listed.is_ok_and(|text| words.iter().all(|word| !text.contains(word))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_to_its_server_and_stands_nowhere_else() {
    let upstream = Upstream::open().await.expect("an engine");
    upstream.plays("gpt", Script::json(200, whole("gpt").to_string()));
    let stage = Stage::new();
    let echo = "deployments:\n  - name: echo\n    engine: echo\n    replicas: { min: 1 }\n";
    let mut house =
        Process::start(&stage, &format!("{ALLOWED}access_log: ./access.log\nlog: {{ level: debug }}\nevents_file: ./events\n{echo}")).await;
    let mut shown = fine(&verb(&stage, &["secret", "set", "upstream"], &format!("{FIRST}\n")));
    shown += &fine(&verb(&stage, &["deploy", "gpt", "--url", &upstream.url(), "--api-key-secret", "upstream"], ""));
    let call = async || {
        upstream.forget();
        let answer = soon(house.client.post(CHAT, &serde_json::from_str(&chat("gpt", "")).expect("JSON"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    call().await;
    assert!(asked_with(&upstream, FIRST));
    // Another value, without a restart.
    shown += &fine(&verb(&stage, &["secret", "set", "upstream"], SECOND));
    until("the new key is shown", async || {
        call().await;
        asked_with(&upstream, SECOND).then_some(())
    })
    .await;
    shown += &fine(&verb(&stage, &["secret", "list"], ""));
    assert!(shown.contains("upstream") && shown.contains("gpt"));
    shown += &fine(&verb(&stage, &["secret", "rotate-key"], ""));
    call().await;
    shown += &answers(&house.client).await;
    let in_use = soon(house.client.ask(hyper::Method::DELETE, "/api/v1/secrets/upstream", bytes::Bytes::new())).await;
    assert_eq!(in_use.status, 409, "{}", in_use.text);
    shown += &in_use.text;
    let words = [FIRST, SECOND];
    for word in words {
        assert!(!shown.contains(word), "{shown}");
    }
    assert_no_process_shows(house.pid(), &words);
    house.signal(Signal::SIGTERM);
    assert!(house.ended().await.success());
    // Nor in any file: log, access log, events, database.
    assert_eq!(found_below(stage.folder(), &words), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_survive_a_restart_and_a_rotation_with_the_operators_own_key() {
    let key = |byte: char| format!("{}=", byte.to_string().repeat(43)); // 32 bytes in base64
    let upstream = Upstream::open().await.expect("an engine");
    upstream.plays("gpt", Script::json(200, whole("gpt").to_string()));
    let stage = Stage::new();
    let keys = stage.folder().join("keys");
    std::fs::write(&keys, key('A')).expect("a file");
    let variables = [("PENSTOCK_MASTER_KEY_FILE", keys.display().to_string())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = format!("deployments:\n  - name: gpt\n    url: {}\n    api_key_secret: upstream\n", upstream.url());
    let house = Process::start_with(&stage, &config, &variables).await;
    let unset = until("it is known that there is no key", async || {
        let why = house.client.get("/api/v1/deployments/gpt").await.text;
        why.contains("no secret `upstream`").then_some(why)
    })
    .await;
    assert!(unset.contains("penstock secret set upstream"), "{unset}");
    fine(&verb(&stage, &["secret", "set", "upstream"], FIRST));
    let asked = async |house: &Process| {
        upstream.forget();
        let answer = soon(house.client.post(CHAT, &serde_json::from_str(&chat("gpt", "")).expect("JSON"))).await;
        answer.status == 200 && asked_with(&upstream, FIRST)
    };
    until("the key is there now", async || asked(&house).await.then_some(())).await;
    std::fs::write(&keys, format!("{}\n{}\n", key('Q'), key('A'))).expect("a file");
    fine(&verb(&stage, &["secret", "rotate-key"], ""));
    drop(house);
    std::fs::write(&keys, key('Q')).expect("a file");
    let house = Process::start_with(&stage, &config, &variables).await;
    until("the key is still there", async || asked(&house).await.then_some(())).await;
    drop(house);
    std::fs::write(&keys, key('g')).expect("a file");
    let output =
        penstock(&stage).args(["serve", "--config"]).arg(stage.folder().join("penstock.yaml")).envs(variables).output().expect("penstock");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("sealed by a master key that is not given") && said.contains("PENSTOCK_MASTER_KEY_FILE"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_environment_is_shown_to_its_server_and_handed_to_no_engine() {
    let upstream = Upstream::open().await.expect("an engine");
    upstream.plays("gpt", Script::json(200, whole("gpt").to_string()));
    let stage = Stage::new();
    let config = format!(
        "log: {{ level: debug }}\naccess_log: ./access.log\ndeployments:\n  - {{ name: gpt, url: '{}', api_key_env: UPSTREAM_KEY }}\n  - \
         {{ name: echo, engine: echo, replicas: {{ min: 1 }} }}\n",
        upstream.url()
    );
    let mut house = Process::start_with(&stage, &config, &[("UPSTREAM_KEY", FIRST)]).await;
    let answer = soon(house.client.post(CHAT, &serde_json::from_str(&chat("gpt", "")).expect("JSON"))).await;
    assert!(answer.status == 200 && asked_with(&upstream, FIRST), "{}", answer.text);
    assert!(!answers(&house.client).await.contains(FIRST));
    let engines = until("the echo engine is there", async || {
        let engines: Vec<u32> = children(house.pid()).into_iter().filter(|pid| *pid != house.pid()).collect();
        (!engines.is_empty()).then_some(engines)
    })
    .await;
    for pid in engines {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains(FIRST), "an engine has no use for it");
    }
    house.signal(Signal::SIGTERM);
    assert!(house.ended().await.success());
    assert_eq!(found_below(stage.folder(), &[FIRST]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_an_address_is_refused_and_not_repeated() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let address = format!("https://ann:{FIRST}@models.example/m.gguf");
    for (path, body) in [
        ("/api/v1/deployments", json!({"name": "a", "url": address})),
        ("/api/v1/deployments", json!({"name": "a", "model": address})),
        ("/api/v1/models", json!({"name": "a", "source": address})),
    ] {
        let refused = soon(client.post(path, &body)).await;
        assert_eq!(refused.status, 400, "{path} {}", refused.text);
        assert!(refused.text.contains("a password in it") && !refused.text.contains(FIRST), "{}", refused.text);
    }
    stop(house).await;
    assert_eq!(found_below(stage.folder(), &[FIRST]), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_file_is_read_again_when_it_is_another() {
    let upstream = Upstream::open().await.expect("an engine");
    upstream.plays("gpt", Script::json(200, whole("gpt").to_string()));
    let stage = Stage::new();
    std::fs::write(stage.folder().join("key"), format!("{FIRST}\n")).expect("a file");
    let house = stage.house(&format!("deployments:\n  - name: gpt\n    url: {}\n    api_key_file: ./key\n", upstream.url())).await;
    let client = stage.client(&house);
    let asked = async |key: &str| {
        upstream.forget();
        let answer = soon(client.post(CHAT, &serde_json::from_str(&chat("gpt", "")).expect("JSON"))).await;
        (answer.status == 200 && asked_with(&upstream, key)).then_some(())
    };
    until("the key is shown", async || asked(FIRST).await).await;
    std::fs::write(stage.folder().join("key"), format!("{SECOND}\n")).expect("a file");
    until("the other one is", async || asked(SECOND).await).await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_this_servers_keys_shown_to_a_server_of_their_own() {
    let upstream = Upstream::open().await.expect("an engine");
    let stage = Stage::new();
    let house = stage.house(ALLOWED).await;
    let client = stage.client(&house);
    assert_eq!(client.post("/api/v1/secrets", &json!({"name": "k", "value": FIRST})).await.status, 201);
    let refused = async |more: Value| {
        let mut wish = json!({"name": "mine", "url": upstream.url()});
        wish.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = client.post("/api/v1/deployments", &wish).await;
        (answer.status, answer.text)
    };
    for more in [
        json!({"api_key_file": "/etc/passwd"}),
        json!({"api_key_env": "PENSTOCK_ADMIN_TOKEN"}),
        json!({"api_key_secret": "none"}),
        json!({"api_key_env": "A", "api_key_secret": "k"}),
    ] {
        let (status, text) = refused(more.clone()).await;
        assert_eq!(status, 400, "{more}: {text}");
        assert!(text.contains("hint"), "{text}");
    }
    let (status, text) = refused(json!({"api_key_secret": "k"})).await;
    assert_eq!(status, 202, "{text}");
    stop(house).await;
}
