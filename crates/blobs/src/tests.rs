//! What holds for blobs, whatever happens to those who write them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base::ByteSize;
use bytes::Bytes;
use tempfile::TempDir;

use crate::{Begin, Blobs, Config, Digest, Error, Import, PartId, Sweep};

mod collecting;
mod stores;
mod storing;

async fn stage() -> (TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).await;
    (dir, blobs)
}

async fn open(dir: &Path) -> Blobs {
    let config = Config { reserve: ByteSize(0), ..Config::at(dir.join("blobs")) };
    Blobs::open(config).await.unwrap()
}

fn sample(len: usize) -> Bytes {
    (0..len).map(|n| u8::try_from((n * 31 + n / 251) % 256).unwrap()).collect::<Vec<_>>().into()
}

fn begin(id: &PartId, total: usize) -> Begin {
    Begin { id: id.clone(), total: Some(total as u64), note: "v1".to_owned(), by: String::new() }
}

async fn put(blobs: &Blobs, bytes: &Bytes) -> Digest {
    let mut part = blobs.begin(begin(&PartId::random(), bytes.len())).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    part.finish(None).await.unwrap().digest
}

#[tokio::test]
async fn what_goes_in_comes_out_under_its_digest() {
    let (_dir, blobs) = stage().await;
    let bytes = sample(3_000_001);
    let wanted = Digest::of(&bytes);
    let mut part = blobs.begin(begin(&PartId::random(), bytes.len())).await.unwrap();
    for chunk in bytes.chunks(70_001) {
        part.append(part.offset(), Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let blob = part.finish(Some(&wanted)).await.unwrap();
    assert_eq!(blob.digest, wanted);
    assert_eq!(fs::read(&blob.path).unwrap(), bytes);
    assert!(blob.path.metadata().unwrap().permissions().readonly());
    assert_eq!(blobs.list().await.unwrap(), [(wanted, ByteSize(bytes.len() as u64))]);
    assert_eq!(blobs.parts().await.unwrap(), []);
}

#[tokio::test]
async fn a_writer_that_ends_in_the_middle_leaves_a_part_that_another_process_goes_on_with() {
    let (dir, blobs) = stage().await;
    let (bytes, id) = (sample(9_000_000), PartId::of("somewhere"));
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    part.append(0, bytes.slice(..5_000_000)).await.unwrap();
    assert_eq!(part.flush().await.unwrap().offset, 5_000_000);
    drop((part, blobs));

    let blobs = open(dir.path()).await;
    assert_eq!(blobs.list().await.unwrap(), []);
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    assert_eq!(part.offset(), 5_000_000);
    part.append(5_000_000, bytes.slice(5_000_000..)).await.unwrap();
    assert_eq!(part.finish(None).await.unwrap().digest, Digest::of(&bytes));
}

#[tokio::test]
async fn what_lies_behind_the_state_is_written_again_and_what_the_machine_lost_is_noticed() {
    let (dir, blobs) = stage().await;
    let (bytes, id) = (sample(6_000_000), PartId::of("somewhere"));
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    part.append(0, bytes.slice(..4_500_000)).await.unwrap();
    part.flush().await.unwrap();
    drop(part);
    let parts = dir.path().join("blobs/parts");
    let file = parts.join(id.as_str());
    // A torn tail is cut off.
    let mut torn = fs::read(&file).unwrap();
    torn.extend_from_slice(b"torn");
    fs::write(&file, &torn).unwrap();
    let part = blobs.resume(&id).await.unwrap();
    assert_eq!((part.offset(), file.metadata().unwrap().len()), (4_500_000, 4_500_000));
    drop(part);
    // The machine went down, and a page never reached the disk.
    let state = parts.join(format!("{id}.json"));
    let text = fs::read_to_string(&state).unwrap();
    let at = text.find("\"boot\"").unwrap();
    fs::write(&state, format!("{}\"boot\":\"another\"}}", &text[..at])).unwrap();
    assert_eq!(blobs.resume(&id).await.unwrap().offset(), 4_500_000);
    fs::write(&state, format!("{}\"boot\":\"another\"}}", &text[..at])).unwrap();
    torn.truncate(4_500_000);
    torn[1_000_000] ^= 1;
    fs::write(&file, &torn).unwrap();
    assert_eq!(blobs.resume(&id).await.unwrap().offset(), 0);
}

#[tokio::test]
async fn a_part_that_is_cut_off_before_it_has_its_name_can_be_written_by_who_goes_on() {
    let (dir, blobs) = stage().await;
    let (bytes, id) = (sample(5_000), PartId::of("somewhere"));
    let (file, shelf) =
        (dir.path().join("blobs/parts").join(id.as_str()), dir.path().join("blobs/sha256").join(&Digest::of(&bytes).hex()[..2]));
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    fs::write(&shelf, "in the way").unwrap();
    assert!(matches!(part.finish(None).await, Err(Error::Io { .. })), "it gets no name");
    fs::remove_file(&shelf).unwrap();
    // As it is left behind where the process is killed just before the rename. The mode says it for those who may not write all the same.
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    let part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    assert!(part.offset() == 5_000 && !file.metadata().unwrap().permissions().readonly());
    let blob = part.finish(None).await.unwrap();
    assert!(blob.path.metadata().unwrap().permissions().readonly());
    assert_eq!(fs::read(&blob.path).unwrap(), bytes);
}

#[tokio::test]
async fn what_is_not_what_was_promised_is_never_seen() {
    let (_dir, blobs) = stage().await;
    let (bytes, id) = (sample(1_000), PartId::of("x"));
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    let error = part.finish(Some(&Digest::of(b"another"))).await.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert_eq!(blobs.list().await.unwrap(), []);
    assert!(matches!(blobs.resume(&id).await, Err(Error::NoPart(_))));

    let mut part = blobs.begin(begin(&id, 2_000)).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    assert!(matches!(part.append(7, bytes.clone()).await, Err(Error::Offset { have: 1_000, sent: 7 })));
    assert!(matches!(part.append(1_000, sample(1_001)).await, Err(Error::Length { wanted: 2_000, found: 2_001 })));
    assert!(matches!(part.finish(None).await, Err(Error::Length { wanted: 2_000, found: 1_000 })));
    assert_eq!(blobs.part(&id).await.unwrap().offset, 1_000, "what was sent stays");
}

#[tokio::test]
async fn one_writes_and_the_others_are_told() {
    let (_dir, blobs) = stage().await;
    let id = PartId::random();
    let part = blobs.begin(begin(&id, 10)).await.unwrap();
    assert!(matches!(blobs.resume(&id).await, Err(Error::Busy(_))));
    assert!(matches!(blobs.abort(&id).await, Err(Error::Busy(_))));
    part.abort().await;
    assert!(matches!(blobs.resume(&id).await, Err(Error::NoPart(_))));
}

#[tokio::test]
async fn other_words_or_another_length_begin_anew() {
    let (_dir, blobs) = stage().await;
    let id = PartId::of("somewhere");
    for other in [begin(&id, 12), Begin { note: "v2".to_owned(), ..begin(&id, 10) }] {
        let mut part = blobs.begin(begin(&id, 10)).await.unwrap();
        part.append(part.offset(), sample(5)).await.unwrap();
        part.flush().await.unwrap();
        drop(part);
        let part = blobs.begin(other).await.unwrap();
        assert_eq!(part.offset(), 0);
        part.abort().await;
    }
}

#[tokio::test]
async fn a_disk_without_room_says_so_with_numbers_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(Config::at(dir.path())).await.unwrap();
    let error = blobs.begin(Begin { total: Some(1 << 60), ..begin(&PartId::random(), 0) }).await.unwrap_err();
    let Error::DiskFull { wanted, free, reserve, .. } = &error else { panic!("{error}") };
    assert_eq!(*wanted, ByteSize(1 << 60));
    assert!(free.0 > 0 && *reserve == ByteSize::mib(512), "{error}");
}

#[tokio::test]
async fn linked_files_have_their_published_names_and_no_name_leads_out() {
    let (_dir, blobs) = stage().await;
    let (one, two) = (put(&blobs, &sample(10)).await, put(&blobs, &sample(20)).await);
    let files = [("big-00001-of-00002.gguf".to_owned(), one), ("sub/big-00002-of-00002.gguf".to_owned(), two)];
    let folder = blobs.links(&files).await.unwrap();
    assert_eq!(fs::read(folder.path.join(&files[0].0)).unwrap(), sample(10));
    assert_eq!(fs::read(folder.path.join(&files[1].0)).unwrap(), sample(20));
    assert_eq!(blobs.links(&files).await.unwrap().path, folder.path, "the same ask, the same folder");
    fs::remove_file(folder.path.join(&files[0].0)).unwrap();
    assert_eq!(blobs.links(&files).await.unwrap().path, folder.path);
    assert_eq!(fs::read(folder.path.join(&files[0].0)).unwrap(), sample(10), "a broken folder is made again");
    for bad in ["../x", "/x", "", "a/../../x", "a\\b", "x/", "."] {
        let error = blobs.links(&[(bad.to_owned(), files[0].1.clone())]).await.unwrap_err();
        assert!(matches!(error, Error::BadName(_)), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_file_of_this_machine_is_taken_in_by_copy_or_by_move() {
    let (dir, blobs) = stage().await;
    let file = dir.path().join("mine.gguf");
    let bytes = sample(2_500_000);
    fs::write(&file, &bytes).unwrap();
    let told = std::sync::atomic::AtomicU64::new(0);
    let blob = blobs
        .import(&file, Import::Copy, |n| {
            told.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        })
        .await
        .unwrap();
    assert_eq!((blob.digest.clone(), told.into_inner()), (Digest::of(&bytes), 2_500_000));
    assert!(file.exists());
    assert_eq!(blobs.import(&file, Import::Move, |_| ()).await.unwrap().digest, blob.digest);
    assert!(!file.exists());
}

#[tokio::test]
async fn who_was_cut_off_before_they_heard_of_the_end_finds_it_and_sends_nothing_again() {
    let (dir, blobs) = stage().await;
    let (bytes, id) = (sample(5_000), PartId::of("somewhere"));
    let mut part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    part.append(0, bytes.clone()).await.unwrap();
    drop(part.finish(None).await.unwrap()); // and nobody wrote down what came of it
    assert!(matches!(blobs.resume(&id).await, Err(Error::NoPart(_))), "it is no unfinished file");
    assert_eq!(blobs.parts().await.unwrap(), []);
    let part = blobs.begin(begin(&id, bytes.len())).await.unwrap();
    assert_eq!(part.offset(), 5_000);
    assert_eq!(fs::read(part.finish(None).await.unwrap().path).unwrap(), bytes);
    // Where the blob has gone it begins anew, and a sweep takes the note away.
    blobs.collect(Sweep { grace: Some(Duration::ZERO), ..Sweep::default() }).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs/parts")).unwrap().count(), 0);
    assert_eq!(blobs.begin(begin(&id, bytes.len())).await.unwrap().offset(), 0);
}

#[tokio::test]
async fn what_has_come_is_kept_when_its_writer_is_dropped() {
    let (_dir, blobs) = stage().await;
    let id = PartId::of("somewhere");
    let mut part = blobs.begin(begin(&id, 3_000_000)).await.unwrap();
    part.append(0, sample(1_500_000)).await.unwrap();
    part.append(1_500_000, sample(500)).await.unwrap();
    drop(part);
    let part = blobs.resume(&id).await.unwrap();
    assert_eq!(part.offset(), 1_500_500);
}
