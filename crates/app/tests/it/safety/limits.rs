//! What a client may bring and how slowly, byte by byte.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::ECHO;
use crate::stage::{Stage, stop, until};
use crate::wire::soon;

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n";

/// What comes back for these bytes until the server hangs up.
async fn said(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    if let Err(error) = soon(stream.read_to_end(&mut all)).await {
        // Who hangs up with something unread resets the connection.
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

fn headers(count: usize, size: usize) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let _ = write!(text, "x-{at}: {}\r\n", "y".repeat(size));
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_a_number_and_a_size_on_every_road() {
    let stage = Stage::new();
    let house = stage.house(&format!("limits: {{ headers: 70, header_bytes: 32KiB }}\n{ECHO}")).await;
    let token = stage.token().expect("a token");
    let post =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let body = r#"{"model":"echo","messages":[{"role":"user","content":"hi"}]}"#;
    let ask = async |head: &str, more: &str, body: &str| {
        let text = format!("{head}{more}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        said(house.address, text.as_bytes()).await
    };
    for (head, body) in [(GET, ""), (post.as_str(), body)] {
        for (count, size, expected) in
            [(60, 20, "200"), (64, 20, "200"), (70, 20, "431"), (1000, 1, "431"), (10, 1000, "200"), (10, 4000, "431"), (1, 100_000, "431")]
        {
            let answer = ask(head, &headers(count, size), body).await;
            assert_eq!(status(&answer), expected, "{count} of {size}: {answer}");
        }
    }
    // A path counts with the headers.
    let long = GET.replace("/healthz", &format!("/{}", "z".repeat(100_000)));
    assert!(["414", "431"].contains(&status(&ask(&long, "", "").await)));
    let line = stage.client(&house);
    let many: Vec<(String, String)> = (0..80).map(|at| (format!("x-{at}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(line.h2c_with("/v1/models", &many).await, 431, "HTTP/2 has no other number");
    assert_eq!(line.h2c_with("/v1/models", &many[..50]).await, 200);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_a_size() {
    let stage = Stage::new();
    let house = stage.house(&format!("max_body_bytes: 1MiB\n{ECHO}")).await;
    let token = stage.token().expect("a token");
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let announced = said(house.address, format!("{head}connection: close\r\ncontent-length: 1048577\r\n\r\n").as_bytes()).await;
    assert_eq!(status(&announced), "413", "told from the head");
    let mut stream = TcpStream::connect(house.address).await.expect("a connection");
    stream.write_all(format!("{head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes()).await.expect("sent");
    let piece = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        if stream.write_all(piece.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await;
    assert_eq!(status(&answer), "413", "{answer}");
    stop(house).await;
}

/// Three connections that have been answered and stay.
async fn three_inside(address: SocketAddr, get: &str) -> Vec<TcpStream> {
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(get.as_bytes()).await.expect("sent");
        assert!(soon(stream.read(&mut [0; 1024])).await.expect("an answer") > 0);
        inside.push(stream);
    }
    inside
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_one_more_is_closed() {
    let stage = Stage::new();
    let house = stage.house("limits: { connections_per_address: 3 }\n").await;
    let get = format!("{GET}\r\n");
    let mut inside = three_inside(house.address, &get).await;
    assert_eq!(status(&said(house.address, get.as_bytes()).await), "nothing");
    inside.pop();
    until("the place was given back", async || {
        (status(&said(house.address, format!("{GET}connection: close\r\n\r\n").as_bytes()).await) == "200").then_some(())
    })
    .await;
    drop(inside);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_not_counted_and_all_together_have_so_many() {
    let stage = Stage::new();
    let house = stage.house("trusted_proxies: [127.0.0.1]\nlimits: { connections: 3, connections_per_address: 1 }\n").await;
    let get = format!("{GET}\r\n");
    let mut inside = three_inside(house.address, &get).await;
    let mut waits = TcpStream::connect(house.address).await.expect("the system takes it");
    waits.write_all(get.as_bytes()).await.expect("sent");
    assert!(tokio::time::timeout(Duration::from_millis(200), waits.read(&mut [0; 64])).await.is_err(), "it is not accepted yet");
    inside.pop();
    assert!(soon(waits.read(&mut [0; 1024])).await.expect("an answer") > 0);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let stage = Stage::new();
    let house = stage.house("limits: { header_timeout: 300ms }\n").await;
    for text in [GET.to_owned(), format!("POST /v1/chat/completions HTTP/1.1\r\n{}", "x-a: b\r\n".repeat(100)), String::new()] {
        let (began, mut stream) = (Instant::now(), TcpStream::connect(house.address).await.expect("a connection"));
        let mut bytes = text.bytes().cycle();
        let ended = soon(async {
            loop {
                if let Some(byte) = bytes.next()
                    && stream.write_all(&[byte]).await.is_err()
                {
                    return;
                }
                if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 64])).await {
                    return;
                }
            }
        });
        ended.await;
        assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_or_trickles_is_not_waited_for() {
    let stage = Stage::new();
    let house = stage.house(&format!("limits: {{ body_timeout: 300ms, body_rate: 4KiB }}\n{ECHO}")).await;
    let token = stage.token().expect("a token");
    for path in ["/v1/chat/completions", "/api/v1/deployments"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{{"
        );
        for trickles in [false, true] {
            let (began, mut answer) = (Instant::now(), Vec::new());
            let mut stream = TcpStream::connect(house.address).await.expect("a connection");
            stream.write_all(head.as_bytes()).await.expect("sent");
            soon(async {
                loop {
                    if trickles && stream.write_all(b" ").await.is_err() {
                        return;
                    }
                    if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_millis(20), stream.read_buf(&mut answer)).await {
                        return;
                    }
                }
            })
            .await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            assert!(["400", "408", "nothing"].contains(&status(&answer)), "{path}: {answer}");
        }
    }
    stop(house).await;
    // At more than this rate it may take as long as it likes.
    let stage = Stage::new();
    let house = stage.house(&format!("limits: {{ body_timeout: 1s, body_rate: 4KiB }}\n{ECHO}")).await;
    let token = stage.token().expect("a token");
    let body = r#"{"model":"echo","messages":[{"role":"user","content":"hi"}]}"#;
    let body = format!("{body}{}", " ".repeat(25_000));
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(house.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    for piece in body.as_bytes().chunks(1000) {
        stream.write_all(piece).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = rest(&mut stream).await;
    assert_eq!(status(&answer), "200", "{answer}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_or_let_go_is_counted_by_reason() {
    let stage = Stage::new();
    // Those who say nothing are there until one more has come.
    let limits = "limits: { connections_per_address: 3, header_timeout: 2s, body_timeout: 300ms }\nclient_write_timeout: 500ms\n";
    let house = stage.house(&format!("{limits}{ECHO}")).await;
    let address = house.address;
    let counted = async |reason: &str| {
        let line = format!("penstock_connections_refused_total{{reason=\"{reason}\"}} ");
        let scrape = stage.client(&house).get("/metrics").await.text;
        scrape.lines().find_map(|one| one.strip_prefix(&line)?.parse::<u64>().ok()).expect("each reason is told from the start")
    };
    // From an address of their own, so that those who read the counts take no place among them.
    let socket = || {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).expect("an address of this machine");
        socket
    };
    let connect = async || socket().connect(address).await.expect("a connection");
    assert_eq!(counted("address_full").await, 0);

    let silent = [connect().await, connect().await, connect().await];
    let mut one_more = connect().await;
    assert_eq!(rest(&mut one_more).await, "");
    for mut stream in silent {
        assert_eq!(rest(&mut stream).await, "");
    }
    until("those who said nothing are gone", async || (counted("slow_head").await == 3).then_some(())).await;
    assert_eq!(counted("address_full").await, 1);

    let token = stage.token().expect("a token");
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let mut stream = connect().await;
    stream.write_all(format!("{head}content-length: 1000\r\n\r\n{{").as_bytes()).await.expect("sent");
    rest(&mut stream).await;
    until("a body that stopped is counted", async || (counted("slow_body").await == 1).then_some(())).await;

    // One who asks for much and takes nothing: what the system sets aside for it is soon full.
    let small = socket();
    small.set_recv_buffer_size(4096).expect("a size");
    let mut stream = small.connect(address).await.expect("a connection");
    let get = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(16);
    stream.write_all(get.as_bytes()).await.expect("sent");
    until("who takes nothing is counted", async || (counted("slow_reader").await == 1).then_some(())).await;
    drop(stream);
    stop(house).await;
}

/// The number at the beginning of some words, in bytes or in seconds where it has a unit.
fn amount(words: &str) -> Option<u64> {
    let words = words.trim();
    let (digits, rest) = words.split_at(words.find(|c: char| !c.is_ascii_digit()).unwrap_or(words.len()));
    let unit = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let one = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "m" | "min" => 60,
        "h" => 3600,
        _ => 1,
    };
    Some(digits.parse::<u64>().ok()? * one)
}

#[test]
fn the_page_about_limits_tells_the_defaults_that_are_set() {
    const PAGE: &str = "docs/reference/headers-and-limits.md";
    let page = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE)).expect("the page");
    let rows: Vec<Vec<&str>> =
        page.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('|').map(str::trim).collect()).collect();
    let set = serde_json::to_value(app::config::Config::default()).expect("JSON");
    let of_limits = app::config::keys().into_iter().map(|key| key.path).filter(|path| path.starts_with("limits."));
    for path in of_limits.chain(["max_body_bytes".to_owned(), "client_write_timeout".to_owned()]) {
        let row = rows.iter().find(|row| row[1] == format!("`{path}`")).unwrap_or_else(|| panic!("{PAGE} has no row for {path}"));
        let default = path.split('.').fold(&set, |value, key| &value[key]);
        let default = default.as_u64().or_else(|| amount(default.as_str()?));
        assert!(default.is_some() && amount(row[2]) == default, "{PAGE}: {path} is {default:?} when nothing is said, and not {}", row[2]);
    }
    for (what, bounds) in access::login::BOUNDS {
        let row = rows.iter().find(|row| row[1].starts_with(what)).unwrap_or_else(|| panic!("{PAGE} has no row for {what}"));
        let told = row[2].replace(',', "");
        let told: Vec<usize> = told.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
        assert!(told.starts_with(bounds), "{PAGE}: {what}: {bounds:?}, and not {}", row[2]);
    }
}
