//! The small client against canned replies.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use super::{Call, send};

/// Answers one call with these bytes; gives what it was asked.
pub(crate) fn canned(reply: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut piece = [0; 1024];
        while !ends(&asked) {
            let n = stream.read(&mut piece).unwrap();
            asked.extend(&piece[..n]);
        }
        stream.write_all(reply.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, server)
}

/// True when the head, and a body that ends in a brace, are complete.
fn ends(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| !head.contains("Content-Length") || body.ends_with('}'))
}

const GET: Call<'static> = Call { path: "/readyz", token: None, body: None };

#[test]
fn a_chunked_body_is_read_line_by_line_wherever_it_is_cut() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\n\r\n1;x=y\r\nc\r\n3\r\nd\ne\r\n0\r\n\r\n";
    let (address, _server) = canned(reply);
    let mut reply = send(address, GET).unwrap();
    assert_eq!(reply.status, 200);
    let lines: Vec<String> = std::iter::from_fn(|| reply.line().unwrap()).collect();
    assert_eq!(lines, ["ab", "cd", "e"]);
}

#[test]
fn a_chunked_body_that_breaks_off_is_an_error() {
    for reply in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    ] {
        let (address, _server) = canned(reply);
        let error = send(address, GET).unwrap().rest().unwrap_err();
        assert!(error.to_string().contains("broke off"), "{error}");
    }
}

#[test]
fn a_body_of_known_length_and_one_until_the_end_are_read() {
    for reply in ["HTTP/1.1 503 Busy\r\nContent-Length: 7\r\n\r\nloading", "HTTP/1.0 503 Busy\r\n\r\nloading"] {
        let (address, _server) = canned(reply);
        let mut reply = send(address, GET).unwrap();
        assert_eq!(reply.status, 503);
        assert_eq!(reply.rest().unwrap(), "loading");
    }
}

#[test]
fn a_post_carries_its_token_and_its_body() {
    let (address, server) = canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    send(address, Call { path: "/v1/x", token: Some("psk_1"), body: Some("{\"a\":1}") }).unwrap();
    let asked = server.join().unwrap();
    assert!(asked.starts_with("POST /v1/x HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("Authorization: Bearer psk_1\r\n") && asked.ends_with("\r\n\r\n{\"a\":1}"), "{asked}");
}

#[test]
fn what_is_not_http_is_refused() {
    for (reply, why) in [("", "closed without a reply"), ("SSH-2.0\r\n", "not an HTTP reply")] {
        let (address, _server) = canned(reply);
        let error = send(address, GET).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}
