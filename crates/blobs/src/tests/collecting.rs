//! What goes, and what never does.

use super::*;

fn now(keep: &[&Digest]) -> Sweep {
    Sweep { keep: keep.iter().map(|digest| (*digest).clone()).collect(), grace: Some(Duration::ZERO), ..Sweep::default() }
}

#[tokio::test]
async fn only_what_nobody_needs_is_taken() {
    let (_dir, blobs) = stage().await;
    let kept = put(&blobs, &sample(10)).await;
    let held = put(&blobs, &sample(20)).await;
    let lost = put(&blobs, &sample(30)).await;
    let hold = blobs.hold(&held);
    assert_eq!(blobs.collect(Sweep::default()).await.unwrap().blobs, [], "all are younger than the grace");

    let told = blobs.collect(Sweep { dry_run: true, ..now(&[&kept]) }).await.unwrap();
    assert_eq!((told.blobs.clone(), told.freed, told.kept), (vec![(lost.clone(), ByteSize(30))], ByteSize(30), 2));
    assert_eq!(blobs.list().await.unwrap().len(), 3, "a dry run takes nothing");
    assert_eq!(blobs.collect(now(&[&kept])).await.unwrap(), told);
    assert!(matches!(blobs.local(&lost).await, Err(Error::NoBlob(_))));
    drop(hold);
    assert_eq!(blobs.collect(now(&[&kept])).await.unwrap().blobs, [(held, ByteSize(20))]);
    assert_eq!(blobs.list().await.unwrap(), [(kept, ByteSize(10))]);
}

#[tokio::test]
async fn a_folder_goes_with_its_blobs_and_holds_them_while_it_is_used() {
    let (dir, blobs) = stage().await;
    let one = put(&blobs, &sample(10)).await;
    let folder = blobs.links(&[("a.gguf".to_owned(), one.clone())]).await.unwrap();
    assert_eq!(blobs.collect(now(&[])).await.unwrap().blobs, []);
    assert!(folder.path.join("a.gguf").exists());
    drop(folder);
    assert_eq!(blobs.collect(now(&[])).await.unwrap().blobs.len(), 1);
    assert_eq!(fs::read_dir(dir.path().join("blobs/links")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_used_after_a_sweep_had_listed_it_stays() {
    let (_dir, blobs) = stage().await;
    let (used, idle) = (put(&blobs, &sample(10)).await, put(&blobs, &sample(20)).await);
    let before = std::time::SystemTime::now() - Duration::from_hours(1);
    for digest in [&used, &idle] {
        fs::File::open(blobs.layout().blob(digest)).unwrap().set_modified(before).unwrap();
    }
    let listed = blobs.layout().each_blob().unwrap();
    drop(blobs.local(&used).await.unwrap());
    let sweep = Sweep { grace: Some(Duration::from_mins(1)), ..Sweep::default() };
    assert_eq!(blobs.sweep_blobs(&sweep, listed).unwrap().blobs, [(idle, ByteSize(20))]);
    assert!(blobs.layout().blob(&used).exists());
}

#[tokio::test]
async fn a_folder_that_was_made_while_its_blob_went_goes_unless_somebody_brings_the_blob_back() {
    let (dir, blobs) = stage().await;
    let digest = put(&blobs, &sample(10)).await;
    drop(blobs.links(&[("a.gguf".to_owned(), digest.clone())]).await.unwrap());
    fs::remove_file(blobs.layout().blob(&digest)).unwrap();
    let left = || fs::read_dir(dir.path().join("blobs/links")).unwrap().count();
    let hold = blobs.hold(&digest);
    blobs.collect(now(&[])).await.unwrap();
    assert_eq!(left(), 2, "the folder and its list");
    drop(hold);
    blobs.collect(now(&[])).await.unwrap();
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn a_part_that_is_being_written_stays_and_a_forgotten_one_goes() {
    let (dir, blobs) = stage().await;
    let id = PartId::random();
    let mut part = blobs.begin(begin(&id, 100)).await.unwrap();
    part.append(0, sample(50)).await.unwrap();
    part.flush().await.unwrap();
    assert_eq!(blobs.collect(now(&[])).await.unwrap().parts, []);
    part.append(50, sample(10)).await.unwrap();
    part.flush().await.unwrap();
    drop(part);
    assert_eq!(blobs.collect(now(&[])).await.unwrap().parts, [(id, ByteSize(60))]);
    assert_eq!(fs::read_dir(dir.path().join("blobs/parts")).unwrap().count(), 0);
    fs::write(dir.path().join("blobs/parts").join(PartId::random().as_str()), "left by a crash").unwrap();
    blobs.collect(now(&[])).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs/parts")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_a_blob_while_it_is_swept_has_it_or_is_told_that_it_is_gone() {
    let (_dir, blobs) = stage().await;
    for round in 0..50 {
        let digest = put(&blobs, &sample(100 + round)).await;
        let (sweep, got) = tokio::join!(blobs.collect(now(&[])), blobs.local(&digest));
        sweep.unwrap();
        match got {
            Ok(blob) => assert!(blob.path.exists(), "held, so it is there"),
            Err(error) => assert!(matches!(error, Error::NoBlob(_)), "{error}"),
        }
    }
}
