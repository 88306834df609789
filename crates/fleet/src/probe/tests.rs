//! Does a probe listen only for as long as there is something to hear?

use std::path::Path;
use std::time::Duration;

use base::tasks::{self, Task};
use engine::Probe;
use spec::{Endpoint, EngineKind, InstanceId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{RISING, Target, Watched, until_ready};

const SOON: Duration = Duration::from_secs(20);

/// Loads for so long, and then answers for its health and for nothing else.
fn deaf(socket: &Path, load: Duration) -> Task {
    let (listener, up_at) = (UnixListener::bind(socket).unwrap(), Instant::now() + load);
    tasks::spawn("deaf engine", async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks::spawn("deaf engine's connection", answer(stream, up_at)).detach();
        }
    })
}

async fn answer(mut stream: UnixStream, up_at: Instant) {
    let mut asked = [0; 1024];
    let read = stream.read(&mut asked).await.unwrap_or(0);
    if asked[..read].starts_with(b"GET /metrics") {
        std::future::pending::<()>().await;
    }
    let status = if Instant::now() >= up_at { "200 OK" } else { "503 Service Unavailable" };
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes()).await; // a probe may leave
}

#[tokio::test]
async fn the_silence_of_one_that_has_just_come_up_is_not_as_long_as_its_load() {
    const LOAD: Duration = Duration::from_millis(1_500);
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("e.sock");
    let _server = deaf(&socket, LOAD);
    let engine = engine::engine(EngineKind::LlamaServer);
    let target = Target {
        id: InstanceId::new("i"),
        engine,
        endpoint: Endpoint::Unix(socket),
        key: None,
        probe: Probe { timeout: Duration::from_millis(100), ..engine.probe() },
        http2: false,
        sleeps: false,
        fills: false,
        outbound: net::Guard::default(),
    };
    let (reports, _told) = mpsc::channel(64);
    let watched = Watched::new(target, reports);
    let silent = async {
        loop {
            let silent = watched.beat().silent;
            if silent > Duration::ZERO {
                return silent;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let silent = tokio::time::timeout(SOON, silent).await.expect("it is listened to");
    assert!(silent < LOAD, "{silent:?}: nobody listened while it loaded");
}

#[tokio::test]
async fn one_behind_a_url_that_is_not_ready_is_asked_once_a_second_and_then_ever_more_seldom() {
    let endpoint = Endpoint::Url("http://127.0.0.1:1/v1".to_owned());
    assert_eq!([1, 2, 3, 4, 5, 1000].map(|unready| until_ready(&endpoint, 1, unready).as_secs()), [1, 2, 4, 8, 10, 10]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = engine::engine(EngineKind::Openai);
    let target = Target {
        id: InstanceId::new("i"),
        engine,
        endpoint: Endpoint::Url(format!("http://{}/v1", listener.local_addr().unwrap())),
        key: None,
        probe: engine.probe(),
        http2: false,
        sleeps: false,
        fills: false,
        outbound: net::Guard::default(),
    };
    let (reports, _told) = mpsc::channel(64);
    let _watched = Watched::new(target, reports);
    let mut asked = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = tokio::time::timeout(SOON, listener.accept()).await.expect("it is asked").unwrap();
        asked.push(Instant::now());
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
    assert!(asked[1] - asked[0] >= Duration::from_millis(900), "{:?}", asked[1] - asked[0]);
}

#[test]
fn one_that_has_loaded_for_long_is_still_asked_so_often_that_ready_is_seen_within_a_tenth_of_a_second() {
    const ASK_TAKES: Duration = Duration::from_millis(50);
    assert!(RISING.iter().all(|pause| *pause + ASK_TAKES <= Duration::from_millis(100)), "{RISING:?}");
}
