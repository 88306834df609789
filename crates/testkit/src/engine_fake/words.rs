//! llama.cpp's own words.
//!
//! In: what happens. Out: the lines that llama-server writes about it. Fails: never. From: llama.cpp
//! (`ggml-cuda.cu`, `ggml-backend.cpp`, `ggml-alloc.c`, `llama-model.cpp`, `llama-kv-cache.cpp`,
//! `llama-context.cpp`, `server-context.cpp`). Whoever reads an engine's log reads these.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use base::ByteSize;

/// What `--version` prints.
pub(super) const VERSION: &str = "version: 0.5.0-fake (build 1, commit 0000000)\nbuilt with rustc for Linux\n";
/// `system_fingerprint`.
pub(super) const BUILD: &str = "b1-0000000";

/// What it was that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Weights,
    Cache,
    Compute,
}

/// One line to the log.
pub(super) fn log(age: Duration, line: &str) {
    let (seconds, micros) = (age.as_secs(), age.subsec_micros());
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (millis, micros) = (micros / 1000, micros % 1000);
    // A log that nobody reads any more is no reason to end.
    let _ = writeln!(std::io::stderr().lock(), "{minutes}.{seconds:02}.{millis:03}.{micros:03} {line}");
}

/// A device does not have so many bytes.
pub(super) fn out_of_memory(part: Part, device: &str, bytes: ByteSize, model: &Path) -> Vec<String> {
    let model = model.display();
    let mut lines = vec![match device.strip_prefix("CUDA") {
        Some(index) => format!(
            "E ggml_backend_cuda_buffer_type_alloc_buffer: allocating {:.2} MiB on device {index}: cudaMalloc failed: out of memory",
            mib(bytes)
        ),
        None => format!("E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size {}", bytes.0),
    }];
    match part {
        Part::Weights => {
            lines.push(format!("E alloc_tensor_range: failed to allocate {device} buffer of size {}", bytes.0));
            lines.push(format!("E llama_model_load: error loading model: unable to allocate {device} buffer"));
            lines.push("E llama_model_load_from_file_impl: failed to load model".to_owned());
            lines.push(format!("E cmn  common_init_: failed to load model '{model}'"));
        }
        Part::Cache => {
            lines.push(format!("E alloc_tensor_range: failed to allocate {device} buffer of size {}", bytes.0));
            lines.push("E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache".to_owned());
        }
        Part::Compute => {
            lines.push(format!("E ggml_gallocr_reserve_n_impl: failed to allocate {device} buffer of size {}", bytes.0));
            lines.push("E llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers".to_owned());
        }
    }
    if part != Part::Weights {
        lines.push(format!("E cmn  common_init_: failed to create context with model '{model}'"));
    }
    lines.extend(not_loaded(&model.to_string(), part));
    lines
}

/// The end of a load that went wrong at this part.
pub(super) fn not_loaded(model: &str, part: Part) -> [String; 3] {
    [
        match part {
            Part::Weights => format!("E srv    load_model: failed to load model, '{model}'"),
            Part::Cache | Part::Compute => format!("E srv    load_model: failed to create_context with model '{model}'"),
        },
        "I srv    operator(): operator(): cleaning up before exit...".to_owned(),
        "E srv  llama_server: exiting due to model loading error".to_owned(),
    ]
}

/// An assertion of ggml.
pub(super) const ASSERTION: &str = "ggml.c:1: GGML_ASSERT(!told_to_crash) failed";

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn mib(bytes: ByteSize) -> f64 {
    bytes.0 as f64 / f64::from(1 << 20)
}
