//! What is written by hand is what `serde_json` would write, and is read as it would read it.

use base::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use spec::{Ending, Usage, Usd};

use super::*;

/// Texts as they usually are, and as a client may send them: control characters, quotes, anything.
fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9-]{0,24}", any::<String>(), "[\"\\\\/\u{0}-\u{20}\u{7f}\u{e9}\u{2028}\u{1f600}]{0,8}"]
}

/// Numbers of every length.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

fn call() -> impl Strategy<Value = Usage> {
    let texts = prop::collection::vec(word(), 8);
    let numbers = prop::collection::vec(number(), 8);
    let ending = prop::sample::select(Ending::ALL.to_vec());
    (texts, numbers, any::<[bool; 5]>(), any::<i64>(), any::<u16>(), ending, any::<u32>()).prop_map(
        |(texts, numbers, some, at, status, ending, retries)| Usage {
            request_id: texts[0].clone(),
            at: Timestamp::from_millis(if some[4] { at } else { at.abs_diff(0).cast_signed() & i64::MAX }),
            token: some[0].then(|| texts[1].clone()),
            project: some[1].then(|| texts[2].clone()),
            model: texts[3].clone(),
            deployment: some[2].then(|| texts[4].clone()),
            instance: some[3].then(|| texts[5].clone()),
            operation: texts[6].clone(),
            status,
            ending,
            error: some[4].then(|| texts[7].clone()),
            prompt_tokens: numbers[0],
            cached_tokens: numbers[1],
            completion_tokens: numbers[2],
            reasoning_tokens: numbers[3],
            estimated: some[0],
            cost: Usd(numbers[4]),
            duration_ms: numbers[5],
            first_byte_ms: some[1].then_some(numbers[6]),
            wait_ms: numbers[7],
            retries,
        },
    )
}

fn written(call: &Usage) -> String {
    let mut text = b"before".to_vec();
    encode(call, &mut text).unwrap();
    String::from_utf8(text).unwrap().strip_prefix("before").unwrap().to_owned()
}

/// As serde does it.
fn by_serde(call: &Usage) -> String {
    let members = json!([
        call.at.as_millis(),
        call.request_id,
        call.token,
        call.project,
        call.model,
        call.deployment,
        call.instance,
        call.operation,
        call.status,
        call.ending,
        call.error,
        call.prompt_tokens,
        call.cached_tokens,
        call.completion_tokens,
        call.reasoning_tokens,
        u8::from(call.estimated),
        call.cost.0,
        call.duration_ms,
        call.first_byte_ms,
        call.wait_ms,
        call.retries,
    ]);
    serde_json::to_string(&members).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_call_is_written_as_serde_writes_it_and_comes_back(call in call()) {
        let text = written(&call);
        prop_assert_eq!(&text, &by_serde(&call));
        prop_assert_eq!(owned(decode(&text).unwrap()), call);
    }

    #[test]
    fn the_first_character_that_json_escapes_is_found_wherever_it_stands(text in prop_oneof![word(), "[ !#-\\[\\]-~\u{80}-\u{ff}\"\\\\\u{1f}]{0,40}"]) {
        let right = text.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\');
        prop_assert_eq!(plain::end(text.as_bytes()), right.unwrap_or(text.len()));
    }

    #[test]
    fn a_line_that_somebody_changed_is_read_as_serde_reads_it(
        call in call(), at in any::<prop::sample::Index>(), put in "[]\\[,\"0-9a-z\\\\ \u{1}.-]{0,2}", over in 0..3_usize,
    ) {
        let text = written(&call);
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len() + 1);
        let end = (at + over).min(chars.len());
        let changed: String = chars[..at].iter().copied().chain(put.chars()).chain(chars[end..].iter().copied()).collect();
        match (decode(&changed), decode_any(&changed)) {
            (Ok(read), Ok(right)) => prop_assert_eq!(read, right),
            (read, right) => prop_assert!(read.is_err() && right.is_err(), "{changed}: {read:?}, {right:?}"),
        }
    }

    #[test]
    fn the_calls_of_a_page_come_back_at_their_places(calls in prop::collection::vec(prop::option::of(call()), 0..5)) {
        let texts: Vec<String> = calls.iter().map(|call| call.as_ref().map_or_else(|| "0".to_owned(), written)).collect();
        let body = format!("[{}]", texts.join(","));
        let read: Vec<Option<Usage>> = decode_page(&body).unwrap().into_iter().map(|call| call.map(owned)).collect();
        prop_assert_eq!(read, calls);
    }
}

#[test]
fn an_ordinary_line_is_read_the_quick_way() {
    let call = crate::contract::sample::usage("req-1", 1_700_000_000_000, "tiny", Ending::Completed);
    let text = written(&call);
    let read = quick::decode(&text).expect("nothing is escaped");
    assert!(matches!(read.model, Cow::Borrowed("tiny")));
    assert_eq!(owned(read), call);
}

#[test]
fn a_line_with_a_comma_or_a_member_too_many_is_none() {
    let text = written(&Usage::default());
    for wrong in [text.replace(']', ",]"), text.replace(']', ",7]"), text.replace("[0", "[00"), format!("{text} x"), String::new()] {
        assert!(decode(&wrong).is_err(), "{wrong}");
    }
}
