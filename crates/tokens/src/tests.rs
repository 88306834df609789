//! Text comes back as it went in, pieces are cut where the engine cuts them, and a counter is read
//! once however many ask.

use std::sync::{Arc, LazyLock};

use base::{Fault as _, Kind};
use gguf::Vocabulary;
use gguf::sample::Sample;
use gguf::vocabulary::TokenType;
use proptest::collection::vec;
use proptest::prelude::*;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper};

use crate::byte_level::cutters;
use crate::splits::cut;
use crate::{Count, Counter, Counts, Error, PIECE, estimate};

const TEXTS: [&str; 9] = [
    "What is the capital of France?",
    "The capital of France is Paris.\n",
    "  two  spaces,\n\n\tand a tab\t\n",
    "12345 67 8.9e10 it's IT'S we'LL",
    "Größe, naïve, Ελλάδα, Москва",
    "日本語のテキスト 中文",
    "emoji \u{1f980}\u{1f9d1}\u{200d}\u{1f680}!",
    "fn main() { println!(\"{}\", 1 << 3); }\r\n",
    "\u{0}\u{7f}\u{feff}\u{a0}x",
];

fn tiny() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf").into()
}

fn vocabulary(sample: &Sample) -> Vocabulary {
    gguf::parse_vocabulary(sample.header().as_slice(), sample.file_len()).unwrap()
}

/// Writes a file of this sample, with its data.
fn written(folder: &tempfile::TempDir, sample: &Sample) -> std::path::PathBuf {
    let path = folder.path().join("sample.gguf");
    let mut bytes = sample.header();
    bytes.resize(usize::try_from(sample.file_len()).unwrap(), 0);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A small vocabulary with scores.
fn sentence_pieces() -> Sample {
    let scores = [0.0, 0.0, 0.0, 0.0, 0.0, -20.0, -21.0, -22.0, -23.0, -2.0, -1.0, -3.0, -4.0];
    let types = [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1];
    let sample = Sample::of("llama").text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", &SENTENCE_PIECES);
    let sample = sample.reals("tokenizer.ggml.scores", &scores).numbers("tokenizer.ggml.token_type", &types);
    sample.number("tokenizer.ggml.bos_token_id", 1)
}

/// Its tokens.
const SENTENCE_PIECES: [&str; 13] =
    ["<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u{2581}", "a", "b", "c", "ab", "bc", "\u{2581}a", "\u{2581}abc"];

/// Counted by pieces of so many bytes.
fn by_pieces(counter: &Counter, text: &str, most: usize) -> Count {
    let (mut sum, mut rest) = (Count::default(), text);
    while !rest.is_empty() {
        let (count, more) = counter.count_piece(rest, most);
        sum = Count { tokens: sum.tokens + count.tokens, unsure: sum.unsure + count.unsure };
        assert!(rest.len() - more.len() <= most + 1, "a piece of at most so many bytes, and a space");
        rest = more;
    }
    sum
}

/// What cuts under this name.
fn knives(pre: Option<&str>) -> Vec<PreTokenizerWrapper> {
    cutters(&cut(pre).unwrap()).unwrap()
}

fn pieces(knives: &[PreTokenizerWrapper], text: &str) -> Vec<String> {
    let mut whole = PreTokenizedString::from(text);
    for knife in knives {
        knife.pre_tokenize(&mut whole).unwrap();
    }
    let splits = whole.get_splits(OffsetReferential::Original, OffsetType::Byte);
    splits.into_iter().map(|(piece, ..)| piece.to_owned()).collect()
}

#[test]
fn every_text_comes_back_from_the_tokens_of_our_model() {
    let counter = Counter::from_gguf(tiny()).unwrap();
    for text in TEXTS {
        let tokens = counter.encode(text).unwrap();
        assert_eq!(counter.tokenizer.decode(&tokens, false).unwrap(), text);
        assert_eq!(counter.count(text), tokens.len() as u64);
        assert!(tokens.len() <= text.len(), "more tokens than bytes: {text:?}");
    }
    assert_eq!(counter.count(""), 0);
}

#[test]
fn a_token_of_our_model_is_its_own_encoding() {
    let vocabulary = Vocabulary::read(tiny()).unwrap();
    let counter = Counter::new(&vocabulary).unwrap();
    let knives = knives(vocabulary.pre.as_deref());
    let (mut tried, mut itself) = (0, 0);
    for (id, kind) in (0..).zip(&vocabulary.types) {
        let text = counter.tokenizer.decode(&[id], false).unwrap();
        // A token that is half a letter, or that the cutting would part, cannot stand alone.
        if text.contains('\u{fffd}') || *kind != TokenType::Normal || pieces(&knives, &text).len() != 1 {
            continue;
        }
        let tokens = counter.encode(&text).unwrap();
        assert_eq!(counter.tokenizer.decode(&tokens, false).unwrap(), text);
        tried += 1;
        itself += u32::from(tokens == [id]);
    }
    assert!(tried > 200, "only {tried} tokens can stand alone");
    // A merge that another one forestalls leaves a token that no text becomes; they are few.
    assert!(itself * 100 >= tried * 98, "{itself} of {tried}");
}

#[test]
fn special_tokens_count_one_wherever_they_stand() {
    let vocabulary = Vocabulary::read(tiny()).unwrap();
    let counter = Counter::new(&vocabulary).unwrap();
    let specials: Vec<_> = vocabulary.tokens.iter().zip(&vocabulary.types).filter(|(_, kind)| **kind == TokenType::Control).collect();
    assert!(!specials.is_empty());
    for (special, _) in specials {
        assert_eq!(counter.count(special), 1, "{special}");
        let inside = format!("Hello{special}world");
        assert_eq!(counter.count(&inside), counter.count("Hello") + 1 + counter.count("world"), "{special}");
    }
}

#[test]
fn what_the_engine_puts_around_a_prompt_is_known() {
    let base = Sample::llama().number("tokenizer.ggml.bos_token_id", 3);
    let around = |sample: &Sample| Counter::new(&vocabulary(sample)).unwrap().around();
    assert_eq!(around(&base), 0);
    assert_eq!(around(&base.clone().flag("tokenizer.ggml.add_bos_token", true)), 1);
    let both = base.flag("tokenizer.ggml.add_bos_token", true).flag("tokenizer.ggml.add_eos_token", true);
    assert_eq!(around(&both), 2);
}

#[test]
fn pieces_are_cut_as_each_family_does() {
    let text = "I'LL pay $12345.67 now\n\n ok";
    let cases: [(&str, &[&str]); 6] = [
        ("gpt-2", &["I", "'", "LL", " pay", " $", "12345", ".", "67", " now", "\n\n", " ok"]),
        ("starcoder", &["I", "'", "LL", " pay", " $", "1", "2", "3", "4", "5", ".", "6", "7", " now", "\n\n", " ok"]),
        ("llama-bpe", &["I", "'LL", " pay", " $", "123", "45", ".", "67", " now", "\n\n", " ok"]),
        ("qwen2", &["I", "'LL", " pay", " $", "1", "2", "3", "4", "5", ".", "6", "7", " now", "\n\n", " ok"]),
        ("gpt-4o", &["I'LL", " pay", " $", "123", "45", ".", "67", " now", "\n\n", " ok"]),
        ("deepseek-v3", &["I", "'LL", " pay", " $", "123", "45", ".", "67", " now", "\n\n", " ok"]),
    ];
    for (pre, expected) in cases {
        assert_eq!(pieces(&knives(Some(pre)), text), expected, "{pre}");
    }
    assert_eq!(pieces(&knives(Some("tekken")), "fooBarBAZ 12"), ["foo", "Bar", "BAZ", " ", "1", "2"]);
    assert_eq!(pieces(&knives(Some("deepseek-v3")), "a日本b"), ["a", "日本", "b"]);
    assert_eq!(pieces(&knives(Some("qwen35")), "e\u{301}a"), ["e\u{301}a"]);
    assert_eq!(pieces(&knives(None), "wait... 1234"), ["wait", "...", " ", "123", "4"]);
}

#[test]
fn every_known_name_gives_expressions_that_compile() {
    let names = [
        "default",
        "falcon",
        "gpt-2",
        "smollm",
        "llama-bpe",
        "dbrx",
        "glm4",
        "minicpm5",
        "qwen2",
        "qwen35",
        "deepseek-v3",
        "gpt-4o",
        "tekken",
    ];
    for name in names {
        let knives = knives(Some(name));
        for text in TEXTS {
            assert_eq!(pieces(&knives, text).concat(), text, "{name}");
        }
    }
    assert_eq!(cut(Some("none such")), None);
}

#[test]
fn sentence_piece_merges_the_best_score_first_and_falls_back_to_bytes() {
    let (tokens, sample) = (SENTENCE_PIECES, sentence_pieces());
    let counter = Counter::new(&vocabulary(&sample)).unwrap();
    let spelt = |text: &str| -> Vec<&str> { counter.encode(text).unwrap().iter().map(|id| tokens[*id as usize]).collect() };
    // `bc` goes first, then `_a`, then both.
    assert_eq!(spelt("abc"), ["\u{2581}abc"]);
    assert_eq!(spelt("a abc"), ["\u{2581}a", "\u{2581}abc"]);
    assert_eq!(spelt("ab"), ["\u{2581}", "ab"]);
    assert_eq!(spelt("cé"), ["\u{2581}", "c", "<0xC3>", "<0xA9>"]);
    assert_eq!(spelt("a</s>b"), ["\u{2581}a", "</s>", "\u{2581}", "b"]);
    assert_eq!(counter.around(), 1);

    let bare = Counter::new(&vocabulary(&sample.flag("tokenizer.ggml.add_space_prefix", false))).unwrap();
    assert_eq!(bare.count("abc"), 2);
}

#[test]
fn tokenizers_that_we_do_not_have_are_named() {
    let of = |model: &str, pre: &str| {
        let sample = Sample::of("llama").text("tokenizer.ggml.model", model).text("tokenizer.ggml.pre", pre);
        Counter::new(&vocabulary(&sample.texts("tokenizer.ggml.tokens", &["a"]))).unwrap_err()
    };
    assert!(matches!(of("bert", "x"), Error::Model { model } if model == "bert"));
    assert!(matches!(of("gpt2", "klingon"), Error::Pre { pre } if pre == "klingon"));
    assert!(matches!(of("llama", "default"), Error::Model { .. }));
    assert_eq!(of("bert", "x").kind(), Kind::Unavailable);
}

#[test]
fn a_merge_of_tokens_that_are_not_there_is_an_error() {
    let sample = Sample::of("llama")
        .text("tokenizer.ggml.model", "gpt2")
        .texts("tokenizer.ggml.tokens", &["a", "b"])
        .texts("tokenizer.ggml.merges", &["a b"]);
    assert!(matches!(Counter::new(&vocabulary(&sample)), Err(Error::Build(_))));
}

#[test]
fn a_counter_is_read_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &Sample::llama());
    let counts = Counts::default();
    assert!(counts.ready("one").is_none());
    let all: Vec<_> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..4).map(|_| scope.spawn(|| counts.read("one", &path).unwrap())).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert!(all.iter().all(|counter| Arc::ptr_eq(counter, &all[0])));
    assert_eq!(all[0].count("ab<|end|>"), 2);
    std::fs::remove_file(&path).unwrap();
    assert!(Arc::ptr_eq(&counts.read("one", &path).unwrap(), &all[0]));
    assert!(Arc::ptr_eq(&counts.ready("one").unwrap(), &all[0]));
    counts.forget("one");
    assert!(counts.ready("one").is_none());
}

#[test]
fn the_counter_not_asked_for_longest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &Sample::llama());
    let counts = Counts::new(2);
    for digest in ["one", "two"] {
        counts.read(digest, &path).unwrap();
    }
    assert!(counts.ready("one").is_some());
    counts.read("three", &path).unwrap();
    let kept = ["one", "two", "three"].map(|digest| counts.ready(digest).is_some());
    assert_eq!(kept, [true, false, true]);
}

#[test]
fn what_can_never_be_read_is_not_tried_again_but_a_missing_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.gguf");
    let counts = Counts::default();
    assert_eq!(counts.read("one", &path).unwrap_err().kind(), Kind::NotFound);
    std::fs::write(&path, b"<html>").unwrap();
    assert_eq!(counts.read("one", &path).unwrap_err().kind(), Kind::Invalid);
    written(&folder, &Sample::llama());
    assert_eq!(counts.read("one", &path).unwrap_err().kind(), Kind::Invalid);
    assert!(counts.ready("one").is_none());
    assert!(counts.read("two", &path).is_ok());
}

#[test]
fn an_estimate_is_near_for_english_and_never_zero_for_text() {
    assert_eq!(estimate(""), 0);
    assert_eq!(estimate("a"), 1);
    assert_eq!(estimate("What is the capital of France?"), 8);
    assert_eq!(estimate("日本語"), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_at_all_comes_back(text in "\\PC{0,40}|[ \\t\\r\\na-zA-Z0-9']{0,40}") {
        static COUNTER: LazyLock<Counter> = LazyLock::new(|| Counter::from_gguf(tiny()).unwrap());
        let counter = &*COUNTER;
        let tokens = counter.encode(&text).unwrap();
        prop_assert_eq!(counter.tokenizer.decode(&tokens, false).unwrap(), text);
    }

    #[test]
    fn words_counted_by_pieces_are_as_many_tokens_as_at_once(words in vec("[a-zA-Z0-9.,'!?é日]{1,4}(\n{1,2}[ ]{0,2}[a-c]{1,3})?", 0..16)) {
        static COUNTERS: LazyLock<Vec<Counter>> = LazyLock::new(|| {
            let tiny = Vocabulary::read(tiny()).unwrap();
            let names = [None, Some("gpt-2"), Some("smollm"), Some("llama-bpe"), Some("minicpm5"), Some("qwen2"), Some("qwen35"), Some("deepseek-v3"),
                Some("gpt-4o"), Some("tekken")];
            names.map(|pre| Counter::new(&Vocabulary { pre: pre.map(str::to_owned), ..tiny.clone() }).unwrap()).into()
        });
        let text = words.join(" ");
        for counter in &*COUNTERS {
            prop_assert_eq!(by_pieces(counter, &text, 40).tokens, counter.encode(&text).unwrap().len() as u64);
        }
    }

    #[test]
    fn so_are_those_of_sentence_piece(words in vec("[abcé]{1,9}", 0..80)) {
        static COUNTERS: LazyLock<[Counter; 2]> = LazyLock::new(|| {
            let sample = sentence_pieces();
            let bare = sample.clone().flag("tokenizer.ggml.add_space_prefix", false);
            [sample, bare].map(|sample| Counter::new(&vocabulary(&sample)).unwrap())
        });
        let text = words.join(" ");
        for counter in &*COUNTERS {
            prop_assert_eq!(by_pieces(counter, &text, 40).tokens, counter.encode(&text).unwrap().len() as u64);
        }
    }
}

#[test]
fn of_a_long_text_without_a_space_only_what_is_sure_is_said_to_be() {
    let counter = Counter::from_gguf(tiny()).unwrap();
    for (word, spaced) in [("tokens", false), ("日本語", false), ("=", false), (" ", false), ("Paris is large. ", true)] {
        let text = word.repeat(3 * PIECE / word.len());
        let (whole, sum) = (counter.encode(&text).unwrap().len() as u64, by_pieces(&counter, &text, PIECE));
        assert!(sum.at_least() <= whole && sum.unsure > 0, "{word}: {sum:?} {whole}");
        assert!(sum.tokens.abs_diff(whole) <= if spaced { 0 } else { 8 }, "{word}: {sum:?} {whole}");
        assert_eq!(counter.count(&text), sum.tokens);
    }
    let (first, rest) = counter.count_start("What is the capital of France?");
    assert_eq!((first.unsure, rest), (0, ""));
}

#[test]
fn a_chat_is_counted_as_the_engine_reads_it() {
    let counter = Counter::from_gguf(tiny()).unwrap();
    let count =
        |messages: &str, tools: Option<&str>| counter.write_chat(messages, tools).map(|chat| counter.count(&chat.text) + chat.around);
    let messages = r#"[{"role":"user","content":"What is the capital of France?"}]"#;
    // By llama-server's own usage of this question.
    assert_eq!(count(messages, None), Some(15));
    let parts = r#"[{"role":"user","content":[{"type":"text","text":"What is the capital of France?"}]}]"#;
    assert_eq!(count(parts, None), Some(15));
    let tools = r#"[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]"#;
    assert!(count(messages, Some(tools)).is_some_and(|tokens| tokens > 15));
    assert_eq!(count("no list", None), None);
}

#[test]
fn a_template_that_never_ends_or_asks_for_too_much_is_given_up() {
    let endless = Sample::llama()
        .text("tokenizer.chat_template", "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}");
    let odd = Sample::llama().text("tokenizer.chat_template", "{{ messages | nonsense }}");
    for sample in [endless, odd] {
        let counter = Counter::new(&vocabulary(&sample)).unwrap();
        assert_eq!(counter.write_chat("[]", None), None);
    }
}

#[test]
fn an_estimate_counts_every_letter_however_long_the_text() {
    assert_eq!(estimate("wörter ".repeat(500)), (6_u64 * 500).div_ceil(4) + 500);
    assert_eq!(estimate("水".repeat(1_000)), 1_000);
    assert_eq!(estimate("word".repeat(1_000)), 1_000);
}
