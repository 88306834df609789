//! What the head of a request decides, and how much of a body is read.

use http::{HeaderName, HeaderValue};

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn the_head_alone_refuses_media_types_codings_and_sizes() {
    let check = |pairs: &[(&'static str, &str)]| check(&headers(pairs), 100).map_err(|error| error.to_string());
    for fine in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"] {
        assert_eq!(check(&[("content-type", fine)]), Ok(()), "{fine}");
    }
    assert_eq!(check(&[]), Ok(()), "a client that says nothing sends JSON");
    for wrong in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
        assert!(check(&[("content-type", wrong)]).unwrap_err().contains("application/json"), "{wrong}");
    }
    assert!(check(&[("content-encoding", "gzip")]).unwrap_err().contains("gzip"));
    assert_eq!(check(&[("content-encoding", "identity"), ("content-length", "100")]), Ok(()));
    assert!(check(&[("content-length", "101")]).unwrap_err().contains("100 bytes"));
}

#[tokio::test]
async fn a_body_is_read_whole_up_to_the_limit_and_no_further() {
    let body = |pieces: &'static [&'static str]| {
        Body::from_stream(futures_util::stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))),
        ))
    };
    assert_eq!(read(Body::empty(), 4, 0).await.unwrap().0, "");
    assert_eq!(read(body(&["abcd"]), 4, 0).await.unwrap().0, "abcd");
    assert_eq!(read(body(&["ab", "", "c", "d"]), 4, 1 << 40).await.unwrap().0, "abcd");
    for over in [&["abcde"][..], &["ab", "cde"], &["a", "b", "c", "d", "e"]] {
        assert!(matches!(read(body(over), 4, 0).await, Err(Error::TooLarge { limit: 4 })), "{over:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_falls_silent_is_given_up() {
    let pieces = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
    let silent = Body::from_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::pending()));
    assert!(matches!(read(silent, 100, 0).await, Err(Error::SlowBody { after }) if after == BODY_SILENCE));
}

#[tokio::test]
async fn a_large_body_is_scanned_while_it_comes() {
    let picture = "A".repeat(1 << 20);
    let whole = format!(r#"{{"model":"m","messages":[{{"content":"{picture}"}}],"n":1}}"#);
    for size in [100 << 10, 64 << 10, 1 << 10, whole.len()] {
        let pieces: Vec<_> = whole.as_bytes().chunks(size).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let (bytes, reader) = read(body, 4 << 20, whole.len()).await.unwrap();
        assert_eq!(bytes, whole);
        assert_eq!(reader.is_some(), size < whole.len());
        let spans = reader.unwrap_or_default().finish(&bytes).unwrap();
        assert_eq!(spans.on(&bytes).u64("n"), Some(1));
    }
}
