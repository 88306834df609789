//! Section 1: tool calls, logprobs, more than one choice, embeddings, completions, models.

use serde_json::{Value, json};
use testkit::upstream::Script;

use super::streams::json_of;
use super::{CHAT, DONE, Door, ROLE, STOP, TEXT, USAGE, chat, data, soon, wire};

const STREAM: &str = r#","stream":true"#;

fn calls(fragments: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{{"index":0,"delta":{{"tool_calls":[{fragments}]}},"finish_reason":null}}]}}"#
    )
}

/// The fragments of all calls, in their order.
fn fragments(text: &str) -> Vec<Value> {
    let events = data(text).into_iter().filter(|event| *event != DONE).map(json_of);
    events.flat_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array().cloned().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_tool_calls_go_through_as_they_are() {
    let door = Door::open().await;
    let events = [
        ROLE.to_owned(),
        calls(r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#),
        calls(r#"{"index":0,"function":{"arguments":"{\"x\""}}"#),
        calls(
            r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}},{"index":0,"function":{"arguments":":1}"}}"#,
        ),
        calls(r#"{"index":1,"function":{"arguments":"}"}}"#),
        STOP.replace("stop", "tool_calls"),
        DONE.to_owned(),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    door.upstream.plays("m", Script::events(events.iter().copied()));
    assert_eq!(soon(door.streamed("m")).await, wire(&events));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_have_an_index_and_their_names_only_once_whatever_the_engine_sends() {
    let door = Door::open().await;
    let repeats = [
        calls(r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}"#),
        calls(r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":":1}"}}"#),
        calls(r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}"#),
    ];
    let nameless = repeats.clone().map(|event| event.replace("\"index\":0,\"id\"", "\"id\"").replace("\"index\":1,\"id\"", "\"id\""));
    for events in [repeats, nameless] {
        let last = STOP.replace("stop", "tool_calls");
        door.upstream.next("m", [Script::events([ROLE].into_iter().chain(events.iter().map(String::as_str)).chain([last.as_str(), DONE]))]);
        let text = soon(door.streamed("m")).await;
        let expected = [
            json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\""}}),
            json!({"index": 0, "function": {"arguments": ":1}"}}),
            json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}),
        ];
        assert_eq!(fragments(&text), expected, "{text}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logprobs_go_through_and_their_lists_are_never_null() {
    let door = Door::open().await;
    let token = r#"{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":[]}"#;
    let event =
        ROLE.replace("\"finish_reason\":null", &format!(r#""logprobs":{{"content":[{token}],"refusal":null}},"finish_reason":null"#));
    let null = event.replace("\"top_logprobs\":[]", "\"top_logprobs\":null");
    door.upstream.next("m", [Script::events([&event, STOP, DONE]), Script::events([&null, STOP, DONE])]);
    let expected = wire(&[&event, STOP, DONE]);
    assert_eq!(soon(door.streamed("m")).await, expected);
    assert_eq!(soon(door.streamed("m")).await, expected, "an engine that says null for none");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_choices_come_interleaved_by_index_with_one_usage_and_are_reserved_for_each() {
    let door = Door::open().await;
    let second = |event: &str| event.replace("\"index\":0", "\"index\":1");
    let (role, stop) = (second(ROLE), second(STOP));
    let events = [ROLE, &role, super::HI, &second(super::HI), &stop, STOP, DONE].map(str::to_owned);
    let with_usage: Vec<&str> = events[..6].iter().map(String::as_str).chain([USAGE, DONE]).collect();
    door.upstream.plays("m", Script::events(with_usage));
    let client = door.with_token(json!({"name": "t", "limits": {"tokens_per_minute": 10_000}})).await;
    let stream = client.stream_with(CHAT, &[], chat("m", r#","stream":true,"n":2,"max_tokens":1000"#)).await;
    let left: u64 = stream.headers["x-ratelimit-remaining-tokens"].to_str().expect("text").parse().expect("a number");
    assert!((7000..=8300).contains(&left), "2 x 1000 and a small prompt are set aside: {left}");
    assert_eq!(soon(stream.text()).await, wire(&events.each_ref().map(String::as_str)));
    let text =
        soon(client.stream_with(CHAT, &[], chat("m", r#","stream":true,"n":2,"stream_options":{"include_usage":true}"#)).await.text())
            .await;
    assert_eq!(text.matches("total_tokens").count(), 1, "{text}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_come_as_base64_where_that_was_asked_for_also_from_an_engine_that_only_gives_floats() {
    let door = Door::open().await;
    let floats = r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":[1.0,-2.5]},{"object":"embedding","index":0,"embedding":[0.5,0.25]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    door.upstream.plays("m", Script::json(200, floats));
    let body = r#"{"model":"m","input":["a","b"],"encoding_format":"base64"}"#;
    let reply = door.post("/v1/embeddings", body).await.json();
    let found: Vec<(&Value, &Value)> =
        reply["data"].as_array().expect("a list").iter().map(|one| (&one["index"], &one["embedding"])).collect();
    // 0.5, 0.25 and 1.0, -2.5 as little-endian f32.
    assert_eq!(found, [(&json!(0), &json!("AAAAPwAAgD4=")), (&json!(1), &json!("AACAPwAAIMA="))], "by index");
    assert_eq!(reply["usage"]["total_tokens"], 2);
    let coded = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAAPwAAgD4="}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2},"x":1}"#;
    door.upstream.plays("m", Script::json(200, coded));
    assert_eq!(door.post("/v1/embeddings", body).await.text, coded, "an engine that does it itself is not touched");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_take_strings_and_token_ids_and_answer_floats_by_default() {
    let door = Door::open().await;
    let asks = [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1],[2,3],[4]]", 3)];
    for (input, count) in asks {
        let reply = door.post("/v1/embeddings", &format!(r#"{{"model":"m","input":{input}}}"#)).await.json();
        let vectors = reply["data"].as_array().expect("a list").clone();
        assert_eq!(vectors.len(), count, "{input}");
        for (place, vector) in vectors.iter().enumerate() {
            assert_eq!((&vector["index"], vector["embedding"][1].as_f64()), (&json!(place), Some(0.5)), "{input}");
        }
    }
    for input in ["[]", "{}", "[true]", "7", r#"["a",true]"#, "[1,[1]]"] {
        let reply = door.post("/v1/embeddings", &format!(r#"{{"model":"m","input":{input}}}"#)).await;
        assert_eq!((reply.status, reply.json()["error"]["param"].as_str()), (400, Some("input")), "{input}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_prompts_is_reserved_for_each_and_reaches_the_engine_as_it_is() {
    let door = Door::open().await;
    // OpenAI's words, and those that llama-server takes before them.
    let bounds = [r#""n":2,"max_tokens":500"#, r#""n":1,"n_cmpl":2,"max_tokens":1,"n_predict":500"#];
    for (at, bound) in bounds.into_iter().enumerate() {
        let client = door.with_token(json!({"name": format!("t{at}"), "limits": {"tokens_per_minute": 10_000}})).await;
        let body = format!(r#"{{"model":"m","prompt":["a","b"],{bound},"stream":true}}"#);
        let stream = client.stream_with(TEXT, &[], body.clone()).await;
        let left: u64 = stream.headers["x-ratelimit-remaining-tokens"].to_str().expect("text").parse().expect("a number");
        assert!((7000..=8300).contains(&left), "2 prompts x 2 choices x 500: {left}, {bound}");
        soon(stream.text()).await;
        assert!(door.upstream.asks()[at].text().starts_with(&body[..body.len() - 1]));
    }
    let texts = vec![r#""a""#; 513].join(",");
    let refused = door.post(TEXT, &format!(r#"{{"model":"m","prompt":[{texts}],"n":2}}"#)).await;
    assert_eq!((refused.status, refused.json()["error"]["param"].as_str()), (400, Some("prompt")), "more choices than an answer may have");
    assert_eq!(door.upstream.asks().len(), bounds.len());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_of_several_prompts_have_the_places_that_the_engine_gave_them() {
    let door = Door::open().await;
    // Choice j of prompt i has the place 2 i + j.
    let choice = |index: usize| json!({"index": index, "text": format!("text {index}"), "logprobs": null, "finish_reason": "stop"});
    let of = |choices: Vec<Value>| json!({"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices});
    let whole = of([0, 1, 2, 3].map(choice).to_vec()).to_string();
    let events: Vec<String> = [2, 0, 3, 1].map(|index| of(vec![choice(index)]).to_string()).to_vec();
    let events: Vec<&str> = events.iter().map(String::as_str).chain([DONE]).collect();
    door.upstream.next("m", [Script::json(200, whole.clone()), Script::events(events.iter().copied())]);
    let ask = r#"{"model":"m","prompt":["a","b"],"n":2}"#;
    assert_eq!(soon(door.post(TEXT, ask)).await.text, whole);
    assert_eq!(soon(door.open_stream(TEXT, &ask.replace("\"n\"", "\"stream\":true,\"n\"")).await.text()).await, wire(&events));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_those_that_the_key_may_use_also_unloaded_ones_also_with_slashes() {
    let idle = format!("model: file:{}\nengine: llama-server\nurl: \"\"", crate::stage::tiny());
    let idle = idle.trim_end_matches("\nurl: \"\"");
    let stage = crate::stage::Stage::new();
    let config = format!(
        "deployments:\n  - name: org/model:7b\n    engine: echo\n  - name: other\n    engine: echo\n  - name: idle\n    {}\n",
        idle.replace('\n', "\n    ")
    );
    let house = stage.house(&config).await;
    let client = stage.client(&house);
    let list = client.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let ids = |list: &Value| -> Vec<String> {
        list["data"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&list), ["idle", "org/model:7b", "other"]);
    for model in list["data"].as_array().expect("a list") {
        assert!(model["object"] == "model" && model["created"].is_i64() && model["owned_by"].is_string(), "{model}");
    }
    for path in ["/v1/models/org/model:7b", "/v1/models/org%2Fmodel%3A7b"] {
        let one = client.get(path).await;
        assert_eq!((one.status, one.json()["id"].as_str()), (200, Some("org/model:7b")), "{path}");
    }
    let made = client.post("/api/v1/tokens", &json!({"name": "n", "models": ["other"]})).await.json();
    let narrow = client.with_token(made["token"].as_str());
    assert_eq!(ids(&narrow.get("/v1/models").await.json()), ["other"]);
    assert_eq!(narrow.get("/v1/models/idle").await.status, 404);
    crate::stage::stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_in_a_whole_answer_has_its_arguments_as_text() {
    let door = Door::open().await;
    let tools = r#","tools":[{"type":"function","function":{"name":"get_weather","parameters":{}}}]"#;
    let reply = door.post(CHAT, &chat("m", tools)).await.json();
    let call = &reply["choices"][0]["message"]["tool_calls"][0];
    assert_eq!((&call["id"], &call["function"]["arguments"]), (&json!("call_1"), &json!("{\"city\": \"Paris\"}")));
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    let text = soon(door.open_stream(CHAT, &chat("m", &format!("{tools}{STREAM}"))).await.text()).await;
    let arguments: String = fragments(&text).iter().filter_map(|fragment| fragment["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, "{\"city\": \"Paris\"}");
    door.close().await;
}
