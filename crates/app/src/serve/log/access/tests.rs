//! Lines reach their file, a full buffer loses some and says so, a moved file is let go.

use super::*;

async fn until(mut condition: impl FnMut() -> bool) {
    let come_true = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), come_true).await.expect("it did not come true");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn lines_reach_the_file_by_themselves_and_at_the_end_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.log");
    std::fs::write(&path, "before\n").expect("a file");
    let log = AccessLog::open(&Setting::File(path.clone())).expect("a log").expect("one");
    log.buffer().put(b"one\n");
    log.buffer().put(b"two\n");
    until(|| read(&path) == "before\none\ntwo\n").await;
    log.buffer().put(b"last\n");
    let buffer = log.buffer();
    log.end().await;
    assert_eq!(read(&path), "before\none\ntwo\nlast\n");
    assert_eq!(buffer.counts(), (3, 0));
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_let_go_when_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let log = AccessLog::open(&Setting::File(path.clone())).expect("a log").expect("one");
    log.buffer().put(b"one\n");
    until(|| read(&path) == "one\n").await;
    std::fs::rename(&path, &moved).expect("a rename");
    log.reopen();
    until(|| path.exists()).await;
    log.buffer().put(b"two\n");
    log.end().await;
    assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("one\n", "two\n"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_finds_the_buffer_full_is_lost_and_counted_and_nobody_waits() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("access.log");
    let log = AccessLog::open(&Setting::File(path.clone())).expect("a log").expect("one");
    let (buffer, line) = (log.buffer(), [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<u8>>());
    let put = MOST_BYTES / line.len() + 10; // in one go: the writer has no turn in between
    for _ in 0..put {
        buffer.put(&line);
    }
    log.end().await;
    assert_eq!(buffer.counts(), ((put - 10) as u64, 10));
    assert_eq!(read(&path).len(), MOST_BYTES);
}

#[tokio::test]
async fn a_file_that_takes_nothing_loses_lines_and_the_log_goes_on() {
    let log = AccessLog::open(&Setting::File("/dev/full".into())).expect("a log").expect("one");
    let buffer = log.buffer();
    buffer.put(b"one\n");
    until(|| buffer.counts() == (0, 1)).await;
    buffer.put(b"two\n");
    log.end().await;
    assert_eq!(buffer.counts(), (0, 2));
}

#[tokio::test]
async fn a_place_that_cannot_be_opened_is_refused_at_the_start() {
    let refused = AccessLog::open(&Setting::File("/nowhere/at/all.log".into())).expect_err("no log");
    assert!(refused.to_string().contains("/nowhere/at/all.log"), "{refused}");
    assert!(AccessLog::open(&Setting::Off).expect("nothing").is_none());
}
