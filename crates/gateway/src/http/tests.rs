//! What the head of a request decides, and how much of a body is read.

use http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let kept = Arrival::now(&headers(&[("x-request-id", "abc-123.x:y_z")]));
    assert_eq!((&*kept.id, kept.borrowed_id), ("abc-123.x:y_z", true));
    for bad in ["", "with space", "semi;colon", &"x".repeat(LONGEST_ID + 1)] {
        let own = Arrival::now(&headers(&[("x-request-id", bad)]));
        assert!(own.id.starts_with("req_") && !own.borrowed_id, "{bad:?} gave {}", own.id);
    }
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
    assert_eq!(read(Body::empty(), 4).await.unwrap(), "");
    assert_eq!(read(body(&["abcd"]), 4).await.unwrap(), "abcd");
    assert_eq!(read(body(&["ab", "", "c", "d"]), 4).await.unwrap(), "abcd");
    for over in [&["abcde"][..], &["ab", "cde"], &["a", "b", "c", "d", "e"]] {
        assert!(matches!(read(body(over), 4).await, Err(Error::TooLarge { limit: 4 })), "{over:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_falls_silent_is_given_up() {
    let pieces = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
    let silent = Body::from_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::pending()));
    assert!(matches!(read(silent, 100).await, Err(Error::SlowBody { after }) if after == BODY_SILENCE));
}
