//! Where a call goes, and what is added to it.

use super::*;

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
