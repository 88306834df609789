//! What we connect to, and how long we wait.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::*;

/// Answers one connection after the other with these texts, and keeps the last one open.
fn server(answers: Vec<String>) -> (SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut line, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && line.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            asked.push(String::from_utf8(head).unwrap());
            line.write_all(answer.as_bytes()).unwrap();
            if !answer.contains("connection: close") {
                let _ = line.read(&mut byte); // until the client goes
            }
        }
        asked
    });
    (address, thread)
}

/// Off the runtime, which must go on to close the connection.
async fn joined(thread: std::thread::JoinHandle<Vec<String>>) -> Vec<String> {
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
}

fn open() -> Web {
    Web::new(Guard::default(), Patience { stall: Duration::from_secs(1), ..Patience::default() })
}

#[tokio::test]
async fn private_addresses_are_refused_by_name_by_number_and_behind_a_redirect() {
    let web = Web::new(Guard::new(Vec::new()), Patience::default());
    for url in ["http://127.0.0.1:1/x", "http://localhost:1/x", "http://[::1]:1/x", "http://[::ffff:10.0.0.1]:1/", "http://0.0.0.0/"] {
        let error = web.get(url, HeaderMap::new()).await.unwrap_err();
        assert!(matches!(error, Error::Private { .. }), "{url}: {error:?}");
    }
    let hop = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2:1/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, thread) = server(vec![hop.to_owned()]);
    let web = Web::new(Guard::new(vec!["127.0.0.1".parse().unwrap()]), Patience::default());
    let error = web.get(&format!("http://{address}/"), HeaderMap::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Private { what } if what.contains("127.0.0.2")), "{error:?}");
    joined(thread).await;
}

#[tokio::test]
async fn what_is_meant_for_one_host_goes_to_no_other() {
    let end = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let (second, second_thread) = server(vec![end.to_owned()]);
    let hop = format!(
        "HTTP/1.1 307 X\r\nx-linked-etag: \"abc\"\r\nlocation: http://{second}/y\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (first, first_thread) = server(vec![hop]);
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer(&Secret::new("hf_secret")).unwrap())]);
    let mut reply = open().get(&format!("http://{first}/x"), headers).await.unwrap();
    assert_eq!((reply.bytes(10).await.unwrap(), reply.linked("x-linked-etag")), (Bytes::from_static(b"ok"), Some("\"abc\"")));
    assert!(joined(first_thread).await[0].contains("hf_secret"));
    assert!(!joined(second_thread).await[0].contains("hf_secret"));
}

#[tokio::test]
async fn a_body_that_stalls_and_one_that_is_too_long_end_with_an_error() {
    let (address, thread) = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned()]);
    let mut reply = open().get(&format!("http://{address}/"), HeaderMap::new()).await.unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), "half");
    assert!(matches!(reply.chunk().await, Err(Error::Slow { what: "no more bytes", .. })));
    drop(reply);
    joined(thread).await;
    let (address, thread) = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlong".to_owned()]);
    let mut reply = open().get(&format!("http://{address}/"), HeaderMap::new()).await.unwrap();
    assert!(matches!(reply.bytes(3).await, Err(Error::TooLong { most: 3, .. })));
    drop(reply);
    joined(thread).await;
}

#[tokio::test]
async fn redirects_have_an_end() {
    let hop = "HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    let (address, thread) = server(vec![hop; MOST_HOPS + 1]);
    let error = open().get(&format!("http://{address}/"), HeaderMap::new()).await.unwrap_err();
    assert!(matches!(error, Error::TooManyHops(_)), "{error:?}");
    joined(thread).await;
}
