//! What llama-server says of its buffers, and what the kernel says of its process.

use std::fs;

/// Its buffers, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Report {
    /// Tensors, those in another order included.
    pub(super) weights: f64,
    /// Keys, values and states.
    pub(super) context: f64,
    /// For computing.
    pub(super) compute: f64,
    /// For results.
    pub(super) output: f64,
}

impl Report {
    /// From its log.
    pub(super) fn read(log: &str) -> Self {
        let sum = |what: &str| {
            let sizes = log.lines().filter_map(|line| {
                let (_, size) = line.split_once(what)?;
                size.trim_start_matches([' ', '=']).split(' ').next()?.parse::<f64>().ok()
            });
            sizes.fold(0.0, |sum, size| sum + size)
        };
        Self {
            weights: sum("model buffer size"),
            context: sum("KV buffer size") + sum("RS buffer size"),
            compute: sum("compute buffer size"),
            output: sum("output buffer size"),
        }
    }
}

/// Memory of a process, in MiB: what is its own, and what of its files is there.
pub(super) fn rss(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a process of ours");
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("its resident memory") / 1024.0
}
