//! Section 1, responses: the newer manner of asking, in front of engines that only know chat.

use hyper::Method;
use serde_json::{Value, json};
use testkit::upstream::{Script, Step};

use super::streams::json_of;
use super::{DONE, Door, HI, ROLE, STOP, USAGE, soon, soon_is};
use crate::client::Client;
use crate::stage::{Stage, stop};

const RESPONSES: &str = "/v1/responses";

/// The events of a stream: the name and the data of each.
fn named(text: &str) -> Vec<(String, Value)> {
    let events = text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':'));
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap_or_else(|| panic!("two lines: {event}"));
            let data = json_of(data.strip_prefix("data: ").expect("data"));
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            assert_eq!(data["type"], name.as_str(), "the name stands in both places");
            (name, data)
        })
        .collect()
}

async fn streamed(door: &Door, more: &Value) -> Vec<(String, Value)> {
    let mut ask = json!({"model": "m", "input": "Hi", "stream": true});
    ask.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let stream = door.open_stream(RESPONSES, &ask.to_string()).await;
    assert_eq!(stream.status, 200);
    let text = soon(stream.text()).await;
    assert!(!text.contains("[DONE]"), "{text}");
    named(&text)
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.trim_start_matches("response.")).collect()
}

/// What holds for every stream of events.
fn ordered(events: &[(String, Value)]) {
    let numbers: Vec<u64> = events.iter().map(|(_, data)| data["sequence_number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>(), "each one higher than the last");
    let ids: Vec<&Value> = events.iter().filter_map(|(_, data)| data["response"].get("id")).collect();
    assert!(ids.len() >= 3 && ids.iter().all(|id| *id == ids[0]), "one id: {ids:?}");
    let items: Vec<&Value> = events
        .iter()
        .filter(|(_, data)| data["output_index"] == 0)
        .filter_map(|(_, data)| data.get("item_id").or_else(|| data["item"].get("id")))
        .collect();
    assert!(items.iter().all(|id| *id == items[0]), "one id for one item: {items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_streams_as_named_and_numbered_events_in_their_order() {
    let door = Door::open().await;
    let events = streamed(&door, &json!({})).await;
    ordered(&events);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    let deltas: String = events.iter().filter_map(|(_, data)| data["delta"].as_str()).collect();
    let last = &events.last().expect("an event").1["response"];
    assert_eq!((deltas.as_str(), &last["output"][0]["content"][0]["text"]), ("Hello there.", &json!("Hello there.")));
    assert_eq!(
        (&last["status"], &last["usage"]["input_tokens"], &last["usage"]["output_tokens"]),
        (&json!("completed"), &json!(7), &json!(3))
    );
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_response_has_every_member_that_the_libraries_read() {
    let door = Door::open().await;
    let reply = door.post(RESPONSES, r#"{"model":"m","input":"Hi","metadata":{"k":"v"}}"#).await.json();
    for key in [
        "id",
        "object",
        "created_at",
        "error",
        "incomplete_details",
        "instructions",
        "model",
        "tools",
        "output",
        "parallel_tool_calls",
        "metadata",
        "tool_choice",
        "temperature",
        "top_p",
        "status",
        "usage",
    ] {
        assert!(reply.get(key).is_some(), "{key} is missing in {reply}");
    }
    let item = &reply["output"][0];
    assert_eq!((&reply["object"], &reply["status"], &reply["metadata"]), (&json!("response"), &json!("completed"), &json!({"k": "v"})));
    assert_eq!(
        (&item["type"], &item["role"], &item["content"][0]["type"]),
        (&json!("message"), &json!("assistant"), &json!("output_text"))
    );
    assert_eq!((&item["content"][0]["annotations"], &item["content"][0]["text"]), (&json!([]), &json!("Hello there.")));
    let usage = &reply["usage"];
    assert!(
        usage["input_tokens_details"]["cached_tokens"].is_u64() && usage["output_tokens_details"]["reasoning_tokens"].is_u64(),
        "{usage}"
    );
    assert_eq!(usage["total_tokens"], 10);
    let ask = door.upstream.asks()[0].clone();
    assert_eq!((ask.path.as_str(), &ask.json()["messages"]), ("/v1/chat/completions", &json!([{"role": "user", "content": "Hi"}])));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_and_their_answers_go_there_and_back() {
    let door = Door::open().await;
    let tools = json!([{"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": false}]);
    let reply = door.client.post(RESPONSES, &json!({"model": "m", "input": "Weather?", "tools": tools})).await.json();
    let call = &reply["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &call["arguments"]),
        (&json!("function_call"), &json!("get_weather"), &json!("{\"city\": \"Paris\"}"))
    );
    let theirs = &door.upstream.asks()[0].json()["tools"][0];
    assert_eq!((&theirs["type"], &theirs["function"]["name"]), (&json!("function"), &json!("get_weather")));
    let answer = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "Sunny."});
    let again = json!({"model": "m", "input": [answer], "tools": tools, "previous_response_id": reply["id"]});
    let reply = door.client.post(RESPONSES, &again).await.json();
    assert_eq!(reply["output"][0]["content"][0]["text"], "Hello there.", "{reply}");
    let messages = door.upstream.asks()[1].json()["messages"].clone();
    assert_eq!(messages[0], json!({"role": "user", "content": "Weather?"}));
    assert_eq!((&messages[1]["role"], &messages[1]["tool_calls"][0]["id"]), (&json!("assistant"), &call["call_id"]));
    assert_eq!(
        (&messages[2]["role"], &messages[2]["tool_call_id"], &messages[2]["content"]),
        (&json!("tool"), &call["call_id"], &json!("Sunny."))
    );
    let events = streamed(&door, &json!({"tools": tools})).await;
    ordered(&events);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names(&events), expected);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_short_is_incomplete_and_one_that_broke_has_failed() {
    let door = Door::of(&[("m", ""), ("cut", "")]).await;
    door.upstream.plays("m", Script::events([ROLE, HI, &STOP.replace("stop", "length"), USAGE, DONE]));
    let events = streamed(&door, &json!({})).await;
    ordered(&events);
    let (name, last) = events.last().expect("an event");
    assert_eq!((name.as_str(), &last["response"]["incomplete_details"]["reason"]), ("response.incomplete", &json!("max_output_tokens")));
    door.upstream.plays("cut", Script::events([ROLE, HI]).then(Step::Fin));
    let text = soon(door.open_stream(RESPONSES, r#"{"model":"cut","input":"Hi","stream":true}"#).await.text()).await;
    let events = named(&text);
    ordered(&events[..events.len()]);
    let (name, last) = events.last().expect("an event");
    assert_eq!((name.as_str(), &last["response"]["status"]), ("response.failed", &json!("failed")), "{text}");
    assert!(last["response"]["error"]["message"].is_string(), "{text}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_can_be_fetched_gone_on_with_and_deleted_by_its_owner_alone() {
    let door = Door::open().await;
    let first = door.post(RESPONSES, r#"{"model":"m","input":"One","instructions":"Be brief."}"#).await.json();
    let id = first["id"].as_str().expect("an id").to_owned();
    let path = format!("{RESPONSES}/{id}");
    let fetched = door.client.get(&path).await;
    assert_eq!((fetched.status, &fetched.json()["output"]), (200, &first["output"]));
    let second = door.client.post(RESPONSES, &json!({"model": "m", "input": "Two", "previous_response_id": id})).await;
    assert_eq!((second.status, second.json()["previous_response_id"].as_str()), (200, Some(id.as_str())));
    let messages = door.upstream.asks()[1].json()["messages"].clone();
    let expected =
        json!([{"role": "user", "content": "One"}, {"role": "assistant", "content": "Hello there."}, {"role": "user", "content": "Two"}]);
    assert_eq!(messages, expected, "instructions are not carried over");
    let stranger = door.with_token(json!({"name": "stranger", "project": "elsewhere"})).await;
    assert_eq!(stranger.get(&path).await.status, 404);
    assert_eq!(stranger.post(RESPONSES, &json!({"model": "m", "input": "x", "previous_response_id": id})).await.status, 400);
    let items = door.client.get(&format!("{path}/input_items")).await.json();
    assert_eq!(items["object"], "list");
    let deleted = door.client.ask(Method::DELETE, &path, "".into()).await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(true)));
    let gone = door.client.get(&path).await;
    assert_eq!((gone.status, gone.json()["error"]["type"].as_str()), (404, Some("invalid_request_error")));
    let unkept = door.post(RESPONSES, r#"{"model":"m","input":"One","store":false}"#).await.json();
    assert_eq!(door.client.get(&format!("{RESPONSES}/{}", unkept["id"].as_str().expect("an id"))).await.status, 404);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_in_the_background_can_be_cancelled_and_its_engine_hears_of_it() {
    let door = Door::open().await;
    door.upstream.plays("m", Script::events([ROLE, HI]).then(Step::Silence));
    let begun = door.post(RESPONSES, r#"{"model":"m","input":"Hi","background":true}"#).await;
    let id = begun.json()["id"].as_str().expect("an id").to_owned();
    assert!(["queued", "in_progress"].contains(&begun.json()["status"].as_str().expect("a status")), "{}", begun.text);
    soon(door.upstream.saw(|asks| asks.len() == 1)).await;
    let cancelled = door.client.ask(Method::POST, &format!("{RESPONSES}/{id}/cancel"), "".into()).await;
    assert_eq!((cancelled.status, cancelled.json()["status"].as_str()), (200, Some("cancelled")), "{}", cancelled.text);
    soon(door.upstream.saw(|asks| asks[0].left.is_some())).await;
    soon_is("it stays cancelled", async || door.client.get(&format!("{RESPONSES}/{id}")).await.json()["status"] == "cancelled").await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_before_the_engine_is_asked() {
    let door = Door::open().await;
    let asks = [
        (r#"{"model":"gpt-9","input":"Hi"}"#, 404, "model"),
        (r#"{"model":"m"}"#, 400, "input"),
        (r#"{"model":"m","input":7}"#, 400, "input"),
        (r#"{"model":"m","input":"Hi","previous_response_id":"resp_none"}"#, 400, "previous_response_id"),
    ];
    for (body, status, param) in asks {
        let reply = door.post(RESPONSES, body).await;
        let error = &reply.json()["error"];
        assert_eq!((reply.status, error["param"].as_str()), (status, Some(param)), "{body}: {error}");
    }
    assert!(door.upstream.asks().is_empty());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_kept_as_the_config_says() {
    let stage = Stage::new();
    let config = "responses: { keep_most: 1 }\ndeployments:\n  - { name: m, engine: echo }\n";
    let ask = async |client: &Client| {
        let made = client.post(RESPONSES, &json!({"model": "m", "input": "Hi"})).await;
        assert_eq!(made.status, 200, "{}", made.text);
        format!("{RESPONSES}/{}", made.json()["id"].as_str().expect("an id"))
    };
    let house = stage.house(config).await;
    let client = stage.client(&house);
    let old = [ask(&client).await, ask(&client).await, ask(&client).await];
    stop(house).await;
    // What is too much goes when the next one is written.
    let house = stage.house(config).await;
    let last = ask(&stage.client(&house)).await;
    stop(house).await;
    let house = stage.house(config).await;
    let client = stage.client(&house);
    let mut gone = 0;
    for path in &old {
        gone += usize::from(client.get(path).await.status == 404);
    }
    assert_eq!((gone, client.get(&last).await.status), (old.len() - 1, 200));
    stop(house).await;
}
