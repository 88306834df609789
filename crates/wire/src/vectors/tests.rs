//! Vectors reach each client in the form it asked for, bit for bit.

use proptest::prelude::*;

use super::*;

fn right(body: &str, base64: bool) -> Option<String> {
    put_right(&Bytes::copy_from_slice(body.as_bytes()), base64).unwrap().map(|body| String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn what_is_right_is_not_touched() {
    let numbers = r#"{"object":"list","data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[2]}]}"#;
    let text = r#"{"data":[{"embedding":"AACAPw=="}],"usage":{}}"#;
    assert_eq!((right(numbers, false), right(text, true), right("{}", true)), (None, None, None));
}

#[test]
fn numbers_become_base64_and_back_and_nothing_else_changes() {
    let numbers =
        r#"{"object":"list","data":[ {"object":"embedding","embedding":[1.0, -2.5],"index":0,"x":12345678901234567890} ],"model":"m"}"#;
    let text =
        r#"{"object":"list","data":[{"object":"embedding","embedding":"AACAPwAAIMA=","index":0,"x":12345678901234567890}],"model":"m"}"#;
    assert_eq!(right(numbers, true).as_deref(), Some(text));
    assert_eq!(right(text, false).as_deref(), Some(&*text.replace("\"AACAPwAAIMA=\"", "[1.0,-2.5]")));
}

#[test]
fn rows_come_in_the_order_of_their_index() {
    let mixed = r#"{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}"#;
    assert_eq!(right(mixed, false).as_deref(), Some(r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[2]}]}"#));
    assert!(put_right(&Bytes::from_static(b"[]"), true).is_err());
}

proptest! {
    #[test]
    fn no_bit_is_lost(numbers in prop::collection::vec(any::<f32>().prop_filter("JSON has no such number", |n| n.is_finite()), 0..20)) {
        let body = format!(r#"{{"data":[{{"index":0,"embedding":{}}}]}}"#, serde_json::to_string(&numbers).unwrap());
        let text = right(&body, true).unwrap();
        let back: serde_json::Value = serde_json::from_str(&right(&text, false).unwrap()).unwrap();
        let back: Vec<f32> = serde_json::from_value(back["data"][0]["embedding"].clone()).unwrap();
        prop_assert_eq!(numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>(), back.iter().map(|n| n.to_bits()).collect::<Vec<_>>());
    }
}
