//! Bytes are there once, and come back when their holder is dead.

use std::process::{Command, Stdio};
use std::sync::Arc;

use super::*;

const GIB: ByteSize = ByteSize::mib(1024);

fn ledger(folder: &Path, devices: Vec<FakeDevice>) -> DeviceLedger {
    DeviceLedger::create(folder.join("devices.json"), devices).unwrap()
}

#[test]
fn what_is_not_there_is_refused_and_the_refusal_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), vec![FakeDevice::cuda(0, GIB), FakeDevice::cuda(1, GIB)]);
    let most = ByteSize::mib(700);
    assert_eq!(ledger.take("cuda:GPU-0", most, "weights", Duration::ZERO).unwrap(), Taken::Yes);
    assert_eq!(ledger.take("cuda:GPU-1", most, "weights", Duration::ZERO).unwrap(), Taken::Yes);
    assert_eq!(ledger.take("cuda:GPU-0", most, "weights", Duration::ZERO).unwrap(), Taken::No { free: ByteSize::mib(324) });
    ledger.set_foreign("cuda:GPU-1", ByteSize::mib(300)).unwrap();
    assert_eq!(ledger.take("cuda:GPU-1", ByteSize::mib(30), "cache", Duration::ZERO).unwrap(), Taken::No { free: ByteSize::mib(24) });
    let book = ledger.look().unwrap();
    assert_eq!((book.refused.len(), book.refused[0].asked, book.peak["cuda:GPU-0"]), (2, most, most));
    ledger.give_back().unwrap();
    let book = ledger.look().unwrap();
    assert_eq!((book.holds.len(), book.free("cuda:GPU-0"), book.peak["cuda:GPU-0"]), (0, GIB, most));
}

#[test]
fn what_a_dead_process_held_is_free_also_when_nobody_has_reaped_it_and_late_when_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), vec![FakeDevice::ram(GIB)]);
    let mut child = Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let holder = Holder::of(child.id()).unwrap();
    let hold = |late| Hold { holder, device: "ram".into(), bytes: GIB, what: "all".into(), late, dead_at: None };
    assert_eq!(ledger.change(|book| book.take(hold(Duration::from_millis(200)))).unwrap(), Taken::Yes);
    child.kill().unwrap();
    // It stays a zombie until it is waited for; its memory does not.
    let begun = std::time::Instant::now();
    while holder.lives() {
        assert!(begun.elapsed() < Duration::from_mins(2));
        std::thread::yield_now();
    }
    assert_eq!(ledger.look().unwrap().free("ram"), ByteSize(0), "it returns late");
    while ledger.look().unwrap().free("ram") == ByteSize(0) {
        assert!(begun.elapsed() < Duration::from_mins(2));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begun.elapsed() >= Duration::from_millis(190));
    child.wait().unwrap();
}

#[test]
fn the_file_is_one_of_devices_and_so_is_the_ledger_until_the_machine_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path(), vec![FakeDevice::ram(GIB), FakeDevice::cuda(0, GIB)]);
    ledger.take("cuda:GPU-0", ByteSize::mib(600), "weights", Duration::ZERO).unwrap();
    ledger.take("cuda:GPU-0", ByteSize::mib(100), "cache", Duration::ZERO).unwrap();
    ledger.set_foreign("cuda:GPU-0", ByteSize::mib(24)).unwrap();
    let file = runtime::devices::Described::at(ledger.path());
    let (seen, same) = (ledger.read().unwrap(), file.read().unwrap());
    assert_eq!(seen, same);
    assert_eq!((seen[1].free, seen[1].used_by(std::process::id())), (ByteSize::mib(300), Some(ByteSize::mib(700))));
    assert_eq!((seen[0].free, seen[0].used_by(1)), (GIB, None));
    ledger.set_gone(true).unwrap();
    assert!(ledger.read().unwrap().is_empty() && file.read().unwrap().is_empty());
}

#[test]
fn many_who_take_at_once_never_have_more_than_there_is() {
    const TAKERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(ledger(folder.path(), vec![FakeDevice::ram(ByteSize::mib(10))]));
    let takers: Vec<_> = (0..TAKERS)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            std::thread::spawn(move || {
                let take = || ledger.take("ram", ByteSize::mib(1), "some", Duration::ZERO).unwrap();
                (0..5).filter(|_| take() == Taken::Yes).count()
            })
        })
        .collect();
    let taken: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
    let book = ledger.look().unwrap();
    assert_eq!((taken, book.free("ram"), book.refused.len()), (10, ByteSize(0), 5 * TAKERS - 10));
}
