//! What an instance takes of a machine: bytes by what they are for, and by where they have to be.
//!
//! In: what an engine's estimate or a measurement says. Out: sums. Fails: never; sums stop at the
//! largest number.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base::ByteSize;
use spec::{Deployment, Version};

/// What an instance takes when all of it is in one memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Tensors.
    pub weights: ByteSize,
    /// Keys and values of all slots' contexts.
    pub kv_cache: ByteSize,
    /// Compute buffers, vocabulary, code.
    pub overhead: ByteSize,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> ByteSize {
        self.weights + self.kv_cache + self.overhead
    }
}

/// What an instance takes piece by piece, for whoever spreads it over several memories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Always in main memory: the process, and what is looked up and not computed with.
    pub host: ByteSize,
    /// Bytes that go with each layer, in their order, with its share of the context; what follows the last layer counts as one
    /// more. With `n` layers on devices that compute, the last `n` of these are there.
    pub layers: Vec<ByteSize>,
    /// Beside the layers, once on other devices if any layer is there: what main memory keeps as well.
    pub copy: ByteSize,
    /// Beside the layers, on each device that computes some of them: buffers, and what its driver keeps.
    pub device: ByteSize,
    /// Of main memory, beside `host` and its layers: what the processor keeps a second time in an order of its own when it computes
    /// all layers.
    pub alone: ByteSize,
}

impl Needs {
    /// Of an engine that cannot be spread: all in main memory.
    pub fn whole(memory: Memory) -> Self {
        Self { host: memory.total(), ..Self::default() }
    }
    /// In main memory, with this number of layers on other devices.
    pub fn host_with(&self, elsewhere: usize) -> ByteSize {
        let here = self.layers.len().saturating_sub(elsewhere);
        let alone = if elsewhere == 0 { self.alone } else { ByteSize(0) };
        self.host + alone + self.layers.iter().take(here).copied().sum()
    }
    /// On other devices together, with this number of layers on so many of them.
    pub fn devices_with(&self, layers: usize, devices: u64) -> ByteSize {
        let here = self.layers.len().saturating_sub(layers);
        let buffers = ByteSize(self.device.0.saturating_mul(devices));
        let copy = if layers > 0 { self.copy } else { ByteSize(0) };
        buffers + copy + self.layers.iter().skip(here).copied().sum()
    }
}

/// Raised when Penstock's own arguments change what an engine takes: what was measured before is then measured anew.
const OWN_ARGUMENTS: u32 = 1;

/// All that a deployment asks of its engine, in one line: instances of one model and one build of which this is the same take the
/// same memory. Variables may be secrets, so only a hash of them is in it.
pub fn arguments(version: &Version, spec: &Deployment) -> String {
    let mut variables = DefaultHasher::new();
    spec.env.hash(&mut variables);
    let said = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut line = format!(
        "{OWN_ARGUMENTS} context={} parallel={} threads={} cache={} embeddings={} env={:x}",
        spec.context_with(Some(version)).unwrap_or(0),
        spec.slots(),
        said(spec.threads),
        spec.cache_type.unwrap_or_default(),
        spec.embeddings,
        variables.finish(),
    );
    for arg in &spec.args {
        line.push(' ');
        line.push_str(arg);
    }
    line
}
