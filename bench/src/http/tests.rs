//! Bodies come out whole however they were cut.

use super::{Body, Step, reply, request};

/// Feeds `wire` in pieces of `size` bytes, carrying over what was not whole.
fn read(mut body: Body, wire: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut all, mut carry) = (Vec::new(), Vec::new());
    for piece in wire.chunks(size) {
        carry.extend_from_slice(piece);
        let bytes = std::mem::take(&mut carry);
        let mut input = bytes.as_slice();
        loop {
            match body.next(&mut input).expect("it is HTTP") {
                Step::Data(data) => all.extend_from_slice(data),
                Step::End => return (all, true),
                Step::Need => break,
            }
        }
        carry.extend_from_slice(input);
    }
    (all, false)
}

#[test]
fn chunks_cut_anywhere_make_the_same_body() {
    let wire = b"5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nx: y\r\n\r\n";
    for size in 1..=wire.len() {
        assert_eq!(read(Body::ChunkLine, wire, size), (b"hello world".to_vec(), true), "pieces of {size}");
    }
    assert!(!read(Body::ChunkLine, &wire[..wire.len() - 1], 7).1, "a body without its end is not whole");
}

#[test]
fn a_length_ends_a_body_and_what_follows_is_left() {
    let mut body = Body::Length(3);
    let mut input = b"abcdef".as_slice();
    assert_eq!(body.next(&mut input).expect("it is HTTP"), Step::Data(b"abc"));
    assert_eq!(body.next(&mut input).expect("it is HTTP"), Step::End);
    assert_eq!(input, b"def");
}

#[test]
fn a_head_says_where_its_body_ends() {
    let mut path = "";
    let head = request(b"POST /v1/x HTTP/1.1\r\nCONTENT-length: 12\r\n\r\n", &mut path).expect("HTTP").expect("whole");
    assert_eq!((path, head.body, head.close), ("/v1/x", Body::Length(12), false));
    let head = reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nx").expect("HTTP").expect("whole");
    assert_eq!((head.status, head.body, head.close), (200, Body::ChunkLine, true));
    assert!(reply(b"HTTP/1.1 200 OK\r\nTrans").expect("HTTP so far").is_none());
    assert!(reply(b"SSH-2.0-x\r\n").is_err());
}
