//! Who wants to be told of what happens is told: by a house in service, through every end of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base::tasks::{self, Task};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::process::Process;
use crate::stage::{Stage, stop, until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ECHO: &str = "deployments:\n  - { name: echo, engine: echo }\n";

/// A receiver that answers with one status, which can be changed.
struct Receiver {
    address: SocketAddr,
    status: Arc<Mutex<u16>>,
    got: Arc<Mutex<Vec<Value>>>,
    _task: Task,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (status, got) = (Arc::new(Mutex::new(200)), Arc::<Mutex<Vec<Value>>>::default());
        let (answers, taken) = (Arc::clone(&status), Arc::clone(&got));
        let task = tasks::spawn("receiver", async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, taken) = (Arc::clone(&answers), Arc::clone(&taken));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, taken) = (Arc::clone(&answers), Arc::clone(&taken));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        verify(&head.headers, &body);
                        let status = *answers.lock().expect("the status");
                        if status == 200 {
                            taken.lock().expect("the list").push(serde_json::from_slice(&body).expect("a document"));
                        }
                        Ok::<_, hyper::Error>(Response::builder().status(status).body(Full::new(Bytes::new())).expect("an answer"))
                    }
                });
                let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.push(tasks::spawn("receiver-connection", async move { drop(serve.await) }));
            }
        });
        Self { address, status, got, _task: task }
    }

    fn answers(&self, status: u16) {
        *self.status.lock().expect("the status") = status;
    }

    fn got(&self) -> Vec<Value> {
        self.got.lock().expect("the list").clone()
    }

    fn config(&self, stage: &Stage) -> String {
        std::fs::write(stage.folder().join("hook.secret"), SECRET).expect("a file");
        format!(
            "webhooks:\n  - name: pager\n    url: http://{}/secret-path\n    secret_file: hook.secret\n    timeout: 5s\n    \
             retry: {{ first: 10ms, most: 50ms }}\n{ECHO}",
            self.address
        )
    }
}

/// That whoever sent this knows the secret.
fn verify(headers: &HeaderMap, body: &[u8]) {
    let text = |name: &str| headers[name].to_str().expect("text").to_owned();
    let wanted = testkit::signature(SECRET, &text("webhook-id"), &text("webhook-timestamp"), body);
    assert_eq!(Some(text("webhook-signature")), wanted);
}

/// Every event that the API has, by its id.
async fn story(client: &Client) -> BTreeMap<u64, Value> {
    let all = client.get("/api/v1/events?after=0&limit=1000").await.json();
    let items = all["items"].as_array().expect("items");
    items.iter().map(|event| (event["id"].as_u64().expect("an id"), event.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_tells_its_whole_story_to_a_receiver_and_shows_how_that_goes() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let house = stage.house(&receiver.config(&stage)).await;
    let client = stage.client(&house);
    let chat = json!({"model": "echo", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(client.post("/v1/chat/completions", &chat).await.status, 200);
    let is_ready = |event: &Value| event["phase"][1] == "ready";
    until("what happened is stored", async || story(&client).await.values().any(is_ready).then_some(())).await;
    let (told, got) = until("it has it all", async || {
        let (told, got) = (story(&client).await, receiver.got());
        (told.len() == got.len()).then_some((told, got))
    })
    .await;
    let data: Vec<Value> = got.iter().map(|document| document["data"].clone()).collect();
    assert_eq!(data, told.values().cloned().collect::<Vec<_>>(), "the same, in the same order");
    assert!(data.iter().all(|event| event["cause"]["kind"].is_string() && event["cause"]["kind"] != "unknown"), "{data:#?}");
    let kinds: Vec<&str> = data.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds[..2], ["deployment_created", "started"], "{kinds:?}");
    let ready = data.iter().find(|event| is_ready(event)).expect("it became ready");
    assert_eq!(ready["cause"]["kind"], "demand", "{ready}");

    receiver.answers(500);
    client.post("/api/v1/deployments/echo/unload", &Value::Null).await;
    let shown = until("it fails", async || {
        let shown = client.get("/api/v1/webhooks").await.json()["items"][0].clone();
        (shown["state"] == "failing" && shown["lag"].as_u64() > Some(2)).then_some(shown)
    })
    .await;
    assert_eq!(shown["last_failure"]["what"], "it answers 500");
    assert!(!shown.to_string().contains("secret"), "neither the secret nor the path: {shown}");
    let metrics = client.get("/metrics").await.text;
    for name in ["penstock_webhook_failures_total", "penstock_webhook_lag_events", "penstock_webhook_dropped_total"] {
        assert!(metrics.lines().any(|line| line.starts_with(&format!("{name}{{webhook=\"pager\"}}"))), "{name}: {metrics}");
    }
    receiver.answers(410);
    client.post("/api/v1/webhooks/pager/resume", &Value::Null).await;
    until("it is disabled", async || {
        let all = client.get("/api/v1/events?kind=webhook_disabled").await.json();
        (!all["items"].as_array().expect("items").is_empty()).then_some(())
    })
    .await;
    receiver.answers(200);
    assert_eq!(client.post("/api/v1/webhooks/pager/resume", &Value::Null).await.status, 202);
    assert_eq!(client.post("/api/v1/webhooks/nobody/resume", &Value::Null).await.status, 404);
    until("it has it all", async || (story(&client).await.len() == receiver.got().len()).then_some(())).await;
    stop(house).await;
    // An instance that was still on its way out then may come after it.
    let last = receiver.got().split_off(got.len());
    assert!(last.iter().any(|event| event["data"]["kind"] == "stopping"), "what happens at the end is told as well: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_outage_loses_no_event() {
    let (stage, receiver) = (Stage::new(), Receiver::start().await);
    let config = receiver.config(&stage);
    let mut process = Process::start(&stage, &config).await;
    until("it is told of the start", async || (receiver.got().len() >= 2).then_some(())).await;
    receiver.answers(503);
    let chat = json!({"model": "echo", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(process.client.post("/v1/chat/completions", &chat).await.status, 200);
    until("it happened", async || (story(&process.client).await.len() > 6).then_some(())).await;
    process.signal(Signal::SIGKILL);
    process.ended().await;
    receiver.answers(200);
    let process = Process::start(&stage, &config).await;
    let told = until("it has it all", async || {
        let told: Vec<u64> = story(&process.client).await.into_keys().collect();
        let mut got: Vec<u64> =
            receiver.got().iter().map(|document| document["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")).collect();
        assert!(got.is_sorted(), "in order: {got:?}");
        got.dedup();
        (got == told && told.len() > 8).then_some(told)
    })
    .await;
    assert!(told.windows(2).all(|two| two[0] < two[1]), "{told:?}");
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_is_read_again_with_the_config() {
    let (stage, first, second) = (Stage::new(), Receiver::start().await, Receiver::start().await);
    let mut house = stage.house(&first.config(&stage)).await;
    let client = stage.client(&house);
    // That the deployment was made, and that the house has started; nobody has asked for more yet.
    let told = until("the first has it all", async || {
        let told = story(&client).await.len();
        (told >= 2 && first.got().len() == told).then_some(told)
    })
    .await;

    stage.write_config(&second.config(&stage).replace("hook.secret", "no.secret"));
    let refused = house.reload(&app::config::Flags::default()).await.expect_err("no secret");
    assert!(base::chain(&refused).contains("no.secret"), "{refused}");
    assert!(client.get("/api/v1/webhooks").await.text.contains(&first.address.to_string()), "nothing has changed");

    stage.write_config(&second.config(&stage).replace("pager", "log"));
    house.reload(&app::config::Flags::default()).await.expect("a config");
    let shown = client.get("/api/v1/webhooks").await.json();
    let names: Vec<&str> = shown["items"].as_array().expect("items").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["log"]);
    client.post("/api/v1/deployments/echo/load", &Value::Null).await;
    until("the second is told that it is ready", async || {
        second.got().iter().any(|document| document["data"]["phase"][1] == "ready").then_some(())
    })
    .await;
    assert_eq!(first.got().len(), told, "the first is not told any more");
    let newer = second.got().iter().all(|document| document["id"].as_str().and_then(|id| id.parse().ok()) > Some(told));
    assert!(newer, "a new one begins with what happens next");
    stop(house).await;
}

/// A program of the machine, done.
fn does(program: &str, folder: &std::path::Path, words: &str) -> bool {
    let ran = std::process::Command::new(program).args(words.split(' ')).current_dir(folder).output();
    ran.is_ok_and(|done| done.status.success())
}

/// An authority of its own, and a certificate by it for this machine.
fn certificates(folder: &std::path::Path) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1").expect("a file");
    does("openssl", folder, &format!("req -x509 {key} -subj /CN=ca -keyout ca.key -out ca.pem"))
        && does("openssl", folder, &format!("req {key} -subj /CN=receiver -keyout server.key -out server.csr"))
        && does("openssl", folder, "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem")
}

/// Takes events by TLS, one connection after the other, and hands each body on.
fn tls_receiver(folder: &std::path::Path) -> (SocketAddr, std::sync::mpsc::Receiver<Value>) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).expect("a pair"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (taken, got) = std::sync::mpsc::channel();
    let serve = move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break; // it does not trust us, or has gone
                }
                length = line.to_lowercase().strip_prefix("content-length:").map_or(length, |n| n.trim().parse().expect("a number"));
                if line == "\r\n" {
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).expect("a body");
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    stream.get_mut().write_all(answer).expect("an answer");
                    if taken.send(serde_json::from_slice(&body).expect("a document")).is_err() {
                        return; // the test is over
                    }
                    break;
                }
            }
        }
    };
    drop(tasks::thread("tls-receiver", serve).expect("a thread"));
    (address, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_by_tls_to_a_receiver_that_the_machine_trusts_and_to_no_other() {
    let stage = Stage::new();
    if !certificates(stage.folder()) {
        println!("skipped: no openssl");
        return;
    }
    let (address, got) = tls_receiver(stage.folder());
    std::fs::write(stage.folder().join("hook.secret"), SECRET).expect("a file");
    let config = format!(
        "webhooks:\n  - {{ name: safe, url: 'https://{address}/x', secret_file: hook.secret, retry: {{ first: 10ms, most: 50ms }} }}\n{ECHO}"
    );
    let mut process = Process::start(&stage, &config).await;
    let shown = until("it is not trusted", async || {
        let shown = process.client.get("/api/v1/webhooks").await.json()["items"][0].clone();
        (shown["state"] == "failing").then_some(shown)
    })
    .await;
    assert!(shown["last_failure"]["what"].as_str().is_some_and(|what| what.contains("certificate")), "{shown}");
    process.signal(Signal::SIGTERM);
    process.ended().await;
    assert!(got.try_recv().is_err(), "nothing was told to whom nobody trusts");
    let trusted = stage.folder().join("ca.pem").display().to_string();
    let process = Process::start_with(&stage, &config, &[("SSL_CERT_FILE", &trusted)]).await;
    let first = tokio::task::spawn_blocking(move || got.recv_timeout(crate::stage::PATIENCE)).await.expect("a look").expect("an event");
    assert_eq!((first["id"].as_str(), first["data"]["kind"].as_str()), (Some("1"), Some("deployment_created")));
    drop(process);
}
