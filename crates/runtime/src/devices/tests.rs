//! Devices as drivers and files show them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;

use base::ByteSize;
use tempfile::TempDir;

use super::*;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A source that does what it is told.
#[derive(Debug, Default)]
struct Told {
    looks: AtomicUsize,
    /// All looks but the first one hang until this is given.
    held: Option<Mutex<Receiver<()>>>,
    fails_from: Option<usize>,
}

impl Source for Arc<Told> {
    fn name(&self) -> &'static str {
        "told"
    }
    fn read(&self) -> Result<Vec<Device>, Error> {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        if let Some(held) = self.held.as_ref().filter(|_| look > 0) {
            let _ended = held.lock().expect("one at a time").recv(); // nobody gives it any more when the test is over
        }
        if self.fails_from.is_some_and(|from| look >= from) {
            return Err(Error::io("read", "/dev/told")(std::io::ErrorKind::Other.into()));
        }
        Ok(vec![Device::new("gpu0", DeviceKind::Gpu, ByteSize(100), ByteSize(100 - look as u64))])
    }
}

fn free(devices: &[Device], id: &str) -> Option<u64> {
    devices.iter().find(|device| device.id == id).map(|device| device.free.0)
}

#[tokio::test]
async fn a_driver_that_hangs_keeps_nobody_waiting_and_its_last_word_holds() {
    let (go_on, held) = channel();
    let told = Arc::new(Told { held: Some(Mutex::new(held)), ..Told::default() });
    let devices = Devices::new(vec![Box::new(Arc::clone(&told))]);
    assert_eq!(free(&devices.read().await, "gpu0"), Some(100));
    tokio::time::sleep(FRESH).await;
    assert_eq!(free(&devices.read().await, "gpu0"), Some(100), "the last word, while it hangs");
    let mut again = std::pin::pin!(devices.read());
    let at_once = std::future::poll_fn(|cx| Poll::Ready(again.as_mut().poll(cx))).await;
    assert!(matches!(at_once, Poll::Ready(found) if free(&found, "gpu0") == Some(100)), "and nobody waits for it twice");
    go_on.send(()).expect("it still hangs");
    let begun = Instant::now();
    while free(&devices.read().await, "gpu0") == Some(100) {
        assert!(begun.elapsed() < PATIENCE, "what came late is never seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_fails_takes_no_device_away() {
    let devices = Devices::new(vec![Box::new(Arc::new(Told { fails_from: Some(1), ..Told::default() }))]);
    devices.read().await;
    tokio::time::advance(FRESH).await;
    assert_eq!(free(&devices.read().await, "gpu0"), Some(100));
}

#[tokio::test]
async fn a_machine_without_drivers_has_its_main_memory() {
    let found = Devices::new(vec![Box::new(Amd::below("/nowhere"))]).read().await;
    assert_eq!(found.iter().map(|device| (device.id.as_str(), device.kind)).collect::<Vec<_>>(), [("ram", DeviceKind::Ram)]);
    assert!(found[0].total > ByteSize(0) && found[0].free <= found[0].total);
    // Whatever this machine has: every id is there once, and nothing is freer than it is large.
    let found = Devices::new(Devices::of_this_machine()).read().await;
    assert_eq!(found.iter().filter(|device| device.kind.is_host()).count(), 1);
    assert!(found.iter().all(|device| device.free <= device.total), "{found:?}");
}

fn amd_card(root: &Path, name: &str, files: &[(&str, &[u8])]) {
    let folder = root.join(name).join("device");
    fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
}

#[tokio::test]
async fn cards_of_amd_are_known_by_their_own_number_and_those_of_other_makers_are_left_alone() {
    let root = TempDir::new().unwrap();
    let card: [(&str, &[u8]); 4] =
        [("vendor", b"0x1002\n"), ("mem_info_vram_total", b"1000\n"), ("mem_info_vram_used", b"300\n"), ("unique_id", b"7c2f\n")];
    amd_card(root.path(), "card1", &card);
    amd_card(root.path(), "card10", &[("vendor", b"0x1002\n"), ("mem_info_vram_total", b"500\n"), ("gpu_metrics", &[0, 0, 1, 3])]);
    amd_card(root.path(), "card2", &[("vendor", b"0x10de\n"), ("mem_info_vram_total", b"500\n")]);
    amd_card(root.path(), "card1-HDMI-A-1", &card);
    amd_card(root.path(), "card3", &[("vendor", b"0x1002\n")]);
    let found = Devices::new(vec![Box::new(Amd::below(root.path()))]).read().await;
    let told: Vec<_> = found.iter().skip(1).map(|device| (device.id.as_str(), device.total.0, device.free.0)).collect();
    assert_eq!(told, [("rocm:GPU-7c2f", 1000, 700), ("rocm:1", 500, 500)]);
    fs::remove_dir_all(root.path().join("card1")).unwrap();
    assert_eq!(Amd::below(root.path()).read().unwrap().len(), 1, "it has vanished");
}

#[tokio::test]
async fn a_graphics_unit_of_a_processor_and_the_processor_share_one_pool() {
    let root = TempDir::new().unwrap();
    amd_card(root.path(), "card0", &[("vendor", b"0x1002\n"), ("mem_info_vram_total", b"512\n"), ("gpu_metrics", &[0, 0, 2, 1])]);
    let found = Devices::new(vec![Box::new(Amd::below(root.path()))]).read().await;
    assert_eq!(found.iter().map(|device| device.kind).collect::<Vec<_>>(), [DeviceKind::Unified]);
    assert_eq!(found[0].total, main_memory().total);
}

#[tokio::test(start_paused = true)]
async fn a_file_describes_devices_and_may_stand_for_the_whole_machine() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("devices.json");
    let devices = Devices::new(vec![Box::new(Described::at(&path))]);
    fs::write(&path, r#"[{"id":"npu0","kind":"gpu","total":"2GiB","free":5000000000,"engine_name":"Vulkan0"}]"#).unwrap();
    let found = devices.read().await;
    assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("ram", "npu0"));
    assert_eq!((found[1].free, found[1].engine_name.as_deref()), (ByteSize(2 << 30), Some("Vulkan0")));
    let whole = r#"{"holds":[],"devices":[{"id":"ram","kind":"ram","total":10,"free":4,"uses":[{"pid":7,"bytes":6}],"else":1}]}"#;
    fs::write(&path, whole).unwrap();
    tokio::time::advance(FRESH).await;
    let found = devices.read().await;
    assert_eq!((found.len(), found[0].free, found[0].used_by(7)), (1, ByteSize(4), Some(ByteSize(6))));
    fs::write(&path, "{").unwrap();
    tokio::time::advance(FRESH).await;
    assert_eq!(devices.read().await, found, "what cannot be read changes nothing");
}
