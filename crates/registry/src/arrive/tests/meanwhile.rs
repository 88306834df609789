//! What happens while a version comes: it is cut off, its model changes hands or is spoken of anew, a sweep goes by, the power goes.

use std::time::Instant;

use serde_json::json;
use spec::{Allotment, Budget, Limits, Operation, OperationState, Project, ReasonCode};
use testkit::{FileHost, HostedFile};

use super::*;
use crate::{Asker, Pull, Upload};

const DEADLINE: Duration = Duration::from_mins(2);

/// Waits for what is bound to come.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_upload_that_was_cut_off_behind_its_last_byte_is_finished_by_who_asks_next() {
    let house = house(None).await;
    let registry = &house.registry;
    for (begins, text) in [(true, "one"), (false, "two")] {
        let (digest, length) = (Digest::of(text.as_bytes()), text.len() as u64);
        registry.begin_upload(&sender(), &digest, length).await.expect("begun");
        let mut receiving = registry.receive(&sender(), &digest, 0).await.expect("open");
        receiving.append(Bytes::from_static(text.as_bytes())).await.expect("taken");
        drop(receiving); // its caller has gone, and nobody says that this was all
        let asked = until("all of it is written", async || {
            let asked =
                if begins { registry.begin_upload(&sender(), &digest, length).await } else { registry.upload(&sender(), &digest).await };
            asked.ok().filter(|upload| upload.offset == length)
        })
        .await;
        assert_eq!(asked, Upload { digest: digest.clone(), offset: length, length });
        let blob = registry.blobs().expect("blobs").local(&digest).await.expect("it is what was said of it");
        assert_eq!(fs::read(blob.path).expect("bytes"), text.as_bytes());
    }
}

#[tokio::test]
async fn an_upload_that_somebody_is_about_to_finish_is_told_to_be_busy() {
    // So many are noted as they come.
    const NOTED: usize = 4 << 20;
    let house = house(None).await;
    let bytes = vec![7; NOTED];
    let digest = Digest::of(&bytes);
    house.registry.begin_upload(&sender(), &digest, NOTED as u64).await.expect("begun");
    let mut receiving = house.registry.receive(&sender(), &digest, 0).await.expect("open");
    receiving.append(bytes.into()).await.expect("taken");
    let asked = until("all of it is noted", async || {
        let asked = house.registry.upload(&sender(), &digest).await;
        (!matches!(&asked, Ok(upload) if upload.offset < upload.length)).then_some(asked)
    })
    .await;
    assert!(matches!(asked, Err(Error::Blobs(blobs::Error::Busy(_)))), "{asked:?}");
    receiving.end().await.expect("whole");
    assert_eq!(house.registry.upload(&sender(), &digest).await.expect("whole").offset, NOTED as u64);
}

/// Says that the version comes to a model of project `a`, or to a new one.
fn for_a() -> Bringing {
    let allowed = Allowed { new: true, projects: vec![Some(of("a"))], mixed: false };
    Bringing { patch: Some(json!({"project": "a"})), allowed: Some(allowed), ..Bringing::by("somebody of a") }
}

async fn two_projects(house: &House) {
    for name in ["a", "b"] {
        let now = Timestamp::now();
        let (limits, budget, quota) = (Limits::default(), Budget::default(), Allotment::default());
        let project = Project { name: of(name), description: None, limits, budget, quota, created_at: now, updated_at: now };
        house.registry.inner.store.put_project(&project).await.expect("a project");
    }
}

#[tokio::test]
async fn a_version_comes_only_to_a_model_of_those_that_it_was_allowed_for() {
    let house = house(None).await;
    two_projects(&house).await;
    house.write("one.gguf", &gguf("one"));
    house.write("two.gguf", &gguf("two"));
    let theirs = Bringing { patch: Some(json!({"project": "b"})), ..Bringing::by("somebody of b") };
    let before = house.register("m", "one.gguf", theirs).await.expect("a model");
    for bringing in [for_a(), Bringing { allowed: Some(Allowed { new: true, projects: vec![None], mixed: false }), ..for_a() }] {
        let late = house.register("m", "two.gguf", bringing).await;
        assert!(matches!(&late, Err(Error::Taken(name)) if *name == of("m")), "{late:?}");
    }
    assert_eq!(house.registry.get(&of("m")).await.expect("a model"), before);
    let own = house.register("n", "one.gguf", for_a()).await.expect("a new one");
    assert_eq!(own.card.project, Some(of("a")));
    assert_eq!(house.register("n", "two.gguf", for_a()).await.expect("their own").versions.len(), 2);
    let gone = Bringing { allowed: Some(Allowed { new: false, ..for_a().allowed.expect("said") }), ..for_a() };
    assert!(matches!(house.register("gone", "one.gguf", gone).await, Err(Error::Taken(_))), "it was removed meanwhile");
}

/// A file that takes its time.
async fn host() -> FileHost {
    let host = FileHost::open().await.expect("a host");
    let mut bytes = gguf("from afar");
    bytes.resize(1 << 20, 0);
    host.put("/m.gguf", HostedFile { rate: Some(96 << 10), ..HostedFile::of(bytes) });
    host
}

fn asker() -> Asker {
    Asker { who: "ann".to_owned(), sees: None }
}

/// Pulls it, does this while it comes, and tells how it ended.
async fn pulled(house: &House, (host, name, bringing): (&FileHost, &str, Bringing), meanwhile: impl AsyncFnOnce()) -> Operation {
    let source = Source::parse(&format!("{}/m.gguf", host.url())).expect("a source");
    let (tell, told) = tokio::sync::oneshot::channel();
    let pull = Pull { name: of(name), source, project: None, bringing, by: asker() };
    house.registry.begin_pull(pull, Box::new(|operation, _| drop(tell.send(operation)))).await.expect("begun");
    until("bytes come", async || (host.sent("/m.gguf") > 0).then_some(())).await;
    meanwhile().await;
    host.change("/m.gguf", |file| file.rate = None); // the rest comes at once
    told.await.expect("an end")
}

#[tokio::test]
async fn a_pull_whose_name_somebody_else_has_taken_leaves_them_alone() {
    let (house, host) = (house(None).await, host().await);
    two_projects(&house).await;
    house.write("theirs.gguf", &gguf("theirs"));
    let theirs = Bringing { patch: Some(json!({"project": "b"})), ..Bringing::by("somebody of b") };
    let taken = async || drop(house.register("m", "theirs.gguf", theirs).await.expect("a model"));
    let ended = pulled(&house, (&host, "m", for_a()), taken).await;
    assert_eq!((ended.state, ended.reason.map(|reason| reason.code)), (OperationState::Failed, Some(ReasonCode::Superseded)));
    let model = house.registry.get(&of("m")).await.expect("theirs");
    assert_eq!((model.card.project, model.versions.len(), model.versions[0].added_by.as_str()), (Some(of("b")), 1, "somebody of b"));
}

#[tokio::test]
async fn what_is_said_of_a_model_while_a_version_comes_is_not_undone() {
    let (house, host) = (house(None).await, host().await);
    house.write("m.gguf", &gguf("before"));
    house.register("m", "m.gguf", Bringing { patch: Some(json!({"description": "first"})), ..by(Take::Copy) }).await.expect("a model");
    let said = async || {
        let model = house.registry.get(&of("m")).await.expect("a model");
        let card = Card { description: "second".to_owned(), ..model.card.clone() };
        house.registry.put(&edits::with_card(&model, card).expect("a card"), &[]).await.expect("stored");
    };
    let bringing = Bringing { patch: Some(json!({"licence": "mit"})), ..Bringing::by("a test") };
    assert_eq!(pulled(&house, (&host, "m", bringing), said).await.state, OperationState::Succeeded);
    let model = house.registry.get(&of("m")).await.expect("a model");
    assert_eq!((model.card.description.as_str(), model.card.licence.as_str(), model.versions.len()), ("second", "mit", 2));
}

#[tokio::test]
async fn a_sweep_that_goes_by_takes_nothing_that_is_about_to_be_named_and_what_it_took_is_not_named() {
    let house = house(None).await;
    let (registry, blobs) = (&house.registry, house.registry.blobs().expect("blobs"));
    let digest = house.send(&gguf("sent")).await;
    let version = registry.of_blobs(&[("m.gguf".to_owned(), digest.clone())], None).await.expect("a version");
    let all = || blobs::Sweep { grace: Some(Duration::ZERO), ..blobs::Sweep::default() };
    let (name, bringing) = (of("m"), Bringing::by("a test"));

    let sweeping = registry.inner.one_writer.acquire().await.expect("a turn");
    let mut noting = std::pin::pin!(registry.note(&name, &Source::Upload, version.clone(), &bringing));
    assert!(futures_util::poll!(noting.as_mut()).is_pending(), "it waits for the sweep");
    assert_eq!(blobs.collect(all()).await.expect("swept").blobs, []);
    drop(sweeping);
    noting.await.expect("a model");
    assert!(registry.resolve(&Source::parse("m").expect("a source")).await.is_ok());

    assert_eq!(blobs.collect(all()).await.expect("swept").blobs.len(), 1, "nobody told this sweep that it is named");
    let late = registry.note(&of("late"), &Source::Upload, version, &bringing).await;
    assert!(matches!(&late, Err(Error::Blobs(blobs::Error::NoBlob(gone))) if *gone == digest), "{late:?}");
    assert!(matches!(registry.get(&of("late")).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_file_that_changed_does_not_undo_what_somebody_registered_meanwhile() {
    let house = house(None).await;
    house.write("m.gguf", &gguf("one"));
    house.write("other.gguf", &gguf("another model"));
    let read = house.register("m", "m.gguf", by(Take::Reference)).await.expect("a model");
    house.write("m.gguf", &gguf("two, which is another"));
    let theirs = house.register("m", "other.gguf", by(Take::Reference)).await.expect("a model");
    assert_eq!(house.registry.newest(&read, &Progress::new()).await.expect("looked at"), None);
    assert_eq!(house.registry.get(&of("m")).await.expect("a model"), theirs);
    assert_eq!(house.resolve("m").await.expect("a version").digest, theirs.tags[LATEST]);
}

#[tokio::test]
async fn moved_files_go_only_when_the_database_has_their_model_for_good() {
    let house = house(None).await;
    let path = house.write("m.gguf", &gguf("moved"));
    house.register("m", "m.gguf", by(Take::Move)).await.expect("a model");
    assert!(!path.exists());
    // All that a loss of power leaves for sure: the database without what is in its log alone.
    let left = house.dir.path().join("left/penstock.db");
    fs::create_dir(left.parent().expect("a parent")).expect("a folder");
    fs::copy(house.dir.path().join("data/penstock.db"), &left).expect("a copy");
    let store = Store::open(left).await.expect("a store");
    assert!(store.get_model(&of("m")).await.expect("read").is_some(), "its file is gone, and nobody knows its blob");
}
