//! What people of one server can and cannot do to it and to each other: files, engines' processes, models and calls of others.

use std::path::{Path, PathBuf};

use app::serve::House;
use base64::Engine as _;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use testkit::{FileHost, HostedFile};

use crate::client::{Client, Reply};
use crate::stage::{Stage, stop, tiny, until};

const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Reply {
    client.ask(method, &format!("/api/v1/{path}"), Bytes::from(body.to_string())).await
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    serde_json::from_str(&reply.text).unwrap_or_default()
}

#[track_caller]
fn takes_the_server(reply: Reply) {
    let refused = done(reply, 403);
    assert!(refused.to_string().contains("update server"), "{refused}");
}

async fn make(client: &Client, nouns: &str, body: Value) -> Value {
    let reply = client.post(&format!("/api/v1/{nouns}"), &body).await;
    assert!((200..300).contains(&reply.status), "{nouns} {body}: {} {}", reply.status, reply.text);
    reply.json()
}

/// Somebody with these roles everywhere and these within project `a`, with a token for all that they may.
async fn user(admin: &Client, name: &str, (everywhere, within): (&[&str], &[&str])) -> Client {
    let projects = if within.is_empty() { json!({}) } else { json!({"a": within}) };
    let made = make(admin, "users", json!({"name": name, "roles": everywhere, "projects": projects})).await;
    let token = make(admin, "tokens", json!({"name": name, "scopes": ["admin"], "owner": made["id"]})).await;
    admin.with_token(token["token"].as_str())
}

/// The admin; a developer within `a`, a developer everywhere, an operator.
async fn team(stage: &Stage, house: &House) -> (Client, [Client; 3]) {
    let admin = stage.client(house);
    for project in ["a", "b"] {
        make(&admin, "projects", json!({"name": project})).await;
    }
    let ann = user(&admin, "ann", (&[], &["developer"])).await;
    let bob = user(&admin, "bob", (&["developer"], &[])).await;
    let ops = user(&admin, "ops", (&["operator"], &[])).await;
    (admin, [ann, bob, ops])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_starts_an_engine_is_said_by_who_runs_the_server() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let (admin, [ann, bob, ops]) = team(&stage, &house).await;
    let wish = |name: &str, more: (&str, Value)| json!({"name": name, "engine": "echo", "project": "a", more.0: more.1});
    let (env, args) = (("env", json!({"A": "1"})), ("args", json!(["--verbose"])));
    make(&ops, "deployments", wish("theirs", args.clone())).await;
    make(&admin, "deployments", wish("plain", ("max_queue", json!(5)))).await;
    for developer in [&ann, &bob] {
        for more in [&env, &args] {
            takes_the_server(ask(developer, Method::POST, "deployments", &wish("new", more.clone())).await);
            takes_the_server(ask(developer, Method::PUT, "deployments/new", &wish("new", more.clone())).await);
            takes_the_server(ask(developer, Method::PATCH, "deployments/plain", &json!({more.0: more.1})).await);
        }
        takes_the_server(ask(developer, Method::PATCH, "deployments/theirs", &json!({"args": null, "env": {"B": "2"}})).await);
        done(ask(developer, Method::PATCH, "deployments/theirs", &json!({"max_queue": 7, "args": ["--verbose"]})).await, 202);
    }
    let service = json!({"modelName": "served", "modelFileDir": tiny(), "env": [{"key": "A", "value": "1"}],
        "resourceRequirements": {"acceleratorType": "cpu", "acceleratorCount": 0}});
    done(ask(&bob, Method::POST, "modserv/deploy", &service).await, 403);
    done(ask(&ops, Method::POST, "modserv/deploy", &service).await, 200);
    done(ask(&ops, Method::PATCH, "deployments/plain", &json!({"env": {"A": "1"}})).await, 202);
    until("it serves", async || (admin.get("/api/v1/deployments/plain/rollout").await.json()["state"] != "progressing").then_some(()))
        .await;
    takes_the_server(ask(&ann, Method::POST, "deployments/plain/rollout/undo", &json!({"to": 1})).await);
    done(ask(&ops, Method::POST, "deployments/plain/rollout/undo", &json!({"to": 1})).await, 202);
    for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LLAMA_ARG_TOOLS", "LLAMA_ARG_MCP_SERVERS_JSON"] {
        let refused = done(ask(&admin, Method::POST, "deployments", &wish("new", ("env", json!({name: "x"})))).await, 400);
        assert_eq!(refused["problems"][0]["field"], "env", "{refused}");
    }
    assert!(admin.get("/api/v1/deployments/new").await.status == 404);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_had_to_show_a_file_by_nobody_but_the_config() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - { name: of-file, engine: echo, args: [--lora, x], env: { TMPDIR: /tmp } }\n").await;
    let (admin, [_, _, ops]) = team(&stage, &house).await;
    let file = stage.data_dir().join("admin-token").display().to_string();
    for flag in [
        "--grammar-file",
        "--grammar_file",
        "--chat-template-file",
        "-jf",
        "--lora",
        "-md",
        "-lcd",
        "--mmproj",
        "--of-tomorrow",
        "--log-file",
    ] {
        for who in [&ops, &admin] {
            let wish = json!({"name": "new", "model": format!("file:{}", tiny()), "args": [flag, file]});
            let refused = done(ask(who, Method::POST, "deployments", &wish).await, 400);
            assert_eq!(refused["problems"][0]["field"], "args", "{refused}");
            done(ask(who, Method::PUT, "deployments/new", &wish).await, 400);
            done(ask(who, Method::PATCH, "deployments/of-file", &json!({"args": [flag, file]})).await, 400);
        }
    }
    for name in ["GCONV_PATH", "CUDA_INJECTION64_PATH", "VK_ICD_FILENAMES", "OMP_TOOL_LIBRARIES", "GGML_BACKEND_PATH"] {
        let refused = done(ask(&ops, Method::PATCH, "deployments/of-file", &json!({"env": {name: file}})).await, 400);
        assert_eq!(refused["problems"][0]["field"], "env", "{refused}");
    }
    assert_eq!(admin.get("/api/v1/deployments/new").await.status, 404);
    done(ask(&ops, Method::PATCH, "deployments/of-file", &json!({"max_queue": 3})).await, 202);
    done(ask(&ops, Method::PATCH, "deployments/of-file", &json!({"args": ["--temp", "-1", "--grammar", "root ::= x"]})).await, 202);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_variable_holds_is_seen_by_who_may_set_it_and_kept_by_who_may_not() {
    const SECRET: &str = "hunter2secret";
    let stage = Stage::new();
    let house = stage.house("").await;
    let (admin, [_, bob, ops]) = team(&stage, &house).await;
    let viv = user(&admin, "viv", (&["viewer"], &[])).await;
    let wish = json!({"name": "d", "engine": "echo", "env": {"MY_PASSWORD": SECRET, "CUDA_VISIBLE_DEVICES": "0"}});
    make(&ops, "deployments", wish).await;
    let service = json!({"modelName": "served", "modelFileDir": tiny(), "env": [{"key": "MY_PASSWORD", "value": SECRET}],
        "resourceRequirements": {"acceleratorType": "cpu", "acceleratorCount": 0}});
    done(ask(&ops, Method::POST, "modserv/deploy", &service).await, 200);
    for path in ["deployments", "deployments/d", "deployments/d/revisions", "deployments/served", "modserv/list"] {
        for who in [&viv, &bob] {
            let text = who.get(&format!("/api/v1/{path}")).await.text;
            assert!(!text.contains(SECRET), "{path}: {text}");
        }
    }
    let mut spec = bob.get("/api/v1/deployments/d").await.json()["spec"].take();
    assert_eq!(spec["env"], json!({"MY_PASSWORD": "(hidden)", "CUDA_VISIBLE_DEVICES": "0"}));
    spec["max_queue"] = json!(7);
    let answer = done(ask(&bob, Method::PUT, "deployments/d", &spec).await, 202);
    assert_eq!(answer["spec"]["env"]["MY_PASSWORD"], "(hidden)");
    done(ask(&bob, Method::PATCH, "deployments/d", &json!({"env": {"MY_PASSWORD": "(hidden)"}, "max_queue": 8})).await, 202);
    takes_the_server(ask(&bob, Method::PATCH, "deployments/d", &json!({"env": {"MY_PASSWORD": "mine"}})).await);
    let seen = ops.get("/api/v1/deployments/d").await.json();
    assert_eq!((&seen["spec"]["env"]["MY_PASSWORD"], &seen["spec"]["max_queue"]), (&json!(SECRET), &json!(8)));
    assert!(ops.get("/api/v1/deployments/d/revisions").await.text.contains(SECRET));
    stop(house).await;
}

/// A house whose folder of models is that of the whole stage; a model in it, and one outside.
async fn with_models(stage: &Stage, outside: &Path) -> (House, PathBuf, PathBuf) {
    let (inside, secret) = (stage.folder().join("inside.gguf"), outside.join("secret.gguf"));
    std::fs::copy(tiny(), &inside).expect("a model");
    std::fs::copy(tiny(), &secret).expect("a model");
    std::os::unix::fs::symlink(&secret, stage.folder().join("link.bin")).expect("a link");
    (stage.house("models_dir: .\n").await, inside, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_this_machine_are_named_by_who_runs_it_and_by_others_where_models_lie() {
    let (stage, outside) = (Stage::new(), tempfile::tempdir().expect("a folder"));
    let (house, inside, secret) = with_models(&stage, outside.path()).await;
    let (_, [ann, bob, ops]) = team(&stage, &house).await;
    let shut = [
        secret.display().to_string(),
        format!("{}/../{}/secret.gguf", stage.folder().display(), outside.path().file_name().expect("a name").display()),
        "link.bin".to_owned(),
        "data/penstock.db".to_owned(),
        "data/admin-token".to_owned(),
        "/etc/passwd".to_owned(),
        "/no/such/file.gguf".to_owned(),
        "~/.ssh/id_ed25519".to_owned(),
    ];
    for developer in [&ann, &bob] {
        for path in &shut {
            let source = format!("file:{path}");
            for keep in ["reference", "copy", "move"] {
                let body = json!({"name": "m", "source": source, "project": "a", "format": "opaque", "keep": keep});
                takes_the_server(ask(developer, Method::POST, "models", &body).await);
            }
            let wish = json!({"name": "d", "model": source, "project": "a"});
            takes_the_server(ask(developer, Method::POST, "deployments", &wish).await);
            takes_the_server(ask(developer, Method::PUT, "deployments/d", &wish).await);
        }
        let take = json!({"name": "m", "source": "file:inside.gguf", "project": "a", "keep": "move"});
        takes_the_server(ask(developer, Method::POST, "models", &take).await);
    }
    assert!(secret.is_file() && inside.is_file() && stage.data_dir().join("penstock.db").is_file());
    takes_the_server(ask(&bob, Method::POST, "fit", &json!({"model": format!("file:{}", shut[0])})).await);
    done(ask(&bob, Method::POST, "fit", &json!({"model": "file:inside.gguf"})).await, 200);
    let service = json!({"modelName": "served", "modelFileDir": outside.path().display().to_string(),
        "resourceRequirements": {"acceleratorType": "cpu", "acceleratorCount": 0}});
    done(ask(&bob, Method::POST, "modserv/deploy", &service).await, 403);

    for (developer, name) in [(&ann, "anns"), (&bob, "bobs")] {
        let body = json!({"name": name, "source": format!("file:{}", inside.display()), "project": "a", "keep": "copy"});
        done(ask(developer, Method::POST, "models", &body).await, 201);
        let wish = json!({"name": name, "model": "file:inside.gguf", "project": "a"});
        done(ask(developer, Method::POST, "deployments", &wish).await, 202);
    }
    let moved = json!({"name": "opss", "source": format!("file:{}", shut[0]), "project": "a", "keep": "move"});
    done(ask(&ops, Method::POST, "models", &moved).await, 201);
    assert!(!secret.exists(), "who runs the server may have a file taken away");
    stop(house).await;
}

/// Where the file with this content is sent, and how far it is.
async fn begun(client: &Client, bytes: &[u8]) -> (String, String) {
    let digest = registry::Digest::of(bytes);
    let metadata = format!("sha256 {}", base64::prelude::BASE64_STANDARD.encode(digest.hex()));
    let (length, all) = (bytes.len().to_string(), "/api/v1/models/m/versions/upload");
    let reply = client.ask_with(Method::POST, all, &[TUS, ("upload-length", &length), ("upload-metadata", &metadata)], "").await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    (format!("{all}/{}", digest.hex()), reply.headers["upload-offset"].to_str().expect("a number").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_project_is_had_neither_by_its_name_nor_by_the_digest_of_its_file() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let (admin, [ann, ..]) = team(&stage, &house).await;
    let cid = user(&admin, "cid", (&[], &["developer"])).await;
    let made = json!({"name": "theirs", "source": format!("file:{}", tiny()), "keep": "copy", "project": "b"});
    let digest = make(&admin, "models", made).await["status"]["versions"][0]["contents"]["files"][0]["digest"].clone();
    make(&admin, "deployments", json!({"name": "their", "engine": "echo", "project": "b"})).await;
    for source in ["theirs", "theirs:no-such-tag", "their", "no-such-model"] {
        let missing = |name: &str, reply: Reply| {
            let said = done(reply, 404);
            assert!(said["detail"].as_str().is_some_and(|words| !words.contains("sha256") && !words.contains(name)), "{said}");
        };
        missing("latest", ask(&ann, Method::POST, "models", &json!({"name": "mine", "source": source, "project": "a"})).await);
        let wish = json!({"model": source, "project": "a"});
        missing("latest", ask(&ann, Method::PUT, "deployments/mine", &wish).await);
        missing("latest", ask(&ann, Method::PUT, "deployments/their", &wish).await);
    }

    let version = |digest: &Value| json!({"files": [{"name": "m.gguf", "digest": digest}], "card": {"project": "a"}});
    let nowhere = json!(registry::Digest::of(b"nowhere").to_string());
    let (theirs, none) = (
        ask(&ann, Method::POST, "models/m/versions", &version(&digest)).await,
        ask(&ann, Method::POST, "models/m/versions", &version(&nowhere)).await,
    );
    assert_eq!((theirs.status, &theirs.json()["code"]), (none.status, &none.json()["code"]), "{} {}", theirs.text, none.text);
    assert!(theirs.status >= 400, "{}", theirs.text);
    let bytes = std::fs::read(tiny()).expect("a model");
    let (one, offset) = begun(&ann, &bytes).await;
    assert_eq!(offset, "0", "who may not have it is not told that it is here");
    assert_eq!(begun(&admin, &bytes).await.1, bytes.len().to_string(), "who sees all models is");
    let look = async |client: &Client| client.ask_with(Method::HEAD, &one, &[TUS], "").await.status;
    assert_eq!((look(&ann).await, look(&cid).await), (200, 404), "an upload belongs to who began it");
    assert_eq!(cid.ask_with(Method::DELETE, &one, &[TUS], "").await.status, 404);
    let offset = [TUS, BYTES, ("upload-offset", "0")];
    assert_eq!(cid.ask_with(Method::PATCH, &one, &offset, bytes.clone()).await.status, 404);
    assert_eq!(ann.ask_with(Method::PATCH, &one, &offset, bytes.clone()).await.status, 204);
    done(ask(&ann, Method::POST, "models/m/versions", &version(&digest)).await, 201);
    done(ask(&cid, Method::POST, "models/n/versions", &version(&digest)).await, 201); // of a model that they see
    done(ask(&ann, Method::POST, "models", &json!({"name": "o", "source": "m", "project": "a"})).await, 201);
    stop(house).await;
}

/// A host with the small model at `/right.gguf`, and with something else at `/liar.gguf` that it says to be the small model.
async fn hosts(digest: &str) -> FileHost {
    let host = FileHost::open().await.expect("a host");
    let bytes = std::fs::read(tiny()).expect("a model");
    let mut other = bytes.clone();
    other.reverse();
    let said = ("X-Checksum-Sha256".to_owned(), digest.trim_start_matches("sha256:").to_owned());
    host.put("/liar.gguf", HostedFile { headers: vec![said], ..HostedFile::of(other) });
    host.put("/right.gguf", HostedFile::of(bytes));
    host
}

/// A pull to its end.
async fn pulled(client: &Client, body: Value) -> Value {
    let begun = done(ask(client, Method::POST, "models", &body).await, 202);
    let path = format!("/api/v1/operations/{}", begun["id"].as_str().expect("an id"));
    until("the pull has ended", async || {
        let operation = client.get(&path).await.json();
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_project_is_not_had_by_a_pull_that_says_its_digest() {
    let stage = Stage::new();
    let house = stage.house("outbound: { allow: [127.0.0.1] }\n").await;
    let (admin, [ann, ..]) = team(&stage, &house).await;
    let made = json!({"name": "theirs", "source": format!("file:{}", tiny()), "keep": "copy", "project": "b"});
    let digest = make(&admin, "models", made).await["status"]["versions"][0]["digest"].as_str().expect("a digest").to_owned();
    let host = hosts(&digest).await;
    let (liar, right) = (format!("{}/liar.gguf", host.url()), format!("{}/right.gguf", host.url()));
    let promise = format!("#{}", digest.replace(':', "="));
    for source in [liar.clone(), format!("{liar}{promise}")] {
        let ended = pulled(&ann, json!({"name": "mine", "source": source, "project": "a"})).await;
        assert_eq!((&ended["state"], &ended["reason"]["code"]), (&json!("failed"), &json!("model_corrupt")), "{ended}");
        assert_eq!(ann.get("/api/v1/models/mine").await.status, 404);
    }
    let wish = json!({"name": "d", "model": format!("{liar}{promise}"), "project": "a"});
    let made = ask(&ann, Method::POST, "deployments", &wish).await;
    assert!(made.status == 202 || made.text.contains("was promised"), "{}", made.text);
    if made.status == 202 {
        // It took too long to be told at once.
        let told = async || ann.get("/api/v1/deployments/d").await.text.contains("was promised").then_some(());
        until("it is told to be something else", told).await;
    }

    let length = std::fs::metadata(tiny()).expect("a model").len();
    let ended = pulled(&ann, json!({"name": "mine", "source": format!("{right}{promise}"), "project": "a"})).await;
    assert_eq!((&ended["state"], host.sent("/right.gguf")), (&json!("succeeded"), length), "it came, though it is here: {ended}");
    // Who may have it does not send for it.
    let sent = host.sent("/liar.gguf");
    for client in [&admin, &ann] {
        let ended = pulled(client, json!({"name": "again", "source": format!("{liar}{promise}"), "project": "a"})).await;
        assert_eq!((&ended["state"], host.sent("/liar.gguf")), (&json!("succeeded"), sent), "{ended}");
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_just_sent_and_the_store_are_swept_by_who_runs_the_server() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let (admin, [ann, bob, ops]) = team(&stage, &house).await;
    let bytes = std::fs::read(tiny()).expect("a model");
    let (one, _) = begun(&ann, &bytes).await;
    assert_eq!(ann.ask_with(Method::PATCH, &one, &[TUS, BYTES, ("upload-offset", "0")], bytes).await.status, 204);
    let prune = async |client: &Client, body: Value| ask(client, Method::POST, "blobs/prune", &body).await;
    for body in [json!({"grace": "0s"}), json!({"grace": "23h"}), json!({"store": true}), json!({"store": true, "grace": "30d"})] {
        takes_the_server(prune(&bob, body).await);
    }
    assert_eq!(prune(&ann, json!({})).await.status, 403, "who may only within a project");
    assert_eq!(
        done(prune(&bob, json!({"grace": "0s", "store": true, "dry_run": true})).await, 200)["blobs"].as_array().map(Vec::len),
        Some(1)
    );
    for body in [json!({}), json!({"grace": "1d"})] {
        assert_eq!(done(prune(&bob, body).await, 200)["kept"], 1, "it is younger than the grace");
    }
    assert_eq!(admin.get("/api/v1/blobs").await.json()["count"], 1);
    assert_eq!(done(prune(&ops, json!({"grace": "0s", "store": true})).await, 200)["blobs"].as_array().map(Vec::len), Some(1));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_goes_on_with_is_given_up_after_the_time_of_the_config() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let client = stage.client(&house);
    let (bytes, other) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    let (one, _) = begun(&client, &bytes).await;
    assert_eq!(client.ask_with(Method::PATCH, &one, &[TUS, BYTES, ("upload-offset", "0")], bytes[..1 << 19].to_vec()).await.status, 204);
    let unfinished = async |client: &Client| client.get("/api/v1/blobs").await.json()["unfinished"].as_array().map_or(0, Vec::len);
    assert_eq!(unfinished(&client).await, 1);
    stop(house).await;
    let house = stage.house("blobs: { unfinished: 1s }\n").await;
    let client = stage.client(&house);
    until("what an earlier server had is given up", async || (unfinished(&client).await == 0).then_some(())).await;
    assert_eq!(client.ask_with(Method::HEAD, &one, &[TUS], "").await.status, 404);
    begun(&client, &other).await;
    until("and what was begun since", async || (unfinished(&client).await == 0).then_some(())).await;
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_a_project_is_called_with_its_tokens() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - { name: open, engine: echo }\n").await;
    let (admin, [ann, bob, _]) = team(&stage, &house).await;
    for project in ["a", "b"] {
        make(&admin, "deployments", json!({"name": format!("of-{project}"), "engine": "echo", "project": project})).await;
    }
    let token = async |body: Value| admin.with_token(make(&admin, "tokens", body).await["token"].as_str());
    let of_a = token(json!({"name": "of-a", "project": "a"})).await;
    let of_none = token(json!({"name": "of-none"})).await;
    let anns = ann.with_token(make(&ann, "tokens", json!({"name": "mine", "scopes": ["admin"], "project": "a"})).await["token"].as_str());
    for (who, mine) in
        [(&of_a, &["of-a", "open"][..]), (&of_none, &["open"]), (&anns, &["of-a", "open"]), (&bob, &["of-a", "of-b", "open"])]
    {
        let listed = who.get("/v1/models").await.json();
        let ids: Vec<&str> = listed["data"].as_array().expect("models").iter().map(|model| model["id"].as_str().expect("an id")).collect();
        assert_eq!(ids, mine);
        for model in ["of-a", "of-b", "open"] {
            let reply = who.capital(model).await;
            if mine.contains(&model) {
                reply.said();
            } else {
                assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("model_not_found")), "{model}");
            }
        }
        let status = who.get("/status").await.text;
        assert_eq!(status.contains("of-b"), mine.contains(&"of-b"), "{status}");
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_a_project_calls_no_more_on_its_account() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - { name: open, engine: echo }\n").await;
    let (admin, _) = team(&stage, &house).await;
    make(&admin, "deployments", json!({"name": "of-a", "engine": "echo", "project": "a"})).await;
    make(&admin, "roles", json!({"name": "callers", "rights": {"calls": ["use"]}})).await;
    let hal = make(&admin, "users", json!({"name": "hal", "roles": ["callers"], "projects": {"a": ["developer"]}})).await;
    let all = make(&admin, "tokens", json!({"name": "all", "scopes": ["admin"], "owner": hal["id"]})).await;
    let all = admin.with_token(all["token"].as_str());
    let of_a = all.with_token(make(&all, "tokens", json!({"name": "calls", "project": "a"})).await["token"].as_str());
    of_a.capital("of-a").await.said();

    let path = format!("users/{}", hal["id"].as_str().expect("an id"));
    for now in [json!({"a": ["viewer"]}), json!({})] {
        done(ask(&admin, Method::PATCH, &path, &json!({"projects": now})).await, 200);
        for model in ["of-a", "open"] {
            let refused = of_a.capital(model).await;
            assert!(refused.status == 403 && refused.text.contains("project `a`"), "{} {}", refused.status, refused.text);
        }
        assert_eq!(of_a.get("/v1/models").await.json()["data"], json!([]));
        done(ask(&all, Method::POST, "tokens", &json!({"name": "again", "project": "a"})).await, 403);
    }
    let own = make(&all, "tokens", json!({"name": "own"})).await;
    done(ask(&all, Method::PATCH, &format!("tokens/{}", own["id"].as_str().expect("an id")), &json!({"project": "a"})).await, 403);
    let wish = json!({"name": "theirs", "project": "a", "owner": hal["id"]});
    let refused = done(ask(&admin, Method::POST, "tokens", &wish).await, 400);
    assert!(refused.to_string().contains("--add a:developer"), "{refused}");
    all.with_token(own["token"].as_str()).capital("open").await.said();
    stop(house).await;
}
