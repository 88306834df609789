//! What the echo says to an ask, as the gateway reads it.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::Asked;

async fn transcript(ask: &Value, chat: bool) -> String {
    let body = Asked::read(ask, chat).events().collect().await.expect("the echo cannot fail");
    String::from_utf8(body.to_bytes().to_vec()).expect("JSON is UTF-8")
}

#[tokio::test]
async fn a_chat_is_answered_with_the_last_words_of_the_user() {
    let ask = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "first"}, {"role": "assistant", "content": "no"},
            {"role": "user", "content": [{"type": "text", "text": "so  be"}, {"type": "text", "text": " it"}]}],
    });
    insta::assert_snapshot!(transcript(&ask, true).await);
}

#[tokio::test]
async fn a_completion_stops_at_max_tokens_and_says_so() {
    let ask = json!({"model": "m", "stream": true, "prompt": "one two three", "max_tokens": 2});
    insta::assert_snapshot!(transcript(&ask, false).await);
}

#[test]
fn put_together_the_words_are_the_prompt_again() {
    for text in ["", " ", "one", " one  two\nthree ", "ä ö"] {
        let whole = Asked::read(&json!({"prompt": text}), false).whole();
        assert_eq!(whole["choices"][0]["text"], text);
    }
}
