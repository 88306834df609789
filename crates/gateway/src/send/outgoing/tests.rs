//! Where a call goes, and what is added to it.

use std::path::PathBuf;

use super::*;

#[test]
fn the_path_on_a_socket_is_ours_and_on_a_url_goes_below_its_base() {
    let at = |endpoint: &Endpoint, shape| {
        let (uri, path) = address(endpoint, shape).unwrap();
        (uri.authority().unwrap().to_string(), path)
    };
    let socket = Endpoint::Unix(PathBuf::from("/run/e.sock"));
    assert_eq!(at(&socket, Shape::Chat), ("localhost".to_owned(), "/v1/chat/completions".to_owned()));
    for base in ["http://10.0.0.1:9000/api/v1", "http://10.0.0.1:9000/api/v1/"] {
        let url = Endpoint::Url(base.to_owned());
        assert_eq!(at(&url, Shape::Embeddings), ("10.0.0.1:9000".to_owned(), "/api/v1/embeddings".to_owned()));
    }
    assert!(matches!(address(&Endpoint::Url("http://a b".to_owned()), Shape::Chat), Err(Error::Unsendable { .. })));
}

#[test]
fn the_clients_stream_options_stay_beside_our_wish_for_the_usage() {
    let scan = |body: &'static str| wire::scan::object(body.as_bytes()).unwrap();
    assert_eq!(stream_options(&scan(r#"{"model":"x"}"#)), r#"{"include_usage":true}"#);
    assert_eq!(stream_options(&scan(r#"{"stream_options":null}"#)), r#"{"include_usage":true}"#);
    assert_eq!(
        stream_options(&scan(r#"{"stream_options":{"include_obfuscation":false,"include_usage":false}}"#)),
        r#"{"include_obfuscation":false,"include_usage":true}"#
    );
}
