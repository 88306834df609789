//! Is the narrowest of all limits found?

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn this_machine_has_cores_memory_and_a_name() {
    let (total, free) = memory();
    assert!(cores() >= 1);
    assert!(total >= ByteSize::mib(64) && free <= total, "{total} {free}");
    assert!(!name().is_empty());
}

#[test]
fn meminfo_is_read_in_bytes() {
    let text = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n";
    assert_eq!(meminfo(text), (16 * MIB, 8 * MIB));
}

#[test]
fn the_narrowest_group_counts_and_its_page_cache_is_free() {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("user.slice/app");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("memory.max"), "max\n").unwrap();
    let above = root.path().join("user.slice");
    fs::write(above.join("memory.max"), (100 * MIB).to_string()).unwrap();
    fs::write(above.join("memory.current"), (60 * MIB).to_string()).unwrap();
    fs::write(above.join("memory.stat"), format!("anon 5\nactive_file 7\ninactive_file {}\n", 20 * MIB)).unwrap();

    let groups = groups_above(root.path(), "0::/user.slice/app\n");
    assert_eq!(within((1000 * MIB, 500 * MIB), &groups), (ByteSize::mib(100), ByteSize::mib(60)));
    assert_eq!(within((50 * MIB, 10 * MIB), &groups), (ByteSize::mib(50), ByteSize::mib(10)), "the machine itself may be the narrowest");
}

#[test]
fn groups_of_the_first_version_count_too() {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("memory/box");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("memory.limit_in_bytes"), (32 * MIB).to_string()).unwrap();
    fs::write(own.join("memory.usage_in_bytes"), (30 * MIB).to_string()).unwrap();
    fs::write(own.join("memory.stat"), format!("inactive_file 1\ntotal_inactive_file {}\n", 10 * MIB)).unwrap();

    let groups = groups_above(root.path(), "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n");
    assert_eq!(within((64 * MIB, 64 * MIB), &groups), (ByteSize::mib(32), ByteSize::mib(12)));
}

#[test]
fn what_cannot_be_read_does_not_limit() {
    let groups = groups_above(Path::new("/nowhere"), "nonsense\n0::/x/y\n");
    assert_eq!(within((64 * MIB, 32 * MIB), &groups), (ByteSize::mib(64), ByteSize::mib(32)));
}
