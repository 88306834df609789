//! Replies as engines send them, cut anywhere.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

fn link() -> (Link, DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    (Link::new(Box::new(ours)), theirs)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(2)
}

async fn ask(link: &mut Link) -> Result<Head, Unsent> {
    link.exchange(vec![Bytes::from_static(b"ask")], soon()).await
}

async fn rest(link: &mut Link) -> Result<Vec<u8>, Fault> {
    let mut all = Vec::new();
    while let Some(bytes) = std::future::poll_fn(|cx| link.poll_data(cx)).await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

/// What comes of a reply that is written in these pieces, and whether the connection may be used again.
async fn reply(pieces: &[&[u8]], hangs_up: bool) -> (Result<(u16, Vec<u8>), String>, bool) {
    let (mut link, mut engine) = link();
    let write = async {
        for piece in pieces {
            engine.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut asked = [0; 3];
        engine.read_exact(&mut asked).await.unwrap();
        if hangs_up { None } else { Some(engine) }
    };
    let read = async {
        let head = ask(&mut link).await.map_err(|unsent| unsent.fault.to_string())?;
        let body = rest(&mut link).await.map_err(|fault| fault.to_string())?;
        Ok((head.status.as_u16(), body))
    };
    let (outcome, _engine) = tokio::join!(read, write);
    (outcome, link.is_idle())
}

#[tokio::test]
async fn replies_of_every_framing_come_whole() {
    let cases: [(&str, bool, &str, bool); 8] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1;x=y\r\nh\r\n01\r\ni\r\n0\r\nTrail: er\r\n\r\n", false, "hi", true),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi", true),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi", false, "hi", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, "hi", false),
        ("HTTP/1.1 200 OK\r\n\r\nhi", true, "hi", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", false, "hi", false),
    ];
    for (bytes, hangs_up, body, again) in cases {
        let (outcome, idle) = reply(&[bytes.as_bytes()], hangs_up).await;
        assert_eq!(outcome, Ok((200, body.as_bytes().to_vec())), "{bytes}");
        assert_eq!(idle, again, "{bytes}");
    }
}

#[tokio::test]
async fn what_is_no_reply_is_refused() {
    let cases = [
        ("SSH-2.0-surprise\r\n\r\n", "begin as HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", "two lengths"),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\nContent-Length: x\r\n\r\nhi", "length"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nhi", "encoding"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "hung up"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "hung up"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n", "chunks"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "chunks"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", "chunks"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunks"),
        ("", "hung up"),
    ];
    for (bytes, words) in cases {
        let (outcome, idle) = reply(&[bytes.as_bytes()], true).await;
        assert!(outcome.as_ref().is_err_and(|error| error.contains(words)), "{bytes}: {outcome:?}");
        assert!(!idle);
    }
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(70 << 10));
    let pieces: Vec<&[u8]> = long.as_bytes().chunks(4096).collect();
    assert!(reply(&pieces, true).await.0.is_err_and(|error| error.contains("too long")));
}

#[tokio::test]
async fn an_answer_may_come_before_all_is_asked() {
    let (ours, mut engine) = duplex(1 << 10);
    let mut link = Link::new(Box::new(ours));
    engine.write_all(b"HTTP/1.1 413 Too Large\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let head = link.exchange(vec![Bytes::from(vec![b'x'; 1 << 20])], soon()).await.unwrap();
    assert_eq!((head.status.as_u16(), head.headers.unwrap().get("retry-after").unwrap().as_bytes()), (413, &b"1"[..]));
    assert_eq!(rest(&mut link).await.unwrap(), b"no");
    assert!(!link.is_idle(), "the rest of what was asked is not written");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_is_late_on_every_call() {
    let (mut link, mut engine) = link();
    for wait in [5, 1, 30] {
        let by = Instant::now() + Duration::from_secs(wait);
        let late = link.exchange(vec![Bytes::from_static(b"ask")], by).await.unwrap_err();
        assert!(matches!(late.fault, Fault::Late) && !late.untouched);
        assert_eq!(Instant::now(), by);
    }
    engine.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(ask(&mut link).await.unwrap().status, 200);
    drop(engine);
    assert!(!link.is_idle(), "it has hung up");
    assert!(ask(&mut link).await.unwrap_err().untouched);
}

proptest! {
    #[test]
    fn chunks_cut_anywhere_give_the_same_content(
        content in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12),
        cuts in prop::collection::vec(1_usize..30, 1..8),
    ) {
        let mut wire = Vec::new();
        for chunk in &content {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\nnext");
        let (mut framing, mut out, mut at, mut used) = (Framing::chunks(), BytesMut::new(), 0, 0);
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(wire.len());
            used += framing.decode(&wire[at..end], &mut out).unwrap();
            at = end;
            if at == wire.len() {
                break;
            }
        }
        prop_assert!(framing.is_done());
        prop_assert_eq!(used, wire.len() - "next".len());
        prop_assert_eq!(&out[..], &content.concat()[..]);
    }
}
