//! What a model takes, and of which devices.
//!
//! In: the file's header, the arguments, the ledger's devices. Out: parts, each with a device and bytes.
//! Fails: when the file is none that llama.cpp would read, or no device is there. From: llama.cpp puts the
//! last layers and the output on the cards, split by what each has free unless it is told how, and
//! leaves the rest in main memory.

use base::ByteSize;
use gguf::Cache;
use spec::DeviceKind;

use super::args::Args;
use super::behaviour::Behaviour;
use super::words::Part;
use crate::device_ledger::{Book, FakeDevice};

/// What llama.cpp calls main memory.
pub(super) const MAIN: &str = "CPU";
/// Buffers for computing.
const COMPUTE: ByteSize = ByteSize::mib(4);
/// What `MEMORY` says is split so between weights, cache and compute buffers, in eighths.
const EIGHTHS: [u64; 3] = [6, 1, 1];

/// Something to take.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) part: Part,
    /// As the ledger calls it.
    pub(super) device: String,
    /// As llama.cpp calls it.
    pub(super) name: String,
    pub(super) bytes: ByteSize,
}

/// A device and the share of the model on it.
struct Share<'a> {
    device: &'a FakeDevice,
    name: String,
    weight: f64,
}

/// All parts, in the order in which they are taken.
pub(super) fn pieces(args: &Args, behaviour: &Behaviour, book: &Book) -> Result<Vec<Piece>, String> {
    let header = gguf::File::read(&args.model).map_err(|error| base::chain(&error))?;
    let layers = header.block_count().unwrap_or(1).saturating_add(1);
    let parts = match behaviour.memory {
        Some(total) => EIGHTHS.map(|eighths| ByteSize(total.0 / 8 * eighths)),
        None => [ByteSize(header.tensor_bytes()), ByteSize(header.cache_bytes(&cache(args, &header))), COMPUTE],
    };
    let shares = shares(args, behaviour, book, layers)?;
    let mut pieces = Vec::new();
    for (part, bytes) in [Part::Weights, Part::Cache, Part::Compute].into_iter().zip(parts) {
        let mut rest = bytes;
        for (index, share) in shares.iter().enumerate() {
            let is_last = index + 1 == shares.len();
            let its = if is_last { rest } else { portion(bytes, share.weight) };
            rest = rest.saturating_sub(its);
            if its > ByteSize(0) {
                pieces.push(Piece { part, device: share.device.id.clone(), name: share.name.clone(), bytes: its });
            }
        }
    }
    Ok(pieces)
}

fn cache(args: &Args, header: &gguf::File) -> Cache {
    let context_tokens = if args.context == 0 { header.context_length().unwrap_or(1) } else { args.context };
    let (key, value) = args.cache;
    Cache { slots: u64::from(args.parallel), batch_tokens: args.batch, key, value, ..Cache::of(context_tokens) }
}

fn shares<'a>(args: &Args, behaviour: &Behaviour, book: &'a Book, layers: u64) -> Result<Vec<Share<'a>>, String> {
    let main = book.stock.iter().find(|device| device.kind.is_host());
    let cards = cards(args, behaviour, book);
    let on_cards = if cards.is_empty() { 0 } else { args.gpu_layers.min(layers) };
    let offloaded = ratio(on_cards, layers);
    let weights: Vec<f64> = cards
        .iter()
        .enumerate()
        .map(|(index, (device, _))| match args.tensor_split.as_slice() {
            [] => ratio(book.free(&device.id).0.max(1), 1),
            split => split.get(index).copied().unwrap_or(0.0),
        })
        .collect();
    let all: f64 = weights.iter().sum();
    let mut shares = Vec::new();
    if offloaded < 1.0 {
        let device = main.ok_or("there is no main memory in the ledger")?;
        shares.push(Share { device, name: MAIN.to_owned(), weight: 1.0 - offloaded });
    }
    for ((device, name), weight) in cards.into_iter().zip(weights).filter(|_| on_cards > 0) {
        shares.push(Share { device, name, weight: offloaded * weight / all });
    }
    Ok(shares)
}

/// The cards that it may use, as it sees them: of each kind, numbered anew from 0.
fn cards<'a>(args: &Args, behaviour: &Behaviour, book: &'a Book) -> Vec<(&'a FakeDevice, String)> {
    let kinds = [
        (DeviceKind::Cuda, "CUDA", &behaviour.cuda),
        (DeviceKind::Rocm, "ROCm", &behaviour.rocm),
        (DeviceKind::Gpu, "Vulkan", &None),
        (DeviceKind::Unified, "GPU", &None),
    ];
    let mut cards = Vec::new();
    for (kind, name, wanted) in kinds {
        let all: Vec<&FakeDevice> = book.stock.iter().filter(|device| device.kind == kind).collect();
        let visible: Vec<&FakeDevice> = match wanted {
            None => all,
            Some(wanted) => wanted.iter().filter_map(|one| find(&all, one)).collect(),
        };
        cards.extend(visible.into_iter().enumerate().map(|(index, device)| (device, format!("{name}{index}"))));
    }
    cards.retain(|(_, name)| args.devices.is_empty() || args.devices.contains(name));
    cards
}

/// By its UUID, or by its number.
fn find<'a>(all: &[&'a FakeDevice], wanted: &str) -> Option<&'a FakeDevice> {
    let by_id = all.iter().find(|device| device.id.split_once(':').is_some_and(|(_, id)| id == wanted)).copied();
    by_id.or_else(|| all.get(wanted.parse::<usize>().ok()?).copied())
}

#[expect(clippy::cast_precision_loss, reason = "shares of a model")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn portion(bytes: ByteSize, share: f64) -> ByteSize {
    ByteSize((bytes.0 as f64 * share) as u64)
}
