//! What is written can be read, and what was altered is seen.

use super::{DONE, Event, FINISH, Script, chat, event, read};
use crate::http::{Body, Step};

fn data(mut chunk: &[u8]) -> Vec<u8> {
    match Body::ChunkLine.next(&mut chunk).expect("a chunk") {
        Step::Data(data) => data.to_vec(),
        other => panic!("no data but {other:?}"),
    }
}

#[test]
fn an_event_is_read_as_it_was_written() {
    let mut bytes = Vec::new();
    event(&mut bytes, 7, 1_234_567);
    let event = data(&bytes);
    assert_eq!(read(&event), Some(Event { number: 7, sent_ns: 1_234_567, exact: true }));
    let spaced = String::from_utf8(event).expect("text").replace("\"index\":0", "\"index\": 0");
    assert_eq!(read(spaced.as_bytes()), Some(Event { number: 7, sent_ns: 1_234_567, exact: false }));
    assert_eq!(read(DONE), None);
    assert_eq!(read(FINISH.as_bytes()), None);
}

#[test]
fn bodies_are_json_of_the_asked_size() {
    for bytes in [1_000, 100_000] {
        let text = chat("mock-model", true, bytes);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((text.len(), &value["model"], &value["stream"]), (bytes, &"mock-model".into(), &true.into()));
    }
    let script = Script::new();
    let reply: serde_json::Value = serde_json::from_slice(&script.reply_body).expect("JSON");
    assert_eq!(reply["usage"]["total_tokens"], 160);
    assert_eq!(script.reply_body.len(), 800);
}
