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

#[tokio::test]
async fn a_part_that_somebody_went_on_with_after_a_sweep_had_listed_it_stays() {
    let (_dir, blobs) = stage().await;
    let (busy, idle, ended) = (PartId::of("busy"), PartId::of("idle"), PartId::of("ended"));
    for id in [&busy, &idle, &ended] {
        let mut part = blobs.begin(begin(id, 100)).await.unwrap();
        part.append(0, sample(50)).await.unwrap();
        part.flush().await.unwrap();
    }
    let long_ago = base::Timestamp::from_millis(0);
    let listed: Vec<_> = blobs.each_part().unwrap().into_iter().map(|part| crate::PartState { touched_at: long_ago, ..part }).collect();
    assert_eq!(listed.len(), 3);
    // All three were touched just now but one, whose state says so as well.
    let note = blobs.layout().part(&idle).with_extension("json");
    let text = fs::read_to_string(&note).unwrap();
    let at = text.find("\"touched_at\":").unwrap() + "\"touched_at\":".len();
    let end = at + text[at..].find([',', '}']).unwrap();
    fs::write(&note, format!("{}{}{}", &text[..at], serde_json::to_string(&long_ago).unwrap(), &text[end..])).unwrap();
    let mut part = blobs.resume(&ended).await.unwrap();
    part.append(50, sample(50)).await.unwrap();
    part.finish(None).await.unwrap();
    let mut done = crate::Collected::default();
    blobs.sweep_parts((false, Duration::from_mins(1)), listed, &mut done).unwrap();
    assert_eq!(done.parts, [(idle, ByteSize(50))]);
    assert_eq!(blobs.resume(&busy).await.unwrap().offset(), 50);
}

#[tokio::test]
async fn what_was_begun_and_not_gone_on_with_is_given_up_by_itself_and_no_blob_with_it() {
    let (dir, blobs) = stage().await;
    let whole = put(&blobs, &sample(10)).await;
    let (left, open) = (PartId::of("left"), PartId::of("open"));
    let mut part = blobs.begin(begin(&left, 100)).await.unwrap();
    part.append(0, sample(50)).await.unwrap();
    part.flush().await.unwrap();
    drop(part);
    let still = blobs.begin(begin(&open, 100)).await.unwrap();
    assert_eq!(blobs.give_up(Duration::from_hours(1)).await.unwrap(), [], "it was touched just now");
    assert_eq!(blobs.give_up(Duration::ZERO).await.unwrap(), [(left, ByteSize(50))]);
    drop(still);
    assert_eq!(blobs.parts().await.unwrap().len(), 1, "the open one");
    assert_eq!(blobs.list().await.unwrap(), [(whole, ByteSize(10))]);
    assert!(fs::read_dir(dir.path().join("blobs/parts")).unwrap().count() == 2, "the open one and its state");
}

#[tokio::test]
async fn who_begins_many_files_leaves_room_for_others() {
    let (_dir, blobs) = stage().await;
    let of = |who: &str, text: &str| Begin { by: who.to_owned(), ..begin(&PartId::of(text), 10) };
    for number in 0..crate::blobs::MOST_OF_ONE {
        drop(blobs.begin(of("ann", &number.to_string())).await.unwrap());
    }
    let refused = blobs.begin(of("ann", "one more")).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyOfYours(most) if most == crate::blobs::MOST_OF_ONE), "{refused}");
    drop(blobs.begin(of("ann", "0")).await.expect("one of her own goes on"));
    drop(blobs.begin(of("bob", "his")).await.expect("there is room for others"));
    drop(blobs.begin(of("", "a deployment's")).await.expect("and for the house"));
    blobs.abort(&PartId::of("7")).await.unwrap();
    drop(blobs.begin(of("ann", "one more")).await.expect("there is room again"));
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
