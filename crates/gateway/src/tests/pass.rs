//! What goes through, goes through as it was.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::fake::{self, Fake, Step};
use super::house::{ALL, Answer, CHAT, House, MS, STREAM, STREAMS, entry, limited, piece, tiny};
use super::until;

#[tokio::test]
async fn a_stream_passes_through_byte_for_byte_but_for_the_usage_that_was_not_asked_for() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.chat(STREAM).await;
    let expected = [fake::ROLE, fake::HI, fake::STOP, fake::DONE].map(|event| format!("data: {event}\n\n"));
    assert_eq!(answer.body, expected.concat());
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!((answer.header("cache-control"), answer.header("x-accel-buffering")), ("no-cache", "no"));
    assert_eq!(house.rows("m").await, (1, 1, 7, 3));
}

#[tokio::test]
async fn usage_that_was_asked_for_comes_once_at_the_end() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.chat(&STREAM.replace("true", r#"true,"stream_options":{"include_usage":true}"#)).await;
    let events: Vec<&str> = answer.body.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.len(), 5);
    assert!(events[..3].iter().all(|event| event.ends_with(r#","usage":null}"#)), "{events:#?}");
    assert!(events[3].contains(r#""choices":[]"#) && events[3].contains(r#""total_tokens":10"#));
    assert_eq!(events[4], "data: [DONE]");
}

#[tokio::test]
async fn frames_cut_anywhere_give_the_same_stream() {
    let house = House::new().await;
    let whole = [fake::ROLE, fake::HI, fake::STOP, fake::USAGE, fake::DONE].map(|event| format!("data: {event}\r\n\r\n")).concat();
    let mut seen = Vec::new();
    for size in [1, 2, 3, 7, 64, 4096] {
        let pieces: Vec<Vec<u8>> = whole.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        let engine = Fake::unix(house.dir.path(), &format!("e{size}.sock"), move |_, _| {
            let mut steps = vec![fake::sse_head()];
            steps.extend(pieces.iter().cloned().map(Step::Chunk));
            steps.push(Step::End);
            steps
        });
        house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
        seen.push(house.chat(STREAM).await.body);
    }
    assert!(seen[0].ends_with("data: [DONE]\n\n") && seen[0].contains("über"));
    assert!(seen.iter().all(|body| *body == seen[0]));
}

#[tokio::test]
async fn each_event_reaches_the_client_when_it_is_made() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let mut steps = fake::answer();
        steps.insert(2, Step::Wait(Arc::clone(&wait)));
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), format!("data: {}\n\n", fake::ROLE), "the first one, although no other was made yet");
    gate.add_permits(1);
    assert!(piece(&mut body).await.unwrap().starts_with(b"data: "));
}

#[tokio::test]
async fn the_engine_gets_the_body_as_it_came_but_for_the_members_that_are_ours() {
    let house = House::new().await;
    let engine = Fake::tcp(|_, _| fake::answer()).await;
    let mut deployment = entry("m", STREAMS, &[(&engine.endpoint, 1)]);
    deployment.upstream_model = "up".to_owned();
    house.publish([deployment]);
    let body = r#"{ "messages":[{"role":"user","content":"a\u0000 \ud83d"}], "seed":123456789012345678901, "model" : "m", "x":1, "x":2 }"#;
    let mut request = house.request("/v1/chat/completions", body);
    for (name, value) in [("x-conversation-id", "keep-running"), ("traceparent", "00-a-b-01"), ("cookie", "c"), ("x-request-id", "mine")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = house.ask(request).await;
    assert_eq!(answer.header("x-request-id"), "mine");
    let seen = &engine.seen()[0];
    let expected = body.replace(r#""m""#, r#""up""#).replace(":2 }", r#":2,"stream":true,"stream_options":{"include_usage":true} }"#);
    assert_eq!(seen.body, expected);
    assert!(seen.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("authorization"), Some("Bearer engine-key"), "the engine's key, not the client's token");
    assert_eq!((seen.header("traceparent"), seen.header("x-request-id")), (Some("00-a-b-01"), Some("mine")));
    assert_eq!((seen.header("x-conversation-id"), seen.header("cookie")), (None, None));
}

#[tokio::test]
async fn a_client_that_wants_no_stream_gets_one_reply_with_no_field_lost() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let answer = house.chat(CHAT).await;
    assert_eq!(answer.header("content-type"), "application/json");
    insta::assert_snapshot!(answer.body);
    assert_eq!(house.rows("m").await, (1, 1, 7, 3));
}

#[tokio::test]
async fn an_engine_that_answers_whole_is_relayed_as_it_is() {
    const REPLY: &str = r#"{ "object":"list", "data":[{"embedding":[0.1,1e-9]}], "usage":{"prompt_tokens":5,"total_tokens":5}, "big":12345678901234567890 }"#;
    let house = House::new().await;
    let engine = Fake::tcp(|_, _| fake::whole("200 OK", REPLY)).await;
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let body = r#"{"model":"m","input":["a","b"],"encoding_format":"float"}"#;
    let answer = house.ask(house.request("/v1/embeddings", body)).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, REPLY));
    assert_eq!(engine.seen()[0].body, body, "embeddings are never streamed");
    assert_eq!(house.rows("m").await, (1, 1, 5, 0));
    let base64 = house.ask(house.request("/v1/embeddings", body.replace("float", "base64"))).await;
    assert_eq!(base64.body, REPLY.replace("[0.1,1e-9]", "\"zczMPV9wiTA=\""), "only the vectors are written anew");
}

#[tokio::test]
async fn connections_to_an_engine_are_used_again() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    for _ in 0..5 {
        for body in [CHAT, STREAM] {
            assert_eq!(house.chat(body).await.status, 200);
            engine.rest().await;
        }
    }
    assert_eq!((engine.seen().len(), engine.connections()), (10, 1));
}

#[tokio::test]
async fn a_silent_stream_gets_comments_between_its_events() {
    let config = crate::Config { keep_alive_comment: MS * 5, ..crate::Config::default() };
    let house = House::with(config).await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let (first, rest) = fake::HI.split_at(20);
        let mut steps = vec![fake::sse_head(), Step::Chunk(format!("data: {}\n\ndata: {first}", fake::ROLE).into_bytes())];
        steps.push(Step::Wait(Arc::clone(&wait)));
        steps.push(Step::Chunk(format!("{rest}\n\ndata: {}\n\ndata: [DONE]\n\n", fake::STOP).into_bytes()));
        steps.push(Step::End);
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let mut body = house.begin(house.request("/v1/chat/completions", STREAM)).await.into_body();
    assert!(piece(&mut body).await.unwrap().ends_with(b"\n\n"));
    for _ in 0..3 {
        assert_eq!(piece(&mut body).await.unwrap(), ": ping\n\n");
    }
    gate.add_permits(1);
    let mut rest = String::new();
    while let Some(bytes) = piece(&mut body).await {
        rest.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert!(rest.replace(": ping\n\n", "").starts_with(&format!("data: {}\n\n", fake::HI)), "{rest}");
    assert!(rest.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn no_more_calls_run_on_an_engine_than_it_has_slots() {
    let house = House::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| {
        let mut steps = fake::answer();
        steps.insert(2, Step::Wait(Arc::clone(&wait)));
        steps
    });
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 2)])]);
    let calls: Vec<_> = (0..12).map(|at| house.chat(if at % 2 == 0 { CHAT } else { STREAM })).collect();
    let open = async {
        for _ in 0..12 {
            until(|| house.board.in_flight() == 2 || engine.seen().len() == 12).await;
            gate.add_permits(1);
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), open);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((engine.seen().len(), engine.most_running()), (12, 2));
    assert_eq!(house.board.in_flight(), 0);
    assert_eq!(house.rows("m").await, (12, 12, 84, 36));
    assert!(house.metric(&["penstock_queue_wait_seconds_count"]).await >= 12.0);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_with_the_engines_numbers() {
    const TOO_LONG: &str = r#"{"error":{"code":400,"message":"request (9010 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9010,"n_ctx":4096}}"#;
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::whole("400 Bad Request", TOO_LONG));
    house.publish([limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.context = Some(4096))]);
    for body in [CHAT, STREAM] {
        let answer = house.chat(body).await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status, 400);
        assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("context_length_exceeded"), Some("messages")));
        assert_eq!((error["type"].as_str(), error["n_prompt_tokens"].as_u64()), (Some("invalid_request_error"), Some(9010)));
    }
    let ids: Vec<String> = (0..4097).map(|id| id.to_string()).collect();
    let known = format!(r#"{{"model":"m","prompt":[{}]}}"#, ids.join(","));
    let answer = house.ask(house.request("/v1/completions", known)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "context_length_exceeded"));
    assert_eq!(engine.seen().len(), 2, "what can be told from here does not reach the engine");
}

#[tokio::test]
async fn a_model_without_a_counter_of_events_is_estimated() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::events(&[fake::ROLE, fake::HI, fake::HI, fake::STOP, fake::DONE]));
    house.publish([entry("m", ALL, &[(&engine.endpoint, 1)])]);
    assert_eq!(house.chat(STREAM).await.status, 200);
    let (calls, completed, prompt, completion) = house.rows("m").await;
    assert_eq!((calls, completed, completion), (1, 1, 2));
    assert!((1..20).contains(&prompt), "{prompt}");
}

#[tokio::test]
async fn once_the_models_vocabulary_is_read_long_prompts_are_counted_here() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::answer());
    let mut deployment = limited(entry("m", STREAMS, &[(&engine.endpoint, 1)]), |spec| spec.context = Some(64));
    deployment.version = Some(Arc::new(tiny()));
    house.publish([deployment]);
    let ask = async |words: usize| house.chat(&CHAT.replace("hi", &"The capital of France is Paris. ".repeat(words))).await;
    assert_eq!(ask(100).await.status, 200, "the first call does not wait for the vocabulary");
    until(|| house.counts.ready("sha256:tiny").is_some()).await;
    let (fits, longer, far_longer, farthest) = (ask(5).await, ask(20).await, ask(1000).await, ask(20_000).await);
    assert_eq!(fits.status, 200, "more bytes than the context has tokens, but not more tokens: {}", fits.body);
    for answer in [&longer, &far_longer, &farthest] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "context_length_exceeded"));
        assert!(answer.body.contains("the context of `m` is 64 tokens"), "{}", answer.body);
    }
    assert_eq!(engine.seen().len(), 2);
    let counted = |answer: &Answer| {
        let (_, tokens) = answer.body.split_once("at least ").unwrap();
        tokens.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert!(counted(&farthest) < 5 * counted(&far_longer), "no more is counted than shows that it is too long: {}", farthest.body);
}

#[tokio::test]
async fn a_large_body_is_passed_on_whole() {
    let house = House::new().await;
    let engine = Fake::unix(house.dir.path(), "e.sock", |_, _| fake::whole("200 OK", "{}"));
    house.publish([entry("m", ALL, &[(&engine.endpoint, 1)])]);
    let body = CHAT.replace("hi", &"über ".repeat(100_000));
    assert_eq!(house.chat(&body).await.status, 200);
    assert!(engine.seen()[0].body == body, "600 kB, byte for byte");
}

#[tokio::test]
async fn a_reply_that_comes_whole_where_a_stream_was_asked_for_is_told_as_a_stream() {
    let house = House::new().await;
    let reply = r#"{"id":"c1","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"über"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::whole("200 OK", reply));
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 4)])]);
    let plain = house.chat(STREAM).await;
    assert_eq!((plain.status.as_u16(), plain.header("content-type")), (200, "text/event-stream"));
    assert_eq!((plain.body.matches("data: ").count(), plain.body.matches("data: [DONE]\n\n").count()), (2, 1), "{}", plain.body);
    assert!(plain.body.contains(r#""delta":{"role":"assistant","content":"über"}"#) && !plain.body.contains("prompt_tokens"));
    let counted = house.chat(&STREAM.replace(r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#)).await;
    assert!(counted.body.contains(r#""choices":[],"usage":{"prompt_tokens":7"#), "{}", counted.body);
    let folded = house.chat(CHAT).await.json();
    assert_eq!((folded["object"].as_str(), folded["usage"]["total_tokens"].as_u64()), (Some("chat.completion"), Some(10)));
    assert_eq!(folded["choices"][0]["message"]["content"], "über");
    for (path, body) in [
        ("/api/chat", STREAM.to_owned()),
        ("/v1/messages", STREAM.replacen('{', r#"{"max_tokens":9,"#, 1)),
        ("/v1/responses", r#"{"model":"m","input":"hi","stream":true}"#.to_owned()),
    ] {
        let answer = house.ask(house.request(path, body)).await;
        assert!(answer.status == 200 && answer.body.contains("über"), "{path}: {}", answer.body);
    }
    assert_eq!(house.rows("m").await, (6, 6, 42, 18));
    let other = Fake::unix(house.dir.path(), "other.sock", |_, _| fake::whole("200 OK", r#"{"status":"ok"}"#));
    house.publish([entry("m", STREAMS, &[(&other.endpoint, 4)])]);
    for body in [STREAM, CHAT] {
        let refused = house.chat(body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (502, "upstream_error"));
        assert!(refused.body.contains("asked for a stream and sent something else, which is no reply either"), "{}", refused.body);
    }
}

#[tokio::test]
async fn choices_of_several_prompts_keep_their_places_whole_and_streamed() {
    let piece = |index: usize, text: &str, finish: &str| {
        format!(
            r#"{{"id":"c","object":"text_completion","created":1,"model":"up","choices":[{{"index":{index},"text":"{text}","logprobs":null,"finish_reason":{finish}}}]}}"#
        )
    };
    // Choice j of prompt i has the place 2 i + j; they come in any order.
    let words = ["one ", "two "].iter().flat_map(|word| [2, 0, 3, 1].map(|index| piece(index, &format!("{word}{index} "), "null")));
    let mut said: Vec<String> = words.chain([3, 1, 0, 2].map(|index| piece(index, "", r#""stop""#))).collect();
    said.push(fake::DONE.to_owned());
    let house = House::new().await;
    let events = said.clone();
    let engine = Fake::unix(house.dir.path(), "e.sock", move |_, _| fake::events(&events.iter().map(String::as_str).collect::<Vec<_>>()));
    house.publish([entry("m", STREAMS, &[(&engine.endpoint, 1)])]);
    let ask = r#"{"model":"m","prompt":["a","b"],"n":2}"#;
    let whole = house.ask(house.request("/v1/completions", ask)).await.json();
    let found: Vec<_> = whole["choices"].as_array().unwrap().iter().map(|one| (one["index"].as_u64(), one["text"].as_str())).collect();
    let expected = ["one 0 two 0 ", "one 1 two 1 ", "one 2 two 2 ", "one 3 two 3 "];
    assert_eq!(found, (0..).zip(expected).map(|(index, text)| (Some(index), Some(text))).collect::<Vec<_>>(), "{whole}");
    let streamed = house.ask(house.request("/v1/completions", ask.replace("\"n\"", "\"stream\":true,\"n\""))).await;
    assert_eq!(streamed.body, said.iter().map(|event| format!("data: {event}\n\n")).collect::<Vec<_>>().concat());
}
