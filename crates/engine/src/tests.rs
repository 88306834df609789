//! Command lines, memory and dialects, by snapshot and by value.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Secret};
use spec::{
    Binary, Body, CacheType, Deployment, DeviceKind, EngineKind, Format, Grant, InstanceId, Layers, Name, Program, Revision, Share, Source,
    Version,
};

use crate::{Error, Memory, Place, engine};

const FLAGS: &str = "--model --alias --host --ctx-size --parallel --no-kv-unified --threads --threads-http --cache-ram --ctx-checkpoints --n-gpu-layers \
    --no-ui --cors-origins --no-cors-credentials --slots --metrics --offline --embeddings --pooling --batch-size --ubatch-size";

fn place(flags: &str) -> Place {
    Place {
        instance: InstanceId::new("00000000000000aa"),
        fence: 7,
        dir: PathBuf::from("/data/instances/00000000000000aa"),
        binary: Binary {
            program: Program::Path("/usr/bin/llama-server".into()),
            version: "0.5.0".into(),
            flags: flags.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>(),
        },
        threads: 3,
        grant: Grant::default(),
        key: Secret::new("engine-key"),
        orphan_ttl: Duration::from_mins(1),
    }
}

fn version() -> Version {
    Version {
        digest: "sha256:00".into(),
        path: "/models/tiny.gguf".into(),
        size: ByteSize(1_773_280),
        format: Format::Gguf,
        architecture: "llama".into(),
        quantisation: "F16".into(),
        title: None,
        parameters: 869_504,
        context_length: 4096,
        layers: 4,
        weights: ByteSize(1_739_008),
        kv_bytes_per_token: 1024,
        embedding_length: 128,
        vocabulary: 1024,
        has_template: true,
        contents: spec::Contents::default(),
        body: spec::Body::default(),
    }
}

fn revision(change: impl FnOnce(&mut Deployment)) -> Revision {
    let mut spec = Deployment::named(Name::parse("tiny").unwrap());
    spec.model = Some(Source::parse("file:/models/tiny.gguf").unwrap());
    change(&mut spec);
    let version = spec.engine().needs_model().then(version);
    Revision { number: 3, spec, version }
}

fn line(revision: &Revision, place: &Place) -> String {
    engine(revision.spec.engine()).order(revision, place).unwrap().args.join(" ")
}

#[test]
fn the_command_line_of_llama_server() {
    insta::assert_snapshot!(line(&revision(|_| {}), &place(FLAGS)), @"--model /models/tiny.gguf --alias tiny --host /data/instances/00000000000000aa/e.sock --ctx-size 4096 --parallel 1 --no-kv-unified --threads 3 --threads-http 5 --cache-ram 0 --ctx-checkpoints 2 --n-gpu-layers 0 --no-ui --cors-origins localhost --no-cors-credentials --slots --metrics --offline");
}

#[test]
fn the_command_line_with_everything_asked_for() {
    let revision = revision(|d| {
        d.parallel = Some(4);
        d.context = Some(2048);
        d.threads = Some(1);
        d.gpu_layers = Some(20);
        d.embeddings = true;
        d.args = vec!["--temp".into(), "0".into()];
    });
    let share = Share { device: "gpu0".into(), kind: DeviceKind::Gpu, bytes: ByteSize(1), layers: 20, engine_name: None };
    let place = Place { grant: Grant { node: "here".into(), shares: vec![share] }, ..place(FLAGS) };
    insta::assert_snapshot!(line(&revision, &place), @"--model /models/tiny.gguf --alias tiny --host /data/instances/00000000000000aa/e.sock --ctx-size 8192 --parallel 4 --no-kv-unified --threads 1 --threads-http 8 --cache-ram 0 --ctx-checkpoints 2 --n-gpu-layers 20 --no-ui --cors-origins localhost --no-cors-credentials --slots --metrics --offline --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048 --temp 0");
}

#[test]
fn what_the_card_of_a_model_says_reaches_the_command_line_before_the_deployments_own_words() {
    let mut revision = revision(|d| {
        d.context = Some(4096);
        d.args = vec!["--temp".into(), "0".into()];
    });
    let parameters = spec::Parameters { temperature: Some(0.25), top_k: Some(20), max_tokens: Some(64), ..spec::Parameters::default() };
    let serving = spec::Serving { parameters, chat_template: Some("{{ messages }}".into()), context_limit: Some(1024) };
    if let Some(version) = &mut revision.version {
        version.contents.serving = serving;
    }
    let flags = format!("{FLAGS} --temp --top-k --predict --chat-template --jinja");
    let line = line(&revision, &place(&flags));
    assert!(line.ends_with("--temp 0.25 --top-k 20 --predict 64 --chat-template {{ messages }} --jinja --temp 0"), "{line}");
    assert!(line.contains("--ctx-size 1024 "), "no more than the card allows: {line}");
    let error = engine(EngineKind::LlamaServer).order(&revision, &place(FLAGS)).unwrap_err();
    assert!(matches!(error, Error::MissingFlag { flag: "--temp", .. }), "a build that cannot do it says so: {error}");
}

#[test]
fn a_model_that_sees_is_started_with_its_projector_and_takes_room_for_it() {
    let file = |name: &str, size| spec::Part { name: name.into(), size: ByteSize(size), digest: String::new() };
    let (plain, mut revision) = (revision(|_| {}), revision(|_| {}));
    if let Some(version) = &mut revision.version {
        version.contents.files = vec![file("tiny.gguf", 10), file("sub/mmproj-tiny.gguf", 1 << 20)];
        version.contents.projector = Some("sub/mmproj-tiny.gguf".into());
    }
    let line = line(&revision, &place(&format!("{FLAGS} --mmproj")));
    assert!(line.starts_with("--model /models/tiny.gguf --mmproj /models/sub/mmproj-tiny.gguf --alias tiny"), "{line}");
    let engine = engine(EngineKind::LlamaServer);
    let memory = |revision: &Revision| engine.memory(revision.version.as_ref(), &revision.spec).total().0;
    assert_eq!(memory(&revision) - memory(&plain), 1 << 20);
    let error = engine.order(&revision, &place(FLAGS)).unwrap_err();
    assert!(matches!(error, Error::MissingFlag { flag: "--mmproj", .. }), "a build that cannot see says so: {error}");
}

#[test]
fn flags_that_this_build_lacks_are_left_out_or_refused() {
    let older = FLAGS.replace("--no-ui", "--no-webui").replace("--offline", "").replace("--cors-origins", "");
    let line = line(&revision(|_| {}), &place(&older));
    assert!(line.contains("--no-webui") && !line.contains("--offline") && !line.contains("--cors-origins"), "{line}");
    let error = engine(EngineKind::LlamaServer).order(&revision(|_| {}), &place("--model")).unwrap_err();
    assert!(matches!(error, Error::MissingFlag { flag: "--alias", .. }), "{error}");
}

#[test]
fn the_key_is_in_the_environment_and_nowhere_else() {
    let order = engine(EngineKind::LlamaServer).order(&revision(|_| {}), &place(FLAGS)).unwrap();
    assert_eq!(order.env["LLAMA_API_KEY"], "engine-key");
    assert!(!order.args.iter().any(|a| a.contains("engine-key")));
}

#[test]
fn an_argument_that_penstock_owns_is_refused_with_what_to_write() {
    for arg in ["--api-key", "--host=0.0.0.0", "--mcp_servers_json"] {
        let error = engine(EngineKind::LlamaServer).order(&revision(|d| d.args = vec![arg.into()]), &place(FLAGS)).unwrap_err();
        assert!(matches!(&error, Error::Argument(_)), "{error}");
        assert!(base::Fault::hint(&error).is_some());
    }
}

#[test]
fn a_socket_path_that_the_kernel_would_cut_is_refused() {
    let place = Place { dir: PathBuf::from(format!("/{}", "d".repeat(110))), ..place(FLAGS) };
    let error = engine(EngineKind::LlamaServer).order(&revision(|_| {}), &place).unwrap_err();
    assert!(matches!(error, Error::SocketPath { .. }), "{error}");
}

/// Four layers of one mebibyte, each with 64 numbers for keys and as many for values; the second looks back 512 tokens.
fn body() -> Body {
    let layer = |count, window| Layers { count, weights: ByteSize::mib(1), keys: 64, values: 64, window, state: 0 };
    Body {
        layers: vec![layer(1, 0), layer(1, 512), layer(2, 0)],
        input: ByteSize::mib(2),
        output: ByteSize::mib(3),
        matrices: [("Q4_K".to_owned(), ByteSize::mib(5)), ("F16".to_owned(), ByteSize::mib(1))].into(),
        heads: 4,
        queries: 128,
        feed_forward: 352,
        ..Body::default()
    }
}

fn memory(change: impl FnOnce(&mut Deployment)) -> Memory {
    let version = Version { body: body(), ..version() };
    engine(EngineKind::LlamaServer).memory(Some(&version), &revision(change).spec)
}

fn args(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_context_grows_with_tokens_and_slots_but_not_where_only_a_window_is_kept() {
    let token = (64 + 64) * 2;
    assert_eq!(memory(|_| {}).kv_cache.0, token * (3 * 4096 + 1024));
    assert_eq!(memory(|d| d.context = Some(8192)).kv_cache.0, token * (3 * 8192 + 1024));
    assert_eq!(memory(|d| d.parallel = Some(4)).kv_cache.0, 4 * memory(|_| {}).kv_cache.0);
    assert_eq!(memory(|d| d.parallel = Some(4)).weights, memory(|_| {}).weights);
    assert_eq!(memory(|d| d.args = args("--ubatch-size 256")).kv_cache.0, token * (3 * 4096 + 768));
    assert_eq!(memory(|d| d.args = args("--swa-full")).kv_cache.0, token * 4 * 4096);
}

#[test]
fn the_cache_type_is_heeded_wherever_it_is_said() {
    let whole = memory(|_| {}).kv_cache.0;
    assert_eq!(memory(|d| d.cache_type = Some(CacheType::F32)).kv_cache.0, 2 * whole);
    assert_eq!(memory(|d| d.args = args("-ctk f32 --cache-type-v f32")).kv_cache.0, 2 * whole);
    assert_eq!(memory(|d| d.args = args("-ctk q8_0 -ctk f32")).kv_cache.0, whole * 3 / 2, "of two mentions the last counts");
    assert_eq!(memory(|d| d.cache_type = Some(CacheType::Q8_0)).kv_cache.0 * 32, whole * 17, "34 bytes for 32 numbers");
    let both = revision(|d| (d.cache_type, d.args) = (Some(CacheType::Q8_0), args("-ctk q8_0")));
    assert!(matches!(engine(EngineKind::LlamaServer).order(&both, &place(FLAGS)), Err(Error::Argument(_))));
    let said = line(&revision(|d| d.cache_type = Some(CacheType::Q8_0)), &place(&format!("{FLAGS} --cache-type-k --cache-type-v")));
    assert!(said.contains("--cache-type-k q8_0 --cache-type-v q8_0"), "{said}");
}

#[test]
fn what_is_repacked_counts_twice_where_the_file_is_mapped() {
    let (file, packed) = (version().weights, ByteSize::mib(5));
    assert_eq!(memory(|_| {}).weights, file + packed);
    assert_eq!(memory(|d| d.args = args("--no-repack")).weights, file);
    assert_eq!(memory(|d| d.args = args("--load-mode none")).weights, file, "nothing stays mapped");
}

#[test]
fn without_flash_attention_all_scores_of_a_batch_are_there_at_once() {
    let overhead = |words: &str| memory(|d| d.args = args(words)).overhead.0;
    let scores = 512 * 4096 * 4 * 4;
    assert!(overhead("--flash-attn off") > overhead("") + scores, "{} and {}", overhead("--flash-attn off"), overhead(""));
    assert!(overhead("--ubatch-size 2048") > overhead(""));
    assert_eq!(overhead("--cache-ram 100"), overhead("") + (100 << 20));
}

#[test]
fn an_embedding_models_batch_holds_a_whole_input() {
    let overhead = |context| memory(|d| (d.embeddings, d.context) = (true, Some(context))).overhead;
    assert!(overhead(4096) > overhead(512) + ByteSize((4096 - 512) * 4 * 128));
}

#[test]
fn layers_on_a_device_and_the_rest_in_main_memory_are_all_of_it() {
    let version = Version { body: body(), ..version() };
    let spec = revision(|_| {}).spec;
    let needs = engine(EngineKind::LlamaServer).needs(Some(&version), &spec);
    let whole = engine(EngineKind::LlamaServer).memory(Some(&version), &spec).total();
    assert_eq!(needs.layers.len(), 5, "four, and the output");
    assert_eq!(needs.host_with(0), whole);
    assert_eq!(needs.devices_with(0, 0), ByteSize(0));
    let layer = ByteSize::mib(1) + ByteSize(64 * 2 * 2 * 4096);
    assert_eq!(needs.devices_with(2, 1), needs.device + ByteSize::mib(3) + layer, "the output goes first, then the last layer");
    assert_eq!(needs.host_with(2) + ByteSize::mib(3) + layer + needs.alone, whole);
    let remote = engine(EngineKind::Openai).needs(None, &spec);
    assert_eq!(remote.host_with(0), ByteSize(0));
}

#[test]
fn arguments_tell_two_kinds_of_instances_apart_and_hide_variables() {
    let of = |change: fn(&mut Deployment)| crate::arguments(&version(), &revision(change).spec);
    let usual = of(|_| {});
    assert_eq!(usual, of(|d| (d.context, d.pinned) = (Some(4096), true)), "the model's own context, said");
    for change in [
        (|d| d.context = Some(512)) as fn(&mut Deployment),
        |d| d.parallel = Some(2),
        |d| d.cache_type = Some(CacheType::Q8_0),
        |d| d.embeddings = true,
        |d| d.args = vec!["--mlock".into()],
        |d| drop(d.env.insert("SECRET".into(), "word".into())),
    ] {
        assert_ne!(usual, of(change));
        assert!(!of(change).contains("word"));
    }
}

#[test]
fn a_context_beyond_all_measure_does_not_wrap_around_to_something_small() {
    let version = Version { kv_bytes_per_token: u64::MAX / 8, ..version() };
    let memory = engine(EngineKind::LlamaServer).memory(Some(&version), &revision(|_| {}).spec);
    assert!(memory.total() > ByteSize(u64::MAX / 2), "{}", memory.total());
}

#[test]
fn load_is_read_from_the_metrics_page() {
    let page = "# HELP x\nllamacpp:requests_processing 2\nllamacpp:requests_deferred{slot=\"a\"} 3\nllamacpp:tokens_predicted_total 41\n";
    let engine = engine(EngineKind::LlamaServer);
    let load = engine.load(page, None).unwrap();
    assert_eq!((load.running, load.waiting, load.steps, load.kv_use), (2, 3, 41, None));
    assert_eq!(engine.load("nothing", None), None);
    let idle = engine.load("llamacpp:requests_processing 0\n", None).unwrap();
    assert_eq!(idle.kv_use, Some(0));
}

#[test]
fn how_full_the_cache_is_are_the_tokens_of_running_calls_over_the_cells_of_all_slots() {
    let kv_use = |slots: &str| engine(EngineKind::LlamaServer).load("llamacpp:requests_processing 1\n", Some(slots)).unwrap().kv_use;
    let busy = r#"{"id": 0, "n_ctx": 200, "is_processing": true, "n_prompt_tokens": 150, "n_prompt_tokens_processed": 18}"#;
    let kept = r#"{"id": 1, "n_ctx": 200, "is_processing": false, "n_prompt_tokens": 190}"#;
    let fresh = r#"{"id": 1, "n_ctx": 200, "is_processing": false}"#;
    assert_eq!(kv_use(&format!("[{busy}]")), Some(75));
    assert_eq!(kv_use(&format!("[{busy}, {fresh}]")), Some(37));
    assert_eq!(kv_use(&format!("[{busy}, {kept}]")), Some(37), "what an idle slot keeps of its last call makes way for the next");
    let older = r#"[{"id": 0, "n_ctx": 200, "is_processing": true}]"#;
    assert_eq!((kv_use(older), kv_use("[]"), kv_use("{}")), (None, None, None), "one that does not tell is not taken for an empty one");
}

#[test]
fn a_remote_engine_starts_nothing() {
    let revision = revision(|d| {
        d.model = None;
        d.engine = Some(EngineKind::Openai);
        d.url = Some("http://127.0.0.1:9000/v1/".into());
    });
    let order = engine(EngineKind::Openai).order(&revision, &place("")).unwrap();
    assert_eq!(order.program, Program::None);
    assert_eq!(order.endpoint.to_string(), "http://127.0.0.1:9000/v1");
}
