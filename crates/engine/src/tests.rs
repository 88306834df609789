//! Command lines, memory and dialects, by snapshot and by value.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Secret};
use spec::{Binary, Deployment, EngineKind, Format, InstanceId, Name, Program, Revision, Source, Version};

use crate::{Error, Place, engine};

const FLAGS: &str = "--model --alias --host --ctx-size --parallel --no-kv-unified --threads --threads-http --cache-ram --n-gpu-layers \
    --no-ui --cors-origins --no-cors-credentials --no-slots --metrics --offline --embeddings --pooling --batch-size --ubatch-size";

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
        gpu: false,
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
    insta::assert_snapshot!(line(&revision(|_| {}), &place(FLAGS)), @"--model /models/tiny.gguf --alias tiny --host /data/instances/00000000000000aa/e.sock --ctx-size 4096 --parallel 1 --no-kv-unified --threads 3 --threads-http 5 --cache-ram 0 --n-gpu-layers 0 --no-ui --cors-origins localhost --no-cors-credentials --no-slots --metrics --offline");
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
    let place = Place { gpu: true, ..place(FLAGS) };
    insta::assert_snapshot!(line(&revision, &place), @"--model /models/tiny.gguf --alias tiny --host /data/instances/00000000000000aa/e.sock --ctx-size 8192 --parallel 4 --no-kv-unified --threads 1 --threads-http 8 --cache-ram 0 --n-gpu-layers 20 --no-ui --cors-origins localhost --no-cors-credentials --no-slots --metrics --offline --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048 --temp 0");
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
    for arg in ["--api-key", "--host=0.0.0.0", "-m"] {
        let error = engine(EngineKind::LlamaServer).order(&revision(|d| d.args = vec![arg.into()]), &place(FLAGS)).unwrap_err();
        assert!(matches!(&error, Error::OwnedFlag { .. }), "{error}");
        assert!(base::Fault::hint(&error).is_some());
    }
}

#[test]
fn a_socket_path_that_the_kernel_would_cut_is_refused() {
    let place = Place { dir: PathBuf::from(format!("/{}", "d".repeat(110))), ..place(FLAGS) };
    let error = engine(EngineKind::LlamaServer).order(&revision(|_| {}), &place).unwrap_err();
    assert!(matches!(error, Error::SocketPath { .. }), "{error}");
}

#[test]
fn memory_grows_with_context_and_slots() {
    let memory = |d: &Deployment| engine(EngineKind::LlamaServer).memory(Some(&version()), d);
    let one = memory(&revision(|_| {}).spec);
    assert_eq!(one.kv_cache, ByteSize(4096 * 1024));
    let four = memory(&revision(|d| d.parallel = Some(4)).spec);
    assert_eq!(four.kv_cache.0, 4 * one.kv_cache.0);
    assert_eq!(four.weights, one.weights);
}

#[test]
fn memory_of_an_embedding_model_counts_the_batch_that_holds_a_whole_input() {
    let overhead = |change: fn(&mut Deployment)| engine(EngineKind::LlamaServer).memory(Some(&version()), &revision(change).spec).overhead;
    let short = overhead(|d| (d.embeddings, d.context) = (true, Some(512)));
    let long = overhead(|d| (d.embeddings, d.context) = (true, Some(4096)));
    assert_eq!(long.0 - short.0, (4096 - 512) * 4 * 16 * 128, "16 hidden states of 128 floats for each token");
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
    let load = engine(EngineKind::LlamaServer).load(page).unwrap();
    assert_eq!((load.running, load.waiting, load.generated), (2, 3, 41));
    assert_eq!(engine(EngineKind::LlamaServer).load("nothing"), None);
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
