//! NVIDIA's cards, by the library that comes with their driver.
//!
//! In: `libnvidia-ml`, loaded when it is first asked. Out: a device for each card, with the processes that have
//! memory there. Fails: when the driver is there and cannot be asked. A machine without the driver has no such
//! cards; it is looked for again now and then, since a driver may come later. A card that reports no memory of its
//! own (Jetson, GB10) works in main memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::ByteSize;
use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use spec::{Device, DeviceKind, Use};

use super::{Source, shared_memory};
use crate::Error;

/// What the driver brings; the name without a version comes with its development files only.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// So long after it was not there it is looked for again.
const AGAIN: Duration = Duration::from_mins(1);

/// The driver.
#[derive(Debug, Default)]
pub struct Nvidia(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    library: Option<Nvml>,
    missed_at: Option<Instant>,
}

impl Source for Nvidia {
    fn name(&self) -> &'static str {
        "nvidia"
    }
    fn read(&self) -> Result<Vec<Device>, Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.library.is_none() {
            if state.missed_at.is_some_and(|at| at.elapsed() < AGAIN) {
                return Ok(Vec::new());
            }
            match Nvml::builder().lib_path(LIBRARY.as_ref()).init() {
                Ok(library) => state.library = Some(library),
                Err(error) => {
                    tracing::debug!(%error, "no driver of NVIDIA");
                    state.missed_at = Some(Instant::now());
                    return Ok(Vec::new());
                }
            }
        }
        let Some(library) = &state.library else { return Ok(Vec::new()) };
        let found = cards(library);
        if matches!(found, Err(NvmlError::DriverNotLoaded | NvmlError::Uninitialized)) {
            state.library = None; // the driver was changed under us; the next look loads it anew
        }
        found.map_err(|source| Error::Driver { driver: "nvidia", source: Box::new(source) })
    }
}

fn cards(library: &Nvml) -> Result<Vec<Device>, NvmlError> {
    let count = library.device_count()?;
    let mut devices = Vec::new();
    for index in 0..count {
        match card(library, index) {
            Ok(device) => devices.push(device),
            // A card that fell off the bus is not there any more; the others are.
            Err(error @ (NvmlError::GpuLost | NvmlError::NotFound | NvmlError::NoPermission)) => {
                tracing::debug!(index, %error, "a card cannot be used");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(devices)
}

fn card(library: &Nvml, index: u32) -> Result<Device, NvmlError> {
    let card = library.device_by_index(index)?;
    let name = format!("{index}: {}", card.name().unwrap_or_else(|_| "NVIDIA".to_owned()));
    let memory = match card.memory_info() {
        Ok(memory) => memory,
        Err(NvmlError::NotSupported) => return Ok(shared_memory(name)),
        Err(error) => return Err(error),
    };
    // What the driver keeps for itself can be given to nobody.
    let total = ByteSize(memory.total.saturating_sub(memory.reserved));
    let id = format!("cuda:{}", card.uuid()?);
    let processes = [card.running_compute_processes(), card.running_graphics_processes()];
    let uses = uses(processes.into_iter().flatten().flatten());
    let utilization = card.utilization_rates().ok().map(|rates| rates.gpu); // a part of a card (MIG) does not tell
    Ok(Device { name, uses, utilization, ..Device::new(id, DeviceKind::Cuda, total, ByteSize(memory.free)) })
}

/// A process that computes and draws stands in both lists, each time with all of its memory.
fn uses(processes: impl Iterator<Item = ProcessInfo>) -> Vec<Use> {
    let mut by_pid: BTreeMap<u32, ByteSize> = BTreeMap::new();
    for process in processes {
        if let UsedGpuMemory::Used(bytes) = process.used_gpu_memory {
            let most = by_pid.entry(process.pid).or_default();
            *most = ByteSize(bytes).max(*most);
        }
    }
    by_pid.into_iter().map(|(pid, bytes)| Use { pid, bytes }).collect()
}
