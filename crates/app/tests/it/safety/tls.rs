//! TLS at the front door, and certificates that change while it is open.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use app::config::Flags;
use app::serve::House;
use base::tasks;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ECHO;
use crate::client::Client;
use crate::stage::{Stage, stop, until};

/// Certificates are good until then.
const YEAR: i32 = 2096;
const CONFIG: &str = "tls: { cert: ./cert.pem, key: ./key.pem }\n";

/// One that signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine, and its key.
    pub(super) fn pair(&self) -> (String, String) {
        self.pair_until(YEAR)
    }

    /// One that expires when this year begins.
    fn pair_until(&self, year: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Writes a new pair, as a certificate's agent does: beside the old files, and then in their place.
    pub(super) fn write(&self, folder: &Path) {
        let (cert, key) = self.pair();
        for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
            std::fs::write(folder.join("new"), text).expect("a file");
            std::fs::rename(folder.join("new"), folder.join(name)).expect("a file");
        }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots).with_no_client_auth()
    }

    pub(super) async fn connect(&self, address: SocketAddr, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.config();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        connect(config, address).await
    }
}

async fn connect(config: ClientConfig, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// One ask on a connection of its own: the status and the body.
async fn ask(authority: &Authority, house: &House, request: &str) -> std::io::Result<String> {
    let mut stream = authority.connect(house.address, &[b"http/1.1"]).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn chat(token: &str, more: &str) -> String {
    let body = format!(r#"{{"model":"echo","messages":[{{"role":"user","content":"one two three"}}]{more}}}"#);
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn opened(config: &str) -> (Stage, Authority, House, String) {
    let (stage, authority) = (Stage::new(), Authority::new());
    authority.write(stage.folder());
    let house = stage.house(&format!("{CONFIG}{config}{ECHO}")).await;
    let token = stage.token().expect("a token");
    (stage, authority, house, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_over_tls_by_http_1_and_2_whole_and_in_streams() {
    let (_stage, authority, house, token) = opened("").await;
    assert!(house.url().starts_with("https://"));
    let whole = ask(&authority, &house, &chat(&token, "")).await.expect("an answer");
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.contains("three"), "{whole}");
    assert!(whole.contains("strict-transport-security: max-age=31536000"), "{whole}");
    // Without `connection: close` it takes the plain road, and the connection serves on.
    let mut stream = authority.connect(house.address, &[b"http/1.1"]).await.expect("a connection");
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    for more in ["", r#","stream":true"#, r#","stream":true"#, ""] {
        stream.write_all(chat(&token, more).replace("connection: close\r\n", "").as_bytes()).await.expect("sent");
        let (mut text, end) = (Vec::new(), if more.is_empty() { &b"}}"[..] } else { b"data: [DONE]\n\n\r\n0\r\n\r\n" });
        while !text.ends_with(end) {
            assert!(stream.read_buf(&mut text).await.expect("bytes") > 0, "{}", String::from_utf8_lossy(&text));
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("strict-transport-security"), "{text}");
    }
    let stream = authority.connect(house.address, &[b"h2", b"http/1.1"]).await.expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    let _driven = tasks::spawn("client", async move { drop(connection.await) });
    let body = json!({"model": "echo", "stream": true, "messages": [{"role": "user", "content": "one two three"}]});
    let request = Request::post(format!("https://localhost:{}/v1/chat/completions", house.address.port()))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.into_body().collect().await.expect("a stream").to_bytes();
    assert!(String::from_utf8_lossy(&text).ends_with("data: [DONE]\n\n"));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_cookie_that_only_this_host_can_set_and_no_script_can_read() {
    let (_stage, authority, house, token) = opened("").await;
    let (form, of_form) = (format!("token={token}&return_to=%2Fconsole"), "content-type: application/x-www-form-urlencoded\r\n");
    let head = "POST /auth/enter HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let entered =
        ask(&authority, &house, &format!("{head}{of_form}content-length: {}\r\n\r\n{form}", form.len())).await.expect("an answer");
    assert!(entered.starts_with("HTTP/1.1 303 "), "{entered}");
    let cookies: Vec<&str> = entered.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
    let [cookie] = cookies[..] else { panic!("{entered}") };
    let (held, rest) = cookie.split_once(';').expect("what is said of it");
    assert!(held.starts_with("__Host-penstock=") && held.len() > 50, "{cookie}");
    assert_eq!(rest, " Path=/; HttpOnly; SameSite=Lax; Secure", "no Domain: of this host alone");
    let get = "GET /api/v1/whoami HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let inside = ask(&authority, &house, &format!("{get}cookie: {held}\r\n\r\n")).await.expect("an answer");
    assert!(inside.starts_with("HTTP/1.1 200 ") && inside.contains("\"name\":\"admin\""), "{inside}");
    let other = held.replace("__Host-penstock", "penstock");
    let outside = ask(&authority, &house, &format!("{get}cookie: {other}\r\n\r\n")).await.expect("an answer");
    assert!(outside.starts_with("HTTP/1.1 401 "), "a name that anybody could set means nothing: {outside}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_under_load_and_no_call_fails() {
    const TURNS: usize = 20;
    let (stage, authority, mut house, token) = opened("").await;
    let (authority, over) = (Arc::new(authority), Arc::new(AtomicBool::new(false)));
    let (calls, address) = (Arc::new(AtomicUsize::new(0)), house.address);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (authority, over, calls, request) = (Arc::clone(&authority), Arc::clone(&over), Arc::clone(&calls), chat(&token, ""));
            let (send, receive) = tokio::sync::oneshot::channel();
            let task = tasks::spawn("caller", async move {
                let mut failed = Vec::new();
                while !over.load(SeqCst) {
                    let called = async {
                        let mut stream = authority.connect(address, &[b"http/1.1"]).await?;
                        stream.write_all(request.as_bytes()).await?;
                        let mut text = String::new();
                        stream.read_to_string(&mut text).await?;
                        Ok::<_, std::io::Error>(text)
                    };
                    match called.await {
                        Ok(text) if text.starts_with("HTTP/1.1 200") => drop(calls.fetch_add(1, SeqCst)),
                        other => failed.push(format!("{other:?}")),
                    }
                }
                let _ = send.send(failed);
            });
            (task, receive)
        })
        .collect();
    let flags = Flags { config: Some(stage.folder().join("penstock.yaml")), values: Vec::new() };
    let mut seen = Vec::new();
    for turn in 0..TURNS {
        let (cert, key) = authority.pair();
        // Both at once, as one look at them: a certificate's agent that is caught between the two files is refused, and the old pair stays.
        std::fs::write(stage.folder().join("key.pem"), key).expect("a file");
        house.reload(&flags).await.expect("a reload");
        std::fs::write(stage.folder().join("cert.pem"), cert).expect("a file");
        house.reload(&flags).await.expect("a reload");
        seen.push(shown(&authority, address).await);
        let so_far = calls.load(SeqCst);
        until("some calls came through", async || (calls.load(SeqCst) >= so_far + 4).then_some(())).await;
        assert_eq!(seen.len(), turn + 1);
    }
    over.store(true, SeqCst);
    for (_task, failed) in callers {
        assert_eq!(failed.await.expect("an end"), Vec::<String>::new());
    }
    seen.dedup();
    assert_eq!(seen.len(), TURNS, "each new connection gets the latest certificate");
    // Nobody has to say that the files are new.
    authority.write(stage.folder());
    until("the files were looked at", async || (shown(&authority, address).await != seen[TURNS - 1]).then_some(())).await;
    stop(house).await;
}

/// The certificate that a new connection is shown.
async fn shown(authority: &Authority, address: SocketAddr) -> Vec<u8> {
    let stream = authority.connect(address, &[]).await.expect("a connection");
    stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_is_refused_and_the_one_before_stays() {
    let (stage, authority, mut house, token) = opened("").await;
    let flags = Flags { config: Some(stage.folder().join("penstock.yaml")), values: Vec::new() };
    let before = shown(&authority, house.address).await;
    let other = authority.pair();
    for (name, text) in [("key.pem", other.1.as_str()), ("cert.pem", "rubbish"), ("cert.pem", other.0.as_str()), ("key.pem", "")] {
        std::fs::write(stage.folder().join(name), text).expect("a file");
        house.reload(&flags).await.expect("the rest is read");
        if name == "cert.pem" && text == other.0 {
            assert!(shown(&authority, house.address).await != before, "both belong together now");
            continue;
        }
        assert_eq!(shown(&authority, house.address).await == before, !text.is_empty(), "what was good stays");
    }
    let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    // The story is written down a moment after what it tells.
    let words = ["certificate_refused", "certificate_loaded", "is not that of the certificate in"];
    let events = until("it is told", async || {
        let events = ask(&authority, &house, &request).await.expect("events");
        words.iter().all(|word| events.contains(word)).then_some(events)
    })
    .await;
    assert!(!events.contains("BEGIN"), "{events}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_certificate_is_told_at_the_start() {
    let authority = Authority::new();
    let ((cert, key), (_, other)) = (authority.pair(), authority.pair());
    let cases: [(&str, &str, &str); 5] = [
        (&cert, &other, "is not that of the certificate in"),
        ("no certificate", &key, "no certificate in it"),
        (&cert, &cert, "no private key in it"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", &key, "it is no PEM"),
        (&key, &key, "no certificate in it"),
    ];
    for (cert, key, expected) in cases {
        let stage = Stage::new();
        std::fs::write(stage.folder().join("cert.pem"), cert).expect("a file");
        std::fs::write(stage.folder().join("key.pem"), key).expect("a file");
        let error = House::start(stage.settings(CONFIG)).await.expect_err("it cannot start");
        let said = base::chain(&error);
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(base::Fault::hint(&error).is_some_and(|hint| hint.contains("tls.cert")) && !said.contains("PRIVATE"), "{said}");
    }
    let stage = Stage::new();
    let error = House::start(stage.settings(CONFIG)).await.expect_err("there are no files");
    assert!(base::chain(&error).contains("cert.pem"), "{}", base::chain(&error));
}

/// The greeting of a client that speaks nothing newer than this version.
fn hello(version: u8) -> Vec<u8> {
    let mut body = vec![3, version];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x13, 0x00, 0x2f]); // two suites of old
    body.extend([1, 0]); // no compression
    body.extend([0, 24]); // extensions: how it is signed, on which curve, written how
    body.extend([0, 13, 0, 6, 0, 4, 4, 3, 8, 4, 0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0]);
    let length = u8::try_from(body.len()).expect("short");
    let mut message = vec![1, 0, 0, length];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).expect("short")];
    record.extend(message);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_old_and_plain_http_are_refused_and_told_why() {
    let (_stage, authority, house, _) = opened("").await;
    for version in [0, 1, 2] {
        let mut stream = TcpStream::connect(house.address).await.expect("a connection");
        stream.write_all(&hello(version)).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        // An alert, fatal, of the version of the protocol (70).
        assert_eq!((answer.first(), answer.get(5..7)), (Some(&21), Some(&[2, 70][..])), "3.{version}: {answer:?}");
    }
    let mut config = authority.config();
    config.alpn_protocols = vec![b"h3".to_vec()];
    assert!(connect(config, house.address).await.is_err(), "nothing that is spoken here");
    let mut stream = TcpStream::connect(house.address).await.expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("this address speaks TLS; write https://\r\n"), "{answer}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_need_certificates_those_without_are_refused() {
    let stage = Stage::new();
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.write(stage.folder());
    std::fs::write(stage.folder().join("ca.pem"), clients.pem()).expect("a file");
    let config = "tls: { cert: ./cert.pem, key: ./key.pem, client_ca: ./ca.pem }\n";
    let house = stage.house(&format!("{config}{ECHO}")).await;
    let get = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    // With TLS 1.3 a client hears of it only when it reads.
    assert!(ask(&authority, &house, get).await.is_err());
    for (signer, expected) in [(&clients, true), (&authority, false)] {
        let (cert, key) = signer.pair();
        let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).collect::<Result<Vec<_>, _>>().expect("a chain");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let config = builder.with_client_auth_cert(chain, key).expect("a config");
        let asked = async {
            let mut stream = connect(config, house.address).await?;
            stream.write_all(get.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let answer = asked.await;
        assert_eq!(answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200")), expected, "{answer:?}");
    }
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_tls_with_an_authority_that_it_is_told() {
    let (stage, authority, house, _) = opened("").await;
    let ca = stage.folder().join("ca.pem");
    std::fs::File::create(&ca).expect("a file").write_all(authority.pem().as_bytes()).expect("a file");
    let url = format!("https://localhost:{}", house.address.port());
    let ca = ca.display().to_string();
    let verb = |words: &[&str]| {
        let output = crate::process::penstock(&stage).args(words).output().expect("penstock");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let token = stage.token().expect("a token");
    let asked = tokio::task::block_in_place(|| verb(&["list", "--server", &url, "--token", &token, "--cacert", &ca]));
    assert!(asked.0 == Some(0) && asked.1.contains("echo"), "{asked:?}");
    // The server of this machine is found by itself; its certificate has this machine's address.
    let asked = tokio::task::block_in_place(|| verb(&["list", "--cacert", &ca]));
    assert!(asked.0 == Some(0) && asked.1.contains("echo"), "{asked:?}");
    let distrusted = tokio::task::block_in_place(|| verb(&["list", "--server", &url, "--token", &token]));
    assert!(distrusted.0 == Some(5) && distrusted.2.contains("--cacert"), "{distrusted:?}");
    let useless = tokio::task::block_in_place(|| verb(&["list", "--server", &url, "--cacert", "/dev/null"]));
    assert!(useless.0 == Some(2) && useless.2.contains("no certificate in it"), "{useless:?}");
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_nothing_says_that_there_is_any() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let health = Client::new(house.address, None).get("/healthz").await;
    assert!(health.status == 200 && health.header("strict-transport-security").is_empty());
    stop(house).await;
}

/// What a scrape of a door with TLS shows.
pub(crate) async fn scrape() -> String {
    let (_stage, authority, house, _) = opened("").await;
    let text = scraped(&authority, &house).await;
    stop(house).await;
    text
}

async fn scraped(authority: &Authority, house: &House) -> String {
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    ask(authority, house, request).await.expect("a scrape")
}

/// The value of a line of a scrape that begins so.
fn value(scrape: &str, line: &str) -> Option<f64> {
    scrape.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_when_the_certificate_expires_and_follows_a_new_one() {
    const NAME: &str = "penstock_tls_certificate_expiry_timestamp_seconds";
    /// 1 January of 2096, and of 2031.
    const ENDS: [f64; 2] = [3_976_214_400.0, 1_924_992_000.0];
    let (stage, authority, mut house, _) = opened("").await;
    assert_eq!(value(&scraped(&authority, &house).await, NAME), Some(ENDS[0]));
    let (cert, key) = authority.pair_until(2031);
    for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
        std::fs::write(stage.folder().join(name), text).expect("a file");
    }
    let flags = Flags { config: Some(stage.folder().join("penstock.yaml")), values: Vec::new() };
    house.reload(&flags).await.expect("a reload");
    assert_eq!(value(&scraped(&authority, &house).await, NAME), Some(ENDS[1]));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_no_tls_or_shakes_no_hand_is_counted() {
    let (_stage, authority, house, _) = opened("").await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 16]] {
        let mut stream = TcpStream::connect(house.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        drop(stream.read_to_end(&mut Vec::new()).await);
    }
    until("both are counted", async || {
        let scrape = scraped(&authority, &house).await;
        let of = |reason: &str| value(&scrape, &format!("penstock_connections_refused_total{{reason=\"{reason}\"}}"));
        (of("no_tls") == Some(1.0) && of("bad_handshake") == Some(1.0)).then_some(())
    })
    .await;
    stop(house).await;
}
