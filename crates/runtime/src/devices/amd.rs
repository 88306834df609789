//! AMD's cards, by what their driver shows in `/sys`.
//!
//! In: `/sys/class/drm/card*/device`. Out: a device for each card with memory of its own. Fails: when a file that is
//! there cannot be read. A graphics unit of a processor (its metrics have the second format or a later one) works in
//! main memory. Cards without a number of their own are told apart by their order, as ROCm does. From: the kernel's
//! documentation of amdgpu (`mem_info_vram_total`, `mem_info_vram_used`, `unique_id`, `gpu_metrics`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::ByteSize;
use spec::{Device, DeviceKind};

use super::{Source, shared_memory};
use crate::Error;

const CARDS: &str = "/sys/class/drm";
/// AMD's number as a maker of PCI cards.
const MAKER: &str = "0x1002";

/// The driver.
#[derive(Debug)]
pub struct Amd {
    cards: PathBuf,
}

impl Default for Amd {
    fn default() -> Self {
        Self { cards: CARDS.into() }
    }
}

impl Amd {
    /// Cards below another folder than `/sys/class/drm`.
    pub fn below(cards: impl Into<PathBuf>) -> Self {
        Self { cards: cards.into() }
    }
}

impl Source for Amd {
    fn name(&self) -> &'static str {
        "amd"
    }
    fn read(&self) -> Result<Vec<Device>, Error> {
        let Ok(entries) = fs::read_dir(&self.cards) else { return Ok(Vec::new()) };
        let mut folders: Vec<(u32, PathBuf)> =
            entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path().join("device")))).collect();
        folders.sort();
        let mut devices = Vec::new();
        for (_, folder) in folders {
            if text(&folder, "vendor")?.as_deref() == Some(MAKER) {
                let index = devices.len();
                devices.extend(card(&folder, index)?);
            }
        }
        Ok(devices)
    }
}

/// The number of `card0`; `card0-HDMI-A-1` is a socket of it.
fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("card")?.parse().ok()
}

fn card(folder: &Path, index: usize) -> Result<Option<Device>, Error> {
    let Some(total) = bytes(folder, "mem_info_vram_total")? else { return Ok(None) };
    let used = bytes(folder, "mem_info_vram_used")?.unwrap_or_default();
    let product = text(folder, "product_name")?.filter(|name| !name.is_empty()).unwrap_or_else(|| "AMD".to_owned());
    let name = format!("{index}: {product}");
    if is_part_of_processor(folder) {
        return Ok(Some(shared_memory(name)));
    }
    let id = text(folder, "unique_id")?.filter(|id| !id.is_empty());
    let id = id.map_or_else(|| format!("rocm:{index}"), |id| format!("rocm:GPU-{id}"));
    let utilization = text(folder, "gpu_busy_percent").ok().flatten().and_then(|text| text.parse().ok());
    Ok(Some(Device { name, utilization, ..Device::new(id, DeviceKind::Rocm, total, total.saturating_sub(used)) }))
}

/// The third byte of the metrics is the number of their format: the first is of cards, later ones are of processors.
fn is_part_of_processor(folder: &Path) -> bool {
    const FORMAT: usize = 2;
    fs::read(folder.join("gpu_metrics")).ok().and_then(|metrics| metrics.get(FORMAT).copied()).is_some_and(|format| format > 1)
}

fn bytes(folder: &Path, file: &str) -> Result<Option<ByteSize>, Error> {
    Ok(text(folder, file)?.and_then(|text| text.parse().ok()).map(ByteSize))
}

/// What a file says; nothing when it is not there, or the card has just gone.
fn text(folder: &Path, file: &str) -> Result<Option<String>, Error> {
    const NO_DEVICE: i32 = 19; // ENODEV
    let path = folder.join(file);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_DEVICE) => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
