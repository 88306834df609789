//! Section 1, pass-through: a body goes upstream byte for byte but for a few spliced members.

use testkit::upstream::Script;

use super::{CHAT, DONE, Door, HI, ROLE, STOP, TEXT, chat, wire};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_reaches_the_engine_byte_for_byte_but_for_the_model_name() {
    let door = Door::of(&[("public", "upstream_model: theirs")]).await;
    let body = concat!(
        "{ \"messages\" : [{\"role\":\"user\",\"content\":\"a\\u0000 \\ud83d \u{1f600} \\/\",\"x\":1,\"x\":2}],\r\n\t\"seed\":123456789012345678901,",
        "\"temperature\":1.0e-0, \"service_tier\":null,\"x_vendor\":{\"b\":[1,{}],\"a\":-0.0},\"model\" :\t\"public\", \"x\":1, \"x\":2, \"\":0 }"
    );
    let reply = door.post(CHAT, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let got = &door.upstream.asks()[0];
    assert_eq!(got.text(), body.replace("\"public\"", "\"theirs\""));
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", CHAT));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_model_has_the_same_name_upstream_is_not_touched_at_all() {
    let door = Door::open().await;
    let asks = [
        (CHAT, chat("m", r#","tools":[],"metadata":{"k":"v"},"reasoning_effort":"low","n":1"#)),
        (TEXT, r#"{"prompt":"once", "model":"m","suffix":null,"logit_bias":{"50256":-100}}"#.to_owned()),
        ("/v1/embeddings", r#"{"input":[[1,2,3],[4]],"model":"m","encoding_format":"base64","dimensions":3}"#.to_owned()),
    ];
    for (path, body) in &asks {
        assert_eq!(door.post(path, body).await.status, 200);
    }
    let got: Vec<String> = door.upstream.asks().iter().map(testkit::upstream::Ask::text).collect();
    assert_eq!(got, asks.map(|(_, body)| body));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_is_asked_for_in_a_stream_whose_client_did_not_and_only_then() {
    let door = Door::open().await;
    let asks = [
        (r#","stream":true"#, r#","stream":true,"stream_options":{"include_usage":true}"#),
        (r#","stream":true,"stream_options":null"#, r#","stream":true,"stream_options":{"include_usage":true}"#),
        (
            r#","stream_options":{"include_obfuscation":false},"stream":true"#,
            r#","stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true"#,
        ),
        (
            r#","stream":true,"stream_options":{"include_usage":false,"x":1}"#,
            r#","stream":true,"stream_options":{"include_usage":true,"x":1}"#,
        ),
        (r#","stream":true,"stream_options":{ "include_usage":true }"#, r#","stream":true,"stream_options":{ "include_usage":true }"#),
        (r#","stream":false"#, r#","stream":false"#),
    ];
    for (more, expected) in asks {
        door.upstream.forget();
        door.open_stream(CHAT, &chat("m", more)).await.text().await;
        assert_eq!(door.upstream.asks()[0].text(), chat("m", expected));
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_says_reaches_the_client_byte_for_byte() {
    let door = Door::of(&[("m", "upstream_model: up")]).await;
    let reply = concat!(
        r#"{ "id":"1","x":1,"x":2, "object":"chat.completion","created":1,"model":"up","service_tier":"flex","system_fingerprint":"fp_1","#,
        r#""choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"h\u0000m","reasoning":"hm","content":"Hi \ud83d"},"#,
        r#""token_ids":[1,12345678901234567890],"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#
    );
    door.upstream.next("up", [Script::json(200, reply)]);
    assert_eq!(door.post(CHAT, &chat("m", "")).await.text, reply);
    let odd = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"reasoning_content":"h\u0000m","reasoning":"\ud83d"},"finish_reason":null,"token_ids":[12345678901234567890]}],"service_tier":"flex","system_fingerprint":"fp_1","x":1,"x":2}"#;
    let events = [ROLE, odd, HI, STOP, DONE];
    door.upstream.next("up", [Script::events(events)]);
    assert_eq!(door.streamed("m").await, wire(&events));
    door.close().await;
}

const BODIES: usize = 10_000;

/// Writes JSON in all the ways that it may be written: spaces, escapes, numbers of any size, keys twice.
struct Scribe(u64);

impl Scribe {
    /// One of so many; the same ones in each run.
    fn one_of(&mut self, count: usize) -> usize {
        // xorshift64*, by Marsaglia and Vigna
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).expect("31 bits") % count
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.one_of(from.len())]
    }

    fn space(&mut self) -> &'static str {
        self.pick(&["", "", "", " ", "\t", "\r\n", "\n  "])
    }

    fn several(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> String) -> String {
        let count = self.one_of(most + 1);
        let (before, after) = (self.space(), self.space());
        let all: Vec<String> = (0..count).map(|_| one(self)).collect();
        format!("{before}{}{after}", all.join(&format!("{after},{before}")))
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 16] = [
            "a",
            "word",
            " ",
            "{",
            "]",
            ":,",
            "ä",
            "漢",
            "😀",
            "\u{7f}",
            "\u{2028}",
            "\\u0000",
            "\\ud83d",
            "\\uD83D\\uDE00",
            "\\\"",
            "\\\\\\/\\n",
        ];
        let parts: Vec<&str> = (0..self.one_of(5)).map(|_| self.pick(&PARTS)).collect();
        format!("\"{}\"", parts.concat())
    }

    fn number(&mut self) -> String {
        const WHOLE: [&str; 6] = ["0", "7", "-1", "9007199254740993", "-123456789012345678901234567890", "18446744073709551616"];
        const REST: [&str; 6] = ["", "", ".0", ".10", "e+448", "E-0"];
        format!("{}{}", self.pick(&WHOLE), self.pick(&REST))
    }

    fn value(&mut self, depth: usize) -> String {
        match self.one_of(if depth == 0 { 5 } else { 7 }) {
            0 => "null".to_owned(),
            1 => self.pick(&["true", "false"]).to_owned(),
            2 => self.number(),
            3 | 4 => self.text(),
            5 => format!("[{}]", self.several(3, |scribe| scribe.value(depth - 1))),
            _ => format!("{{{}}}", self.several(3, |scribe| format!("{}{}:{}", scribe.text(), scribe.space(), scribe.value(depth - 1)))),
        }
    }

    /// The two members that a chat needs among any others, in any order.
    fn body(&mut self) -> String {
        const KEYS: [&str; 8] = ["x_a", "x_a", "x_ü", "x_\\u00e9", "seed", "reasoning_effort", "vendor", ""];
        let mut members: Vec<String> =
            (0..self.one_of(6)).map(|_| format!("\"{}\"{}:{}", self.pick(&KEYS), self.space(), self.value(3))).collect();
        let needed = ["\"model\": \"public\"".to_owned(), format!("\"messages\" :[{{\"role\":\"user\",\"content\":{}}}]", self.value(2))];
        let stream = (self.one_of(3) == 0).then(|| "\"stream\":true".to_owned());
        for member in needed.into_iter().chain(stream) {
            members.insert(self.one_of(members.len() + 1), member);
        }
        format!("{{{}}}", members.join(&format!("{},{}", self.space(), self.space())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_generated_bodies_reach_the_engine_equal_but_for_the_spliced_members() {
    let door = Door::of(&[("public", "upstream_model: theirs")]).await;
    let events = wire(&[STOP, DONE]);
    door.upstream.plays_with("theirs", move |ask| {
        // Not every parser knows numbers of this size, so nothing is parsed here.
        let streams = ask.text().contains("\"stream\":true");
        if streams { Script::says(events.clone()) } else { Script::json(200, ask.body.clone()) }
    });
    let (mut scribe, mut line) = (Scribe(88_172_645_463_325_252), door.client.line().await);
    for number in 0..BODIES {
        let sent = scribe.body();
        let streams = sent.contains("\"stream\":true");
        let reply = line.post(CHAT, sent.clone()).await;
        assert_eq!(reply.status, 200, "{sent}\n{}", reply.text);
        let mut expected = sent.replace("\"model\": \"public\"", "\"model\": \"theirs\"");
        if streams {
            expected.truncate(expected.len() - 1);
            expected.push_str(",\"stream_options\":{\"include_usage\":true}}");
        } else {
            assert_eq!(reply.text, expected, "the engine said what it got, and that came back as it was");
        }
        if number % 1000 == 999 || streams {
            let got = door.upstream.asks();
            assert_eq!(got.last().expect("a call").text(), expected);
            door.upstream.forget();
        }
    }
    assert!(door.upstream.connections() < BODIES / 20, "connections are used again: {}", door.upstream.connections());
    door.close().await;
}
