//! Is what the gateway reads and says what OpenAI's clients mean and expect?

use base::Fault as _;
use bytes::Bytes;

use super::usage::Tally;
use super::{Ask, Shape, Usage, error, models};
use crate::sample::transcript;
use crate::{Error, scan};

fn ask(shape: Shape, body: &str) -> Result<Ask, Error> {
    Ask::read(shape, &scan::object_in(body)?)
}

#[test]
fn a_chat_request_says_what_the_gateway_needs() {
    let body = r#"{"model":"org/m:latest","messages":[{"role":"user","content":"hi"}],"stream":true,
        "stream_options":{"include_usage":true,"include_obfuscation":false},"n":2,"max_tokens":5,"max_completion_tokens":7}"#;
    let read = ask(Shape::Chat, body).unwrap();
    let expected = Ask {
        shape: Shape::Chat,
        model: "org/m:latest".to_owned(),
        stream: true,
        include_usage: true,
        n: 2,
        max_tokens: Some(7),
        prompts: 1,
    };
    assert_eq!(read, expected);
}

#[test]
fn an_explicit_null_counts_as_absent() {
    let body = r#"{"model":"m","messages":[{}],"stream":null,"stream_options":null,"n":null,"max_tokens":null}"#;
    let read = ask(Shape::Chat, body).unwrap();
    assert_eq!((read.stream, read.include_usage, read.n, read.max_tokens), (false, false, 1, None));
}

#[test]
fn prompts_are_counted_as_the_engine_counts_them() {
    let prompts = |prompt: &str| ask(Shape::Completions, &format!(r#"{{"model":"m","prompt":{prompt}}}"#)).unwrap().prompts;
    assert_eq!(prompts("\"a\""), 1);
    assert_eq!(prompts("[\"a\",\"b\",\"c\"]"), 3);
    assert_eq!(prompts("[1,2,3]"), 1);
    assert_eq!(prompts("[[1,2],[3]]"), 2);
    assert_eq!(prompts("[\"a\",[1,2]]"), 2);
    assert_eq!(prompts("[1,\"a\",2]"), 1, "a text among its token ids");
    assert_eq!(ask(Shape::Embeddings, r#"{"model":"m","input":["a","b"],"stream":7}"#).unwrap().prompts, 2);
}

#[test]
fn a_wrong_request_names_the_member_at_fault() {
    let cases = [
        (Shape::Chat, r#"{"messages":[{}]}"#, "model", "`model` is missing"),
        (Shape::Chat, r#"{"model":1,"messages":[{}]}"#, "model", "`model` must be a string, not a number"),
        (Shape::Chat, r#"{"model":" ","messages":[{}]}"#, "model", "`model` must name a model; `/v1/models` lists those that there are"),
        (Shape::Chat, r#"{"model":"m"}"#, "messages", "`messages` is missing"),
        (Shape::Chat, r#"{"model":"m","messages":5}"#, "messages", "`messages` must be an array, not a number"),
        (Shape::Chat, r#"{"model":"m","messages":[ ]}"#, "messages", "`messages` must hold at least one message"),
        (Shape::Chat, r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "stream", "`stream` must be a boolean, not a string"),
        (
            Shape::Chat,
            r#"{"model":"m","messages":[{}],"stream_options":{"include_usage":true}}"#,
            "stream_options",
            "`stream_options` is only allowed together with `\"stream\": true`",
        ),
        (
            Shape::Chat,
            r#"{"model":"m","messages":[{}],"stream":true,"stream_options":[]}"#,
            "stream_options",
            "`stream_options` must be an object, not an array",
        ),
        (
            Shape::Chat,
            r#"{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":1}}"#,
            "stream_options.include_usage",
            "`stream_options.include_usage` must be a boolean, not a number",
        ),
        (Shape::Chat, r#"{"model":"m","messages":[{}],"n":0}"#, "n", "`n` must be a whole number from 1 to 128"),
        (Shape::Chat, r#"{"model":"m","messages":[{}],"n":1e9}"#, "n", "`n` must be a whole number from 1 to 128"),
        (Shape::Chat, r#"{"model":"m","messages":[{}],"max_tokens":"9"}"#, "max_tokens", "`max_tokens` must be an integer, not a string"),
        (Shape::Completions, r#"{"model":"m"}"#, "prompt", "`prompt` is missing"),
        (Shape::Completions, r#"{"model":"m","prompt":{}}"#, "prompt", "`prompt` must be a string or an array, not an object"),
        (Shape::Embeddings, r#"{"model":"m","input":[]}"#, "input", "`input` must hold at least one text"),
        (
            Shape::Embeddings,
            r#"{"model":"m","input":[null]}"#,
            "input",
            "`input` must be a string, or an array of strings, of token ids or of lists of token ids, not null",
        ),
        (
            Shape::Embeddings,
            r#"{"model":"m","input":["a",true]}"#,
            "input",
            "`input` must be a string, or an array of strings, of token ids or of lists of token ids, not a boolean",
        ),
        (Shape::Embeddings, r#"{"model":"m","input":[1,[1]]}"#, "input", "`input` must hold token ids or lists of token ids, not both"),
        (Shape::Chat, r#"{"model":"m","messages":[{}],"n_cmpl":129}"#, "n_cmpl", "`n_cmpl` must be a whole number from 1 to 128"),
        (Shape::Completions, r#"{"model":"m","prompt":"a","n_predict":"9"}"#, "n_predict", "`n_predict` must be an integer, not a string"),
    ];
    for (shape, body, param, text) in cases {
        let error = ask(shape, body).unwrap_err();
        assert_eq!((error.param(), error.public().as_str()), (Some(param), text), "{body}");
        assert_eq!(error.kind(), base::Kind::Invalid);
    }
}

#[test]
fn a_negative_bound_is_the_engines_to_judge() {
    assert_eq!(ask(Shape::Chat, r#"{"model":"m","messages":[{}],"max_tokens":-1}"#).unwrap().max_tokens, None);
}

#[test]
fn of_the_names_that_engines_heed_the_one_that_asks_for_most_counts() {
    let both = |more: &str| {
        [(Shape::Chat, r#""messages":[{}]"#), (Shape::Completions, r#""prompt":"a""#)].map(|(shape, prompt)| {
            let read = ask(shape, &format!(r#"{{"model":"m",{prompt},{more}}}"#)).unwrap();
            (read.n, read.max_tokens)
        })
    };
    for (more, expected) in [
        (r#""max_tokens":1,"n_predict":200"#, (1, Some(200))),
        (r#""n_predict":1,"max_tokens":200"#, (1, Some(200))),
        (r#""max_tokens":1,"max_completion_tokens":200"#, (1, Some(200))),
        (r#""max_tokens":1,"n_predict":-1"#, (1, None)),
        (r#""n_predict":200,"max_tokens":1.5"#, (1, None)),
        (r#""max_tokens":1,"n_predict":null"#, (1, Some(1))),
        (r#""max_tokens":1,"n_predict":2,"n_predict":3"#, (1, Some(3))),
        (r#""n":2,"n_cmpl":4"#, (4, None)),
        (r#""n":4,"n_cmpl":2"#, (4, None)),
        (r#""n":2,"best_of":5"#, (5, None)),
    ] {
        assert_eq!(both(more), [expected, expected], "{more}");
    }
    let embeddings = ask(Shape::Embeddings, r#"{"model":"m","input":"a","n_predict":200,"max_tokens":"x"}"#).unwrap();
    assert_eq!(embeddings.max_tokens, None, "nothing is generated");
}

#[test]
fn more_choices_than_a_stream_may_have_are_refused_before_it_is_asked_for() {
    let texts = |count: usize| vec![r#""a""#; count].join(",");
    let choices = |count, more: &str| ask(Shape::Completions, &format!(r#"{{"model":"m","prompt":[{}]{more}}}"#, texts(count)));
    for (count, more) in [(1024, ""), (512, r#","n":2"#), (1000, r#","best_of":20"#)] {
        assert_eq!(choices(count, more).unwrap().prompts, count as u64);
    }
    for (count, more) in [(1025, ""), (513, r#","n":2"#), (513, r#","n_cmpl":2"#)] {
        let error = choices(count, more).unwrap_err();
        assert_eq!((error.param(), error.kind()), (Some("prompt"), base::Kind::Invalid), "{count} {more}");
    }
    assert_eq!(ask(Shape::Embeddings, &format!(r#"{{"model":"m","input":[{}]}}"#, texts(2048))).unwrap().prompts, 2048);
}

#[test]
fn an_error_has_all_four_keys_and_may_have_more() {
    let plain = error::Body::new("server_error", "it broke");
    assert_eq!(plain.to_bytes(), r#"{"error":{"message":"it broke","type":"server_error","param":null,"code":null}}"#);
    let loading = error::Body::new("model_loading", "starting").code("model_loading").loading("loading", Some(0.5), None).with("code", 7);
    assert_eq!(
        loading.to_bytes(),
        r#"{"error":{"message":"starting","type":"model_loading","param":null,"code":"model_loading","loading":{"state":"loading","progress":0.5,"eta_seconds":null}}}"#
    );
    assert!(error::is_openai_error(&plain.param("n").to_bytes()));
}

#[test]
fn only_the_whole_shape_is_an_openai_error() {
    for other in [
        "",
        "no JSON",
        r#"{"detail":"x"}"#,
        r#"{"error":"x"}"#,
        r#"{"error":{"message":"x","type":"t","param":null}}"#,
        r#"{"error":{"message":"x","type":"t","param":null,"code":400}}"#,
    ] {
        assert!(!error::is_openai_error(other.as_bytes()), "{other}");
    }
}

#[test]
fn an_engines_error_is_put_into_shape_and_never_into_a_text() {
    let bodies: [(&str, &[u8]); 8] = [
        ("already right", br#"{"error":{"message":"x","type":"t","param":null,"code":null,"extra":12345678901234567890123}}"#),
        ("llama-server", transcript!("error.json")),
        ("llama-server, context", transcript!("error-context.json")),
        ("vLLM, context", br#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}"#),
        ("a text", br#"{"error":"model not found"}"#),
        ("FastAPI", br#"{"detail":"Not Found"}"#),
        ("FastAPI, findings", br#"{"detail":[{"loc":["body","n"],"msg":"value is not an integer"}]}"#),
        ("a page", b"<html>502</html>"),
    ];
    let told: Vec<String> = bodies
        .iter()
        .map(|(name, body)| format!("{name}: {}", String::from_utf8_lossy(&error::relay(&Bytes::copy_from_slice(body)))))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn models_are_listed_with_all_that_clients_require() {
    let tiny = models::Model::new("org/tiny:latest", 7, "penstock").with("state", "ready").with("id", "x");
    let one = r#"{"id":"org/tiny:latest","object":"model","created":7,"owned_by":"penstock","state":"ready"}"#;
    assert_eq!(models::one(&tiny), one);
    assert_eq!(models::list(&[tiny]), format!(r#"{{"object":"list","data":[{one}]}}"#));
    assert_eq!(models::list(&[]), r#"{"object":"list","data":[]}"#);
}

#[test]
fn a_usage_is_read_with_its_details_and_without() {
    let full = r#"{"completion_tokens":8,"prompt_tokens":15,"total_tokens":23,"prompt_tokens_details":{"cached_tokens":14}}"#;
    assert_eq!(Usage::parse(full), Some(Usage { prompt: 15, completion: 8, total: 23, cached: 14, reasoning: 0 }));
    assert_eq!(
        Usage::parse(r#"{"prompt_tokens":3,"total_tokens":3}"#),
        Some(Usage { prompt: 3, completion: 0, total: 3, cached: 0, reasoning: 0 })
    );
    let without_prompt = [(r#"{"completion_tokens":8,"total_tokens":23}"#, 15), (r#"{"completion_tokens":8}"#, 0)];
    assert!(without_prompt.iter().all(|(text, prompt)| Usage::parse(text) == Some(Usage::new(*prompt, 8))));
    assert_eq!(Usage::parse(r#"{"prompt_tokens":15,"total_tokens":23}"#), Some(Usage::new(15, 8)));
    let too_many = r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":100}}"#;
    assert_eq!(Usage::parse(too_many).unwrap().cached, 10, "no more is cached than there is");
    assert_eq!((Usage::parse("null"), Usage::parse("{}")), (None, None));
    assert_eq!(Usage::parse(&Usage::new(1, 2).to_json()), Some(Usage::new(1, 2)));
}

#[test]
fn usages_of_several_choices_become_one() {
    let part = |completion| Usage::new(15, completion).to_json();
    let mut alone = Tally::default();
    alone.note(&part(4), std::iter::empty());
    alone.note(&part(6), std::iter::empty());
    assert_eq!(alone.total(2).unwrap().0, Usage::new(15, 10));
    assert_eq!(alone.total(1).unwrap().0, Usage::new(15, 6), "with one choice the later count is the whole count");
    let mut running = Tally::default();
    for (completion, index) in [(1, 0), (1, 1), (2, 0), (3, 1)] {
        running.note(&part(completion), std::iter::once(index));
    }
    assert_eq!(running.total(2).unwrap().0, Usage::new(15, 5));
    running.note(&part(5), std::iter::empty());
    assert_eq!(running.total(2).unwrap(), (Usage::new(15, 5), part(5)), "a count of the whole call is taken as it is");
}

#[test]
fn usages_of_several_prompts_are_summed() {
    let part = |(prompt, cached)| Usage { cached, ..Usage::new(prompt, 3) }.to_json();
    let total = |parts: &[(u64, u64)], by_choice: bool| {
        let mut tally = Tally::default();
        tally.of_prompts(2);
        for (index, told) in parts.iter().enumerate() {
            tally.note(&part(*told), by_choice.then_some(index as u64).into_iter());
        }
        tally.total(4).unwrap().0
    };
    let summed = |prompt, cached, completion| Usage { cached, ..Usage::new(prompt, completion) };
    for by_choice in [true, false] {
        assert_eq!(total(&[(201, 4), (11, 0)], by_choice), summed(212, 4, 6));
        assert_eq!(total(&[(201, 4), (201, 4), (11, 0), (11, 0)], by_choice), summed(212, 4, 12), "two choices of each");
        assert_eq!(total(&[(10, 0), (10, 0), (16, 0)], by_choice), summed(24, 0, 9), "one is yet to end");
        assert_eq!(total(&[(212, 4)], by_choice), summed(212, 4, 3), "a count of the whole call is taken as it is");
    }
}
