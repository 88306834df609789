//! What can be seen without a process.

use std::collections::BTreeSet;
use std::path::Path;

use base::ByteSize;

use super::args::{Asked, StayBehind};
use super::memory::pieces;
use super::metrics::six_digits;
use super::words::{self, Part};
use super::*;
use crate::device_ledger::{Book, FakeDevice};

fn args(line: &str) -> Args {
    match Args::read(line.split_whitespace().map(OsString::from)) {
        Ok(Asked::Serve(args)) => *args,
        other => panic!("{other:?}"),
    }
}

fn behaviour(variables: &[(&str, &str)]) -> Result<Behaviour, String> {
    Behaviour::read(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
}

#[test]
fn every_flag_of_the_help_is_understood_and_no_other() {
    let help = args::help();
    let flags: BTreeSet<&str> = help.split([' ', ',', '\n']).filter(|word| word.starts_with("--") && word.len() > 2).collect();
    for flag in ["--model", "--alias", "--host", "--ctx-size", "--parallel", "--no-kv-unified", "--threads", "--n-gpu-layers", "--metrics"]
    {
        assert!(flags.contains(flag), "{flag} is not in the help");
    }
    let all = "--model m.gguf --alias tiny --host /x/e.sock --ctx-size 8192 --parallel 4 --no-kv-unified --threads 1 --threads-http 8 \
        --cache-ram 0 --n-gpu-layers 20 --no-ui --cors-origins localhost --no-cors-credentials --slots --metrics --offline --embeddings \
        --pooling mean --batch-size 2048 --ubatch-size 1024 --cache-type-k q8_0";
    let read = args(all);
    assert_eq!((read.alias.as_str(), read.context, read.parallel, read.gpu_layers, read.batch), ("tiny", 8192, 4, 20, 1024));
    assert_eq!((read.embeddings, read.metrics, read.cache.0), (true, true, gguf::KvType::Q8_0));
    let refused = Args::read(["--no-such-flag"].map(OsString::from)).unwrap_err();
    assert_eq!(refused, "error: invalid argument: --no-such-flag\n");
    assert!(matches!(Args::read([args::STAY_BEHIND, "session"].map(OsString::from)), Ok(Asked::StayBehind(StayBehind::Session))));
}

#[test]
fn a_fault_that_is_not_known_or_not_understood_is_refused() {
    let refused = behaviour(&[("FAKE_ENGINE_CRASH_AT_TOKN", "3")]).unwrap_err();
    assert_eq!(refused, "FAKE_ENGINE_CRASH_AT_TOKN: `3` is not understood");
    assert!(behaviour(&[("FAKE_ENGINE_LOAD", "soon")]).is_err());
    assert!(behaviour(&[("FAKE_ENGINE_IGNORE_TERM", "yes")]).is_err());
    let read = behaviour(&[("PATH", "/bin"), ("FAKE_ENGINE_LOAD", "1s"), ("FAKE_ENGINE_IGNORE_TERM", "1")]).unwrap();
    assert!(read.faults.ignore_term);
    assert!(!read.without_faults().faults.ignore_term);
}

#[test]
fn numbers_are_printed_as_llama_server_prints_them() {
    let said: Vec<String> = [0.0, 1.0, 41.0, 0.5, 123_456.0, 1_234_567.0, 999_999.7, 0.000_012, 3.0 / 7.0].map(six_digits).into();
    assert_eq!(said, ["0", "1", "41", "0.5", "123456", "1.23457e+06", "1e+06", "1.2e-05", "0.428571"]);
}

/// A file with this many bytes of tensors and a cache of 1 KiB for each token.
fn model(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("m.gguf");
    let sample = gguf::sample::Sample::llama();
    std::fs::write(&path, sample.header()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(sample.file_len()).unwrap();
    path
}

fn taken(line: &str, variables: &[(&str, &str)], devices: Vec<FakeDevice>) -> Vec<(Part, String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let args = args(&format!("--model {} --host /x/e.sock {line}", model(folder.path()).display()));
    let ledger = DeviceLedger::create(folder.path().join("devices.json"), devices).unwrap();
    let book: Book = ledger.look().unwrap();
    let pieces = pieces(&args, &behaviour(variables).unwrap(), &book).unwrap();
    pieces.into_iter().map(|piece| (piece.part, format!("{}={}", piece.name, piece.device), piece.bytes.0)).collect()
}

#[test]
fn memory_follows_the_header_the_context_and_where_layers_go() {
    const GIB: ByteSize = ByteSize::mib(1024);
    let machine = || vec![FakeDevice::ram(GIB), FakeDevice::cuda(0, GIB), FakeDevice::cuda(1, ByteSize(3 * GIB.0))];
    let on = |pieces: &[(Part, String, u64)], name: &str| pieces.iter().filter(|piece| piece.1 == name).map(|piece| piece.2).sum::<u64>();
    let main = taken("--n-gpu-layers 0 --ctx-size 4096", &[], machine());
    assert!(main.iter().all(|piece| piece.1 == "CPU=ram"), "{main:?}");
    assert_eq!(main.iter().find(|piece| piece.0 == Part::Cache).unwrap().2, 4096 * 1024, "{main:?}");
    let total = |pieces: &[(Part, String, u64)]| pieces.iter().map(|piece| piece.2).sum::<u64>();

    let told = &[("FAKE_ENGINE_MEMORY", "512MiB")];
    let cards = taken("--n-gpu-layers all", told, machine());
    assert_eq!((on(&cards, "CUDA0=cuda:GPU-0"), on(&cards, "CUDA1=cuda:GPU-1"), total(&cards)), (128 << 20, 384 << 20, 512 << 20));
    let split = taken("--tensor-split 1,1", told, machine());
    assert_eq!(on(&split, "CUDA0=cuda:GPU-0"), on(&split, "CUDA1=cuda:GPU-1"));
    let visible = taken("", &[told[0], ("CUDA_VISIBLE_DEVICES", "1")], machine());
    assert_eq!(on(&visible, "CUDA0=cuda:GPU-1"), 512 << 20, "cards are numbered as they are seen");
    let none = taken("--device none", told, machine());
    assert_eq!(on(&none, "CPU=ram"), 512 << 20);
    // Three of the file's four layers and one for the output.
    let partial = taken("--n-gpu-layers 3", &[told[0], ("CUDA_VISIBLE_DEVICES", "GPU-0")], machine());
    assert_eq!(on(&partial, "CPU=ram").abs_diff((512 << 20) * 2 / 5) >> 10, 0, "{partial:?}");
}

#[test]
fn out_of_memory_is_said_in_the_words_of_the_device() {
    let said = |device: &str, part| words::out_of_memory(part, device, ByteSize::mib(100), Path::new("/m.gguf")).join("\n");
    let card = said("CUDA1", Part::Weights);
    assert!(card.contains("allocating 100.00 MiB on device 1: cudaMalloc failed: out of memory"), "{card}");
    assert!(card.contains("unable to allocate CUDA1 buffer") && card.ends_with("exiting due to model loading error"), "{card}");
    let main = said("CPU", Part::Cache);
    assert!(
        main.contains("failed to allocate buffer of size 104857600") && main.contains("failed to allocate buffer for kv cache"),
        "{main}"
    );
}

#[test]
fn metrics_have_the_names_of_the_engine_that_is_played() {
    let page = |variables: &[(&str, &str)]| {
        let engine =
            Engine::new(args("--model m.gguf --alias tiny --host /x/e.sock --ctx-size 100 --parallel 2"), behaviour(variables).unwrap());
        engine.numbers.held_tokens.fetch_add(25, std::sync::atomic::Ordering::Relaxed);
        metrics::page(&engine)
    };
    let llama = page(&[]);
    assert!(llama.contains("\n# TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred 0\n"), "{llama}");
    let vllm = page(&[("FAKE_ENGINE_METRICS", "vllm")]);
    assert!(!vllm.contains("llamacpp"), "{vllm}");
    for line in [
        "vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0.0",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 0.0",
        "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"tiny\"} 0.25",
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 0.0",
        "vllm:request_success_total{engine=\"0\",model_name=\"tiny\",finished_reason=\"stop\"} 0.0",
    ] {
        assert!(vllm.lines().any(|one| one == line), "{line} is not in {vllm}");
    }
}

#[tokio::test]
async fn slots_are_given_in_the_order_of_asking_and_come_back_from_whoever_leaves() {
    let slots = Slots::new(1);
    let first = slots.take().await.unwrap();
    assert_eq!((slots.busy(), slots.deferred()), (1, 0));
    let mut second = Box::pin(slots.take());
    let mut third = Box::pin(slots.take());
    let mut look = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(second.as_mut().poll(&mut look).is_pending() && third.as_mut().poll(&mut look).is_pending());
    assert_eq!(slots.deferred(), 2);
    drop(second); // its caller has left
    assert_eq!(slots.deferred(), 1);
    drop(first);
    let third = third.await.unwrap();
    assert_eq!((slots.busy(), slots.deferred()), (1, 0));
    drop(third);
    assert_eq!(slots.busy(), 0);
}
