//! What of a body is its prompt.

use super::*;

fn of(shape: Shape, body: &str) -> Prompts {
    Prompts::of(shape, &scan::object(body.as_bytes()).unwrap())
}

#[test]
fn the_text_of_messages_counts_and_their_pictures_do_not() {
    let picture = "A".repeat(100_000);
    let body = format!(
        r#"{{"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":[{{"type":"text","text":"what is\nthis"}},
        {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}]}},{{"role":"assistant","content":null}}]}}"#
    );
    let prompts = of(Shape::Chat, &body);
    let written = "be brief".len() + r"what is\nthis".len();
    assert_eq!((prompts.bytes, prompts.longest, prompts.messages), (written, written, 3));
    assert!(prompts.estimate() < 30, "{}", prompts.estimate());
}

#[test]
fn prompts_and_inputs_come_as_text_lists_and_token_ids() {
    let one = of(Shape::Completions, r#"{"prompt":"a"}"#);
    assert_eq!((one.bytes, one.longest, one.estimate()), (1, 1, 1));
    let two = of(Shape::Completions, r#"{"prompt":["a","bc"]}"#);
    assert_eq!((two.bytes, two.longest, two.estimate()), (3, 2, 2));
    let ids = of(Shape::Completions, r#"{"prompt":[1,2,3]}"#);
    assert_eq!((ids.ids, ids.all_ids), (3, 3));
    let lists = of(Shape::Embeddings, r#"{"input":[[1,2,3],[4]]}"#);
    assert_eq!((lists.ids, lists.estimate()), (3, 4));
}

#[test]
fn what_is_no_prompt_counts_nothing_and_breaks_nothing() {
    for body in [r#"{"messages":[1,"x",{"content":7},{"content":[null,{"text":1}]}]}"#, r#"{"messages":"x"}"#, "{}"] {
        let prompts = of(Shape::Chat, body);
        assert_eq!((prompts.texts, prompts.bytes, prompts.longest), (0, 0, 0), "{body}");
    }
    assert_eq!(of(Shape::Completions, r#"{"prompt":{}}"#), Prompts::default());
}

#[test]
fn tools_and_their_calls_are_estimated_and_are_no_text() {
    let long = "word".repeat(1_000);
    let plain = of(Shape::Chat, r#"{"messages":[{"role":"user","content":"hi"}]}"#);
    let call = format!(r#"{{"name":"f","arguments":"{{\"a\":\"{long}\"}}"}}"#);
    for body in [
        format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"type":"function","function":{{"name":"{long}"}}}}]}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"functions":[{{"name":"{long}"}}],"tools":null}}"#),
        format!(
            r#"{{"messages":[{{"role":"assistant","content":"hi","tool_calls":[{{"id":"a","type":"function","function":{call}}}]}}]}}"#
        ),
        format!(r#"{{"messages":[{{"role":"assistant","content":"hi","function_call":{call}}}]}}"#),
        format!(r#"{{"messages":[{{"role":"assistant","content":"hi","reasoning_content":"{long}"}}]}}"#),
    ] {
        let prompts = of(Shape::Chat, &body);
        assert!((1_000..1_040).contains(&(prompts.estimate() - plain.estimate())), "{prompts:?}");
        assert_eq!(Prompts { beside: 0, ..prompts }, plain, "what is refused for its length is counted without them");
    }
    let nothing = of(Shape::Chat, r#"{"messages":[{"role":"user","content":"hi","tool_calls":null}],"tools":null,"functions":null}"#);
    assert_eq!(nothing, plain);
}
