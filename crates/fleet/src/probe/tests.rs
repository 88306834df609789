//! Does a probe listen only for as long as there is something to hear?

use std::path::Path;
use std::time::Duration;

use base::tasks::{self, Task};
use engine::Probe;
use spec::{Endpoint, EngineKind, InstanceId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{RISING, Target, Watched};

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

#[test]
fn one_that_has_loaded_for_long_is_still_asked_so_often_that_ready_is_seen_within_a_tenth_of_a_second() {
    const ASK_TAKES: Duration = Duration::from_millis(50);
    assert!(RISING.iter().all(|pause| *pause + ASK_TAKES <= Duration::from_millis(100)), "{RISING:?}");
}
