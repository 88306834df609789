//! An answer is followed to its end however it was cut, and nothing altered passes for exact.

use std::net::{SocketAddr, TcpListener};

use super::{Client, Right, Said};
use crate::pipe::Pipe;
use crate::script::{self, Script};

fn client() -> Client {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let stream = std::net::TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    stream.set_nonblocking(true).expect("no waiting");
    Client::new(Pipe::new(mio::net::TcpStream::from_std(stream)))
}

/// A stream of two events as the upstream writes it.
fn stream() -> Vec<u8> {
    let script = Script::new();
    let mut wire = script.stream_head.to_vec();
    script::event(&mut wire, 0, 1);
    script::event(&mut wire, 1, 2);
    script::chunk(&mut wire, &[script.finish]);
    wire.extend_from_slice(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    wire
}

/// What a client says of bytes that come in pieces; each piece follows what was kept of the one before.
fn hear(wire: &[u8], size: usize, right: &Right) -> anyhow::Result<(usize, Option<bool>)> {
    let mut client = client();
    let (mut events, mut end) = (0, None);
    let mut kept: Vec<u8> = Vec::new();
    for piece in wire.chunks(size) {
        kept.extend_from_slice(piece);
        client.hear(&kept, right, |said| match said {
            Said::Event { .. } => events += 1,
            Said::End { exact, .. } => end = Some(exact),
        })?;
        kept = client.pipe.take_kept();
    }
    Ok((events, end))
}

#[test]
fn a_stream_cut_anywhere_is_the_same_stream() {
    let wire = stream();
    let right = Right { body: None, events: 2 };
    for size in [1, 2, 3, 7, 100, 210, wire.len()] {
        assert_eq!(hear(&wire, size, &right).expect("a stream"), (2, Some(true)), "pieces of {size}");
    }
}

#[test]
fn an_altered_event_and_a_missing_one_are_seen() {
    let text = String::from_utf8(stream()).expect("text");
    let altered = text.replacen("bench", "BENCH", 1).into_bytes();
    let right = Right { body: None, events: 2 };
    assert_eq!(hear(&altered, altered.len(), &right).expect("a stream"), (2, Some(false)));
    let wire = stream();
    assert!(hear(&wire, wire.len(), &Right { body: None, events: 3 }).is_err(), "an event is missing");
}

#[test]
fn an_altered_reply_and_a_refusal_are_seen() {
    let script = Script::new();
    let right = Right { body: Some(script.reply_body.as_slice().into()), events: 0 };
    assert_eq!(hear(&script.reply, 100, &right).expect("a reply"), (0, Some(true)));
    let mut altered = script.reply.to_vec();
    let last = altered.len() - 5;
    altered[last] ^= 1;
    assert_eq!(hear(&altered, 100, &right).expect("a reply"), (0, Some(false)));
    let refused = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow";
    let told = hear(refused, refused.len(), &right).expect_err("a refusal");
    assert_eq!(told.to_string(), "status 429: slow");
}
