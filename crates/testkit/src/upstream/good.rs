//! What an engine in good order answers.
//!
//! In: a call. Out: an answer of its shape: a chat (with a call of the first tool, if it brings tools and
//! has no answer of one yet), a text, vectors as floats or base64; streamed when that was asked for,
//! with the usage when that was asked for. Fails: never; what it does not know is 404.

use serde_json::{Value, json};

use super::book::Ask;
use super::script::Script;

const WORDS: [&str; 3] = ["Hello", " there", "."];
const MADE: u64 = 1_700_000_000;

/// The list of models that a probe asks for.
pub(super) fn models() -> Script {
    Script::json(200, r#"{"object":"list","data":[]}"#)
}

/// The answer.
pub(super) fn answer(ask: &Ask) -> Script {
    let body = ask.json();
    let streams = body["stream"] == true;
    match ask.path.rsplit('/').next().unwrap_or_default() {
        "embeddings" => Script::json(200, embeddings(&body).to_string()),
        "completions" if ask.path.ends_with("/chat/completions") && calls_tool(&body) => tool(&body, streams),
        "completions" if ask.path.ends_with("/chat/completions") => chat(&body, streams),
        "completions" => text(&body, streams),
        _ => Script::json(404, r#"{"error":{"message":"no such path","type":"not_found_error","code":404}}"#),
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
}

fn calls_tool(body: &Value) -> bool {
    let answered = body["messages"].as_array().is_some_and(|messages| messages.iter().any(|message| message["role"] == "tool"));
    body["tools"].as_array().is_some_and(|tools| !tools.is_empty()) && !answered
}

fn chunk(body: &Value, delta: &Value, finish: &Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": MADE, "model": body["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

fn reply(body: &Value, message: &Value, finish: &str) -> Script {
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish});
    let reply = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": MADE, "model": body["model"], "choices": [choice], "usage": usage(),
    });
    Script::json(200, reply.to_string())
}

fn chat(body: &Value, streams: bool) -> Script {
    if !streams {
        return reply(body, &json!({"role": "assistant", "content": WORDS.concat(), "refusal": null}), "stop");
    }
    let mut chunks = vec![chunk(body, &json!({"role": "assistant", "content": ""}), &Value::Null)];
    chunks.extend(WORDS.iter().map(|word| chunk(body, &json!({ "content": word }), &Value::Null)));
    chunks.push(chunk(body, &json!({}), &json!("stop")));
    stream(body, chunks, "chat.completion.chunk")
}

fn tool(body: &Value, streams: bool) -> Script {
    let name = &body["tools"][0]["function"]["name"];
    let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{\"city\": \"Paris\"}"}});
    if !streams {
        return reply(body, &json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls");
    }
    let piece = |more: Value| json!({"tool_calls": [more]});
    let first = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}});
    let mut chunks = vec![chunk(body, &json!({"role": "assistant", "content": null}), &Value::Null)];
    chunks.push(chunk(body, &piece(first), &Value::Null));
    for part in ["{\"city\":", " \"Paris\"}"] {
        chunks.push(chunk(body, &piece(json!({"index": 0, "function": {"arguments": part}})), &Value::Null));
    }
    chunks.push(chunk(body, &json!({}), &json!("tool_calls")));
    stream(body, chunks, "chat.completion.chunk")
}

fn text(body: &Value, streams: bool) -> Script {
    let piece = |text: &str, finish: Value| {
        json!({
            "id": "cmpl-1", "object": "text_completion", "created": MADE, "model": body["model"],
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}],
        })
    };
    if !streams {
        let mut whole = piece(&WORDS.concat(), json!("stop"));
        whole["usage"] = usage();
        return Script::json(200, whole.to_string());
    }
    let mut chunks: Vec<Value> = WORDS.iter().map(|word| piece(word, Value::Null)).collect();
    chunks.push(piece("", json!("stop")));
    stream(body, chunks, "text_completion")
}

fn stream(body: &Value, mut chunks: Vec<Value>, object: &str) -> Script {
    if body["stream_options"]["include_usage"] == true {
        let last =
            json!({"id": chunks[0]["id"], "object": object, "created": MADE, "model": body["model"], "choices": [], "usage": usage()});
        chunks.push(last);
    }
    let script = chunks.iter().fold(Script::stream(), |script, chunk| script.event(&chunk.to_string()));
    script.event("[DONE]")
}

/// One vector for each input: its place, then a half, a quarter.
fn embeddings(body: &Value) -> Value {
    let inputs = match &body["input"] {
        Value::Array(inputs) if !inputs.first().is_some_and(Value::is_number) => inputs.len(),
        _ => 1,
    };
    let coded = body["encoding_format"] == "base64";
    let data: Vec<Value> = (0..inputs)
        .map(|index| {
            let place = u16::try_from(index).map_or(f32::MAX, f32::from);
            let vector = [place, 0.5, 0.25];
            let value = if coded { json!(base64(&vector.map(f32::to_le_bytes).concat())) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": value})
        })
        .collect();
    json!({"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 2 * inputs, "total_tokens": 2 * inputs}})
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
