//! What this machine has that a model can be put into.
//!
//! Life of a reading: each [`Source`] is a driver, or a file ([`nvidia`], [`amd`], [`described`]); whoever asks
//! for the machine's devices has all sources read at the same time, each in a thread of its own, and waits no
//! longer than a deadline; a source that is late is read on, and until then its last word holds.
//!
//! In: drivers. Out: devices under ids that stay the same when their order changes. Fails: never; a driver that is
//! not there is no news, one that cannot be read is logged and its last word holds, and a device that it no longer
//! lists has vanished. Holds: the last reading of each source, for a short time; a thread for each that is late.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::tasks;
use spec::{Device, DeviceKind};
use tokio::time::Instant;

use crate::{Error, host};

mod amd;
mod described;
mod nvidia;

pub use amd::Amd;
pub use described::Described;
pub use nvidia::Nvidia;

/// Whoever knows devices.
pub trait Source: fmt::Debug + Send + Sync {
    /// What it is called in the log.
    fn name(&self) -> &'static str;
    /// What is there now; none is fine. May take its time: it has a thread for itself.
    fn read(&self) -> Result<Vec<Device>, Error>;
}

/// A reading is fresh for so long: many looks of one turn are one.
const FRESH: Duration = Duration::from_millis(20);
/// A driver may take so long for a look; one that takes longer is not waited for.
const DEADLINE: Duration = Duration::from_millis(150);
/// At the first look there is no last word, and drivers have to be loaded.
const FIRST_DEADLINE: Duration = Duration::from_secs(3);

/// All devices of this machine.
#[derive(Debug)]
pub struct Devices {
    sources: Vec<Arc<Shelf>>,
}

/// A source with its last word.
#[derive(Debug)]
struct Shelf {
    source: Box<dyn Source>,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    devices: Vec<Device>,
    read_at: Option<Instant>,
    under_way: bool,
    complained: bool,
}

impl Devices {
    /// Those that these sources know, beside main memory.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let shelf = |source| Arc::new(Shelf { source, last: Mutex::default() });
        Self { sources: sources.into_iter().map(shelf).collect() }
    }
    /// Those whose drivers this machine may have.
    pub fn of_this_machine() -> Vec<Box<dyn Source>> {
        vec![Box::new(Nvidia::default()), Box::new(Amd::default())]
    }

    /// What is there now.
    pub async fn read(&self) -> Vec<Device> {
        let reads = self.sources.iter().map(|shelf| look(Arc::clone(shelf)));
        let mut devices: Vec<Device> = futures_util::future::join_all(reads).await.into_iter().flatten().collect();
        let mut seen = std::collections::BTreeSet::new();
        devices.retain(|device| seen.insert(device.id.clone()));
        if !devices.iter().any(|device| device.kind.is_host()) {
            devices.insert(0, main_memory());
        }
        // A graphics unit without memory of its own takes that of the machine: one pool, whatever names it has.
        let shares = |device: &Device| device.kind == DeviceKind::Unified;
        if devices.iter().any(shares) {
            devices.retain(|device| device.kind != DeviceKind::Ram);
        }
        devices
    }
}

/// Main memory, with the process that may be seen to use it left to the runtime.
fn main_memory() -> Device {
    let (total, free) = host::memory();
    Device::new("ram", DeviceKind::Ram, total, free)
}

/// The pool of a graphics unit that has no memory of its own.
fn shared_memory(name: String) -> Device {
    let (total, free) = host::memory();
    Device { name, ..Device::new("unified", DeviceKind::Unified, total, free) }
}

async fn look(shelf: Arc<Shelf>) -> Vec<Device> {
    let deadline = {
        let mut last = shelf.last();
        let is_fresh = last.read_at.is_some_and(|at| at.elapsed() < FRESH);
        if is_fresh || last.under_way {
            return last.devices.clone();
        }
        last.under_way = true;
        if last.read_at.is_none() { FIRST_DEADLINE } else { DEADLINE }
    };
    let reader = Arc::clone(&shelf);
    let read = tasks::blocking("read devices", move || reader.refresh());
    if tokio::time::timeout(deadline, read).await.is_err() {
        tracing::debug!(source = shelf.source.name(), "devices are read slowly; the last reading holds");
    }
    shelf.last().devices.clone()
}

impl Shelf {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self) {
        let found = self.source.read();
        let mut last = self.last();
        (last.under_way, last.read_at) = (false, Some(Instant::now()));
        match found {
            Ok(devices) => {
                note_changes(&last.devices, &devices);
                (last.devices, last.complained) = (devices, false);
            }
            Err(error) if last.complained => tracing::debug!(error = base::chain(&error), "devices still cannot be read"),
            Err(error) => {
                last.complained = true;
                let source = self.source.name();
                tracing::warn!(source, error = base::chain(&error), "devices cannot be read; the last reading holds");
            }
        }
    }
}

fn note_changes(before: &[Device], now: &[Device]) {
    let has = |all: &[Device], id: &str| all.iter().any(|device| device.id == id);
    for device in now.iter().filter(|device| !has(before, &device.id)) {
        tracing::info!(device = device.id, name = device.name, total = %device.total, free = %device.free, "a device was found");
    }
    for device in before.iter().filter(|device| !has(now, &device.id)) {
        tracing::warn!(device = device.id, name = device.name, "a device is gone");
    }
}

#[cfg(test)]
mod tests;
