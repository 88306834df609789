//! What the reader accepts, what it refuses and with which words, and that no file breaks it.

use base::{Fault as _, Kind};
use proptest::prelude::*;

use crate::error::Limit;
use crate::sample::Sample;
use crate::{Cache, Error, File, Kept, KvType, Looks, Part, PerLayer, Vocabulary, Weights, fuzz, parse, parse_vocabulary};

fn read(sample: &Sample) -> Result<File, Error> {
    parse(sample.header().as_slice(), sample.file_len())
}

fn refusal(bytes: &[u8]) -> Error {
    parse(bytes, bytes.len() as u64).expect_err("this file must be refused")
}

fn tiny() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf").into()
}

#[test]
fn a_valid_header_says_what_the_model_is() {
    let file = read(&Sample::llama()).unwrap();
    assert_eq!(file.architecture(), "llama");
    assert_eq!(file.name(), Some("Sample"));
    assert_eq!(file.quantisation(), Some("Q4_K_M"));
    assert_eq!(file.context_length(), Some(4096));
    assert_eq!(file.block_count(), Some(4));
    assert_eq!(file.head_count_kv(), Some(PerLayer::Same(2)));
    assert_eq!(file.key_length(), Some(32));
    assert_eq!(file.vocabulary_size(), Some(4));
    assert_eq!(file.eos_token(), Some(3));
    assert_eq!(file.bos_token(), None);
    assert_eq!((file.split_no(), file.split_count()), (0, 1));
    assert_eq!(file.parameter_count(), 256 * 4 + 128);
    assert_eq!(file.tensor_bytes(), 4 * 144 + 128 * 4);
}

#[test]
fn without_a_file_type_the_tensors_name_the_quantisation() {
    let sample = Sample::of("llama").tensor("a", &[256, 8], 14).tensor("b", &[256], 0);
    assert_eq!(read(&sample).unwrap().quantisation(), Some("Q6_K"));
    assert_eq!(read(&Sample::of("llama")).unwrap().quantisation(), None);
}

#[test]
fn the_vocabulary_is_read_only_when_it_is_asked_for() {
    let sample = Sample::llama();
    let header = sample.header();
    let file = read(&sample).unwrap();
    assert!(file.metadata().array("tokenizer.ggml.tokens").unwrap().items.is_none());
    let vocabulary = parse_vocabulary(header.as_slice(), sample.file_len()).unwrap();
    assert_eq!(vocabulary.tokens, ["a", "b", "ab", "<|end|>"]);
    assert_eq!(vocabulary.merges, ["a b"]);
    assert_eq!(vocabulary.types[3], crate::vocabulary::TokenType::Control);
    assert_eq!((vocabulary.model.as_str(), vocabulary.pre.as_deref()), ("gpt2", Some("gpt-2")));
    assert_eq!((vocabulary.bos, vocabulary.eos), (None, Some(3)));
}

#[test]
fn scores_and_flags_of_a_vocabulary_are_read() {
    let sample = Sample::of("llama")
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &["<unk>", "a"])
        .reals("tokenizer.ggml.scores", &[0.0, -1.5])
        .flag("tokenizer.ggml.add_bos_token", true)
        .flag("tokenizer.ggml.add_space_prefix", false);
    let vocabulary = parse_vocabulary(sample.header().as_slice(), sample.file_len()).unwrap();
    assert_eq!(vocabulary.scores, [0.0, -1.5]);
    assert_eq!((vocabulary.add_bos, vocabulary.add_eos, vocabulary.add_space_prefix), (Some(true), None, Some(false)));
}

#[test]
fn a_file_without_tokens_has_no_vocabulary() {
    let sample = Sample::of("llama").text("tokenizer.ggml.model", "gpt2");
    let error = parse_vocabulary(sample.header().as_slice(), sample.file_len()).unwrap_err();
    assert!(matches!(error, Error::NoVocabulary { key: "tokenizer.ggml.tokens" }), "{error}");
}

#[test]
fn a_foreign_file_is_called_by_its_name() {
    let cases: [(&[u8], Looks); 12] = [
        (b"", Looks::Empty),
        (&[0; 80], Looks::Zeros),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{}}", Looks::Safetensors),
        (b"PK\x03\x04\x14\x00archive/data.pkl", Looks::Zip),
        (b"\x80\x02}q\x00", Looks::Pickle),
        (b"  <!DOCTYPE html><html>", Looks::Html),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", Looks::GitLfsPointer),
        (b"{\"error\":\"Repository not found\"}", Looks::Json),
        (b"\x1f\x8b\x08\x00", Looks::Compressed),
        (b"tjgg\x03\x00\x00\x00", Looks::Ggml),
        (b"Entry not found", Looks::Text),
        (b"\x01\x02\x03\xff\x00", Looks::Unknown([1, 2, 3, 255])),
    ];
    for (bytes, looks) in cases {
        let error = refusal(bytes);
        assert!(matches!(error, Error::NotGguf(found) if found == looks), "{looks:?}: {error}");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.hint().is_some());
    }
}

#[test]
fn versions_that_cannot_be_read_are_refused_by_number() {
    let mut bytes = Sample::llama().header();
    bytes[4] = 1;
    assert_eq!(refusal(&bytes).to_string(), "GGUF version 1; versions 2 and 3 can be read");
    bytes[4] = 9;
    assert!(matches!(refusal(&bytes), Error::Version { version: 9 }));
    bytes[4..8].copy_from_slice(&3_u32.to_be_bytes());
    assert!(matches!(refusal(&bytes), Error::BigEndian { version: 3 }));
}

#[test]
fn a_file_cut_at_any_byte_is_refused_as_cut_short() {
    let sample = Sample::llama();
    let header = sample.header();
    for end in 1..header.len() {
        let error = refusal(&header[..end]);
        let cut = matches!(error, Error::Truncated { .. } | Error::TensorOutside { .. });
        assert!(cut, "cut at {end}: {error}");
        assert!(error.hint().unwrap().contains("fetch the file again"));
    }
}

#[test]
fn a_lie_about_the_length_of_the_file_is_found_out() {
    let header = Sample::llama().header();
    let error = parse(&header[..40], u64::MAX).unwrap_err();
    assert!(matches!(error, Error::Truncated { has: 40, .. }), "{error}");
}

#[test]
fn a_tensor_beyond_the_end_names_itself_and_both_lengths() {
    let sample = Sample::llama();
    let error = parse(sample.header().as_slice(), sample.file_len() - 1).unwrap_err();
    let (end, has) = (sample.file_len(), sample.file_len() - 1);
    assert_eq!(error.to_string(), format!("cut short: tensor `output_norm.weight` ends at byte {end}, the file has {has}"));
}

#[test]
fn absurd_counts_and_lengths_are_refused_before_anything_is_read() {
    let mut bytes = Sample::llama().header();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(refusal(&bytes), Error::Absurd { what: Limit::Tensors, found: u64::MAX, .. }));
    bytes[8..16].copy_from_slice(&0_u64.to_le_bytes());
    bytes[16..24].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(matches!(refusal(&bytes), Error::Absurd { what: Limit::Keys, .. }));
    bytes[16..24].copy_from_slice(&1_u64.to_le_bytes());
    bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(refusal(&bytes), Error::Absurd { what: Limit::Name, .. }));

    let long = |count: u64| {
        Sample::of("llama").value("x", 9, move |bytes| {
            bytes.extend(4_u32.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        })
    };
    assert!(matches!(read(&long(u64::MAX)), Err(Error::Absurd { what: Limit::Array, .. })));
    assert!(matches!(read(&long(1000)), Err(Error::Truncated { .. })));
}

#[test]
fn an_error_in_a_value_names_the_key_and_the_byte() {
    let sample = Sample::of("llama").value("broken.key", 8, |bytes| {
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend([0xff, 0xfe]);
    });
    let error = read(&sample).unwrap_err();
    let Error::Utf8 { place, .. } = &error else { panic!("{error}") };
    assert_eq!(place.part, Part::Key("broken.key".to_owned()));
    let header = sample.header();
    let at = usize::try_from(place.offset).unwrap();
    assert_eq!(header[at..at + 10], [2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]);

    let strange = Sample::of("llama").value("strange", 77, |_| {});
    assert!(read(&strange).unwrap_err().to_string().contains("unknown value type 77 in key `strange` at byte"));
    let nested = Sample::of("llama").value("nested", 9, |bytes| bytes.extend([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
    assert!(matches!(read(&nested), Err(Error::ValueType { code: 9, .. })));
}

#[test]
fn names_must_be_there_and_only_once() {
    let twice = Sample::of("llama").number("a", 1).number("a", 2);
    assert!(matches!(read(&twice), Err(Error::Twice { name, .. }) if name == "a"));
    assert!(matches!(read(&Sample::of("llama").number("", 1)), Err(Error::EmptyName(_))));
    let tensors = Sample::of("llama").tensor("t", &[32], 0).tensor("t", &[32], 0);
    assert!(matches!(read(&tensors), Err(Error::Twice { name, .. }) if name == "t"));
}

#[test]
fn a_header_without_an_architecture_is_refused_unless_an_earlier_file_has_it() {
    assert!(matches!(read(&Sample::default()), Err(Error::Missing { .. })));
    let part = |no: u32| read(&Sample::default().number("split.no", no).number("split.count", 2).tensor("t", &[32], 0));
    assert!(matches!(part(0), Err(Error::Missing { .. })), "the first says what all of them are");
    let second = part(1).unwrap();
    assert_eq!((second.architecture(), second.split_no(), second.parameter_count()), ("", 1, 32));
    let number = Sample::default().number("general.architecture", 7);
    assert!(matches!(read(&number), Err(Error::WrongValue { .. })));
}

#[test]
fn tensors_with_impossible_types_shapes_or_places_are_refused() {
    let of = |shape: &[u64], code| read(&Sample::of("llama").tensor("t", shape, code));
    assert!(matches!(of(&[32], 4), Err(Error::TensorType { code: 4, .. })));
    assert!(matches!(of(&[100], 12), Err(Error::Shape { kind: "Q4_K", .. })));
    assert!(matches!(of(&[1 << 40, 1 << 40], 0), Err(Error::Shape { .. })));
    assert!(matches!(of(&[1; 5], 0), Err(Error::Absurd { what: Limit::Dimensions, .. })));
    let hole = Sample::of("llama").tensor("a", &[32], 0).tensor_at("b", &[32], 0, 4096);
    assert!(matches!(read(&hole), Err(Error::Offset { expected: 128, found: 4096, .. })));
    let odd = Sample::of("llama").number("general.alignment", 48);
    assert!(matches!(read(&odd), Err(Error::WrongValue { key: "general.alignment", .. })));
}

#[test]
fn a_missing_file_and_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let missing = File::read(folder.path().join("none.gguf")).unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(matches!(File::read(folder.path()), Err(Error::Open { .. })));
}

#[test]
fn the_cache_of_a_plain_model_is_layers_times_heads_times_length() {
    let file = read(&Sample::llama()).unwrap();
    // 4 layers, 2 heads of 32 for keys and for values, 2 bytes each, 4096 tokens.
    assert_eq!(file.kv_cache_bytes(4096, KvType::F16, KvType::F16), 4 * 2 * 32 * 2 * 2 * 4096);
    assert_eq!(file.kv_cache_bytes(4096, KvType::Q8_0, KvType::Q8_0), 4 * 2 * 68 * 4096);
    // Cells come in multiples of 256, in each slot.
    assert_eq!(file.kv_cache_bytes(1, KvType::F16, KvType::F16), 4 * 2 * 32 * 2 * 2 * 256);
    let slots = Cache { slots: 4, ..Cache::of(4096) };
    assert_eq!(file.cache_bytes(&slots), file.kv_cache_bytes(4096, KvType::F16, KvType::F16));
}

#[test]
fn layers_with_a_window_keep_the_window_only() {
    let sample = Sample::of("gemma3")
        .number("gemma3.block_count", 6)
        .number("gemma3.attention.head_count", 1)
        .number("gemma3.attention.key_length", 64)
        .number("gemma3.attention.value_length", 64)
        .number("gemma3.attention.sliding_window", 512);
    let token = 64 * 2 * 2;
    let file = read(&sample).unwrap();
    // Five layers of six keep 512 of the window and 512 of the batch.
    assert_eq!(file.kv_cache_bytes(32768, KvType::F16, KvType::F16), token * (5 * 1024 + 32768));
    assert_eq!(file.kv_cache_bytes(512, KvType::F16, KvType::F16), token * 6 * 512);
}

#[test]
fn a_window_that_the_engine_does_not_use_changes_nothing() {
    let sample = Sample::of("phi3")
        .number("phi3.block_count", 2)
        .number("phi3.attention.head_count", 1)
        .number("phi3.attention.key_length", 64)
        .number("phi3.attention.value_length", 64)
        .number("phi3.attention.sliding_window", 512);
    assert_eq!(read(&sample).unwrap().kv_cache_bytes(8192, KvType::F16, KvType::F16), 2 * 64 * 2 * 2 * 8192);
}

#[test]
fn recurrent_layers_keep_a_state_for_each_slot_whatever_the_context() {
    let mamba = Sample::of("mamba")
        .number("mamba.block_count", 2)
        .number("mamba.embedding_length", 64)
        .number("mamba.ssm.conv_kernel", 4)
        .number("mamba.ssm.inner_size", 128)
        .number("mamba.ssm.state_size", 16);
    let file = read(&mamba).unwrap();
    let state = (3 * 128 + 128 * 16) * 4;
    assert_eq!(file.cache_bytes(&Cache::of(1024)), 2 * state);
    assert_eq!(file.cache_bytes(&Cache { slots: 3, ..Cache::of(1 << 20) }), 6 * state);

    let hybrid = Sample::of("jamba")
        .number("jamba.block_count", 3)
        .number("jamba.attention.head_count", 4)
        .number("jamba.attention.key_length", 32)
        .number("jamba.attention.value_length", 32)
        .numbers("jamba.attention.head_count_kv", &[0, 2, 0])
        .number("jamba.ssm.inner_size", 8)
        .number("jamba.ssm.state_size", 4);
    let file = read(&hybrid).unwrap();
    assert_eq!(file.cache_bytes(&Cache::of(256)), 2 * 8 * 4 * 4 + 2 * 32 * 2 * 2 * 256);
}

#[test]
fn encoders_and_compressed_attention_are_known() {
    let encoder = Sample::of("bert").number("bert.block_count", 12).number("bert.attention.head_count", 12);
    assert_eq!(read(&encoder).unwrap().cache_bytes(&Cache::of(512)), 0);
    let compressed = Sample::of("deepseek2")
        .number("deepseek2.block_count", 1)
        .number("deepseek2.attention.head_count", 16)
        .number("deepseek2.attention.head_count_kv", 1)
        .number("deepseek2.attention.key_length", 576)
        .number("deepseek2.attention.value_length", 512)
        .number("deepseek2.attention.key_length_mla", 192)
        .number("deepseek2.attention.value_length_mla", 128);
    assert_eq!(read(&compressed).unwrap().cache_bytes(&Cache::of(256)), 576 * 2 * 256);
}

#[test]
fn what_cannot_be_taken_back_and_what_is_written_about_cells_is_counted_apart() {
    let (whole, window) = (Kept { keys: 64, values: 64, ..Kept::default() }, Kept { keys: 64, values: 64, window: 512, state: 0 });
    let layers = [whole, window, Kept { state: 100, ..Kept::default() }];
    let ask = Cache { slots: 2, ..Cache::of(8192) };
    let token = 64 * 2 * 2;
    assert_eq!(ask.bytes(&layers), 2 * (token * (4096 + 1024) + 100));
    assert_eq!(ask.fixed_bytes(&layers), token * 512 + 100, "of one slot, without the batch");
    assert_eq!(ask.cell_bytes(&layers), 2 * (4096 + 1024) * 48);
    let full = Cache { whole_windows: true, ..ask };
    assert_eq!(full.bytes(&layers), 2 * (token * 2 * 4096 + 100));
    assert_eq!(full.fixed_bytes(&layers), 100);
    // Without flash attention every layer has room for the widest values.
    let uneven = [whole, Kept { values: 16, ..whole }];
    assert_eq!(Cache { even_values: true, ..Cache::of(256) }.bytes(&uneven), 2 * token * 256);
}

#[test]
fn every_tensor_goes_to_its_place() {
    let sample = Sample::of("llama")
        .number("llama.block_count", 2)
        .tensor("token_embd.weight", &[256, 16], 12)
        .tensor("blk.0.attn_norm.weight", &[256], 0)
        .tensor("blk.0.ffn_up.weight", &[256, 32], 12)
        .tensor("blk.1.ffn_gate_exps.weight", &[256, 8, 3], 14)
        .tensor("output_norm.weight", &[256], 0);
    let tied = Weights::of(&[read(&sample).unwrap()]);
    assert_eq!((tied.input, tied.shared, tied.output), (16 * 144, 16 * 144, 1024));
    assert_eq!(tied.layers, [1024 + 32 * 144, 24 * 210]);
    assert_eq!(tied.matrices, [("Q4_K", (16 + 32) * 144), ("Q6_K", 24 * 210)].into(), "what is shared is computed with");
    let own = Weights::of(&[read(&sample.tensor("output.weight", &[256, 16], 14)).unwrap()]);
    assert_eq!((own.input, own.shared, own.output), (16 * 144, 0, 1024 + 16 * 210));
    assert_eq!((tied.tail, own.tail), (0, 16 * 210), "the last of the file");
    assert_eq!(own.matrices, [("Q4_K", 32 * 144), ("Q6_K", (24 + 16) * 210)].into());
}

#[test]
fn architectures_are_known_or_corrected() {
    assert!(crate::known_architectures().is_sorted());
    assert!(crate::is_known("llama") && crate::is_known("gpt-oss"));
    assert!(!crate::is_known("lama") && !crate::is_known("clip"));
    assert_eq!(crate::suggestion("lama"), Some("llama"));
    assert_eq!(crate::suggestion("Qwen3_moe"), Some("qwen3moe"));
    assert_eq!(crate::suggestion("resnet50"), None);
}

#[test]
fn the_model_of_this_repository_is_read_whole() {
    let file = File::read(tiny()).unwrap();
    assert_eq!(file.architecture(), "llama");
    assert!(crate::is_known(file.architecture()));
    assert_eq!(file.context_length(), Some(4096));
    assert!(file.chat_template().unwrap().contains("messages"));
    assert!(file.tensor_bytes() > 100_000 && file.parameter_count() > 100_000);
    assert!(file.data_start() + file.tensor_bytes() <= file.file_len());
    let vocabulary = Vocabulary::read(tiny()).unwrap();
    assert_eq!(Some(vocabulary.tokens.len() as u64), file.vocabulary_size());
    let per_token = file.kv_cache_bytes(256, KvType::F16, KvType::F16) / 256;
    let heads = file.head_count_kv().unwrap().most();
    assert_eq!(per_token, file.block_count().unwrap() * heads * file.key_length().unwrap() * 4);
}

#[test]
fn the_fuzzer_finds_nothing_and_takes_some_files() {
    let report = fuzz::run(7, 4_000);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.executions, 4_000);
    assert!(report.accepted > 0 && report.refused > report.accepted, "{report:?}");
    let again = fuzz::run(7, 4_000);
    assert_eq!((again.accepted, again.refused), (report.accepted, report.refused));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_at_all_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..512), len in any::<u64>()) {
        prop_assert!(fuzz::check(&bytes, len).is_ok());
    }

    #[test]
    fn no_bytes_behind_a_true_beginning_break_the_reader(tail in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut bytes = b"GGUF\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00".to_vec();
        bytes.extend(tail);
        prop_assert!(fuzz::check(&bytes, bytes.len() as u64).is_ok());
    }

    #[test]
    fn no_change_of_single_bytes_breaks_the_reader(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let sample = Sample::llama();
        let mut bytes = sample.header();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert!(fuzz::check(&bytes, sample.file_len()).is_ok());
    }
}
