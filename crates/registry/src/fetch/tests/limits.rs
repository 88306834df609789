//! What has no room: files that are longer than anybody said, and disks that take no more.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "PENSTOCK_TEST_FULL_FOLDER";
const SOURCE: &str = "PENSTOCK_TEST_FULL_SOURCE";
/// A file that cannot be kept is not asked for again and again.
const SOON: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_file_whose_length_nobody_says_ends_where_it_is_too_large() {
    let house = house().await;
    let bytes = model("without an end", 64 * MB);
    house.host.put("/tiny.gguf", HostedFile { no_length: true, no_ranges: true, ..HostedFile::of(bytes) });
    let small = Config { max_size: Some(base::ByteSize::mib(1)), ..house.registry.inner.config.clone() };
    let inner = &house.registry.inner;
    let registry = Registry::keeping(inner.store.clone(), small, inner.blobs.clone());
    let error = registry.resolve(&Source::parse(&house.url("/tiny.gguf")).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(house.host.sent("/tiny.gguf") < 32 * MB as u64, "not to its end: {}", house.host.sent("/tiny.gguf"));
    assert_eq!(registry.blobs().unwrap().parts().await.unwrap(), [], "what came is given up");
}

#[expect(clippy::disallowed_methods, reason = "what the parent of this process says")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Its files may have so much, as where a quota ends, and it is told so; without a parent, which is below, it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_whose_files_do_not_grow() {
    let (Some(folder), Some(source)) = (variable(FOLDER), variable(SOURCE)) else { return };
    let folder = std::path::PathBuf::from(folder);
    let store = Store::open(folder.join("penstock.db")).await.expect("a store");
    let kept = blobs::Config { reserve: base::ByteSize(0), ..blobs::Config::at(folder.join("blobs")) };
    let registry =
        Registry::keeping(store, Config { base_dir: folder, ..Config::default() }, Some(Blobs::open(kept).await.expect("blobs")));
    let error = registry.resolve(&Source::parse(&source).expect("a source")).await.expect_err("there is no room");
    assert!(matches!(error, Error::Blobs(blobs::Error::Io { .. })), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refuses_is_told_at_once_and_not_asked_for_again() {
    let host = FileHost::open().await.expect("a host");
    host.put("/m.gguf", HostedFile::of(model("more than may be kept", 24 * MB)));
    let dir = tempfile::tempdir().expect("a folder");
    let mut program = Command::new("sh");
    program.args(["-c", "trap '' XFSZ; ulimit -f 12288; exec \"$0\" \"$@\""]).arg(std::env::current_exe().expect("this program"));
    program.args(["fetch::tests::limits::the_process_whose_files_do_not_grow", "--exact", "--quiet"]);
    program.env(FOLDER, dir.path()).env(SOURCE, format!("{}/m.gguf", host.url())).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = program.spawn().expect("a process");
    let begun = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if begun.elapsed() > SOON {
            child.kill().expect("a kill");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((status.code(), status.signal()), (Some(0), None), "it goes on for ever, or says something else");
    assert_eq!(host.asked().iter().filter(|asked| asked.method == "GET").count(), 1);
}
