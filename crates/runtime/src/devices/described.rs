//! Devices as a file describes them: accelerators that no driver of ours reads.
//!
//! In: JSON, a list of `{"id", "kind", "total", "free", "uses"?, "name"?, "engine_name"?}`, or an object whose
//! `devices` is that list; other keys are passed over. Whoever writes it replaces it as a whole. Out: those devices;
//! `ram` or `unified` among them stands in place of the machine's own memory. Fails: when it is not there or is not such
//! JSON: what it said last holds.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use spec::Device;

use super::Source;
use crate::Error;

/// A file of devices.
#[derive(Debug)]
pub struct Described {
    path: PathBuf,
}

impl Described {
    /// The file at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    List(Vec<Device>),
    Object { devices: Vec<Device> },
}

impl Source for Described {
    fn name(&self) -> &'static str {
        "devices file"
    }
    fn read(&self) -> Result<Vec<Device>, Error> {
        let text = fs::read(&self.path).map_err(Error::io("read", &self.path))?;
        let found = serde_json::from_slice(&text).map_err(|source| Error::Garbled { path: self.path.clone(), source })?;
        let (Shape::List(mut devices) | Shape::Object { mut devices }) = found;
        for device in &mut devices {
            device.free = device.free.min(device.total);
        }
        Ok(devices)
    }
}
