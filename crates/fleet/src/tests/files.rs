//! Files that others keep may become others at any time: what is served is what was registered, or nothing.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base::ByteSize;
use registry::{Bringing, Registry};
use spec::{EngineKind, Phase, ReasonCode, RolloutPhase, Source};
use tempfile::TempDir;
use testkit::{FakeRuntime, Shape, random_model, script};

use super::room::{Room, name, named, phase};
use crate::pipeline::Done;

/// All that an engine must know.
const WORDS: &str = "echo 'version: 1'; echo '--model --alias --host --ctx-size --parallel --threads'";
const MEMORY: ByteSize = ByteSize::mib(8 << 10);

/// Puts a model in the place of the one that is there; settled long ago, so that its digest is remembered.
fn put(folder: &Path, seed: u64) {
    let new = folder.join("new.gguf");
    random_model(&Shape { seed, ..Shape::small() }, &new).unwrap();
    let old = SystemTime::now() - Duration::from_mins(1);
    File::options().append(true).open(&new).and_then(|file| file.set_modified(old)).unwrap();
    std::fs::rename(new, folder.join("m.gguf")).unwrap();
}

/// A room whose model `r` is that file, with its digest.
async fn room() -> (Room, String) {
    let dir = TempDir::new().unwrap();
    script(&dir.path().join("llama-server"), WORDS).unwrap();
    put(dir.path(), 1);
    let room = Room::within(None, FakeRuntime::new(MEMORY), dir).await.unwrap();
    let config = registry::Config { base_dir: room.dir.path().to_owned(), ..registry::Config::default() };
    let registry = Registry::new(room.store.clone(), config);
    let model = registry.register(&named("r"), &Source::File("m.gguf".into()), &Bringing::by("a test")).await.unwrap();
    (room, model.versions[0].version.digest.clone())
}

impl Room {
    async fn serve(&self, source: &str) {
        let source = Source::parse(source).unwrap();
        self.deploy(|d| {
            (d.engine, d.model, d.context) = (Some(EngineKind::LlamaServer), Some(source), Some(64));
            (d.parallel, d.replicas.max) = (Some(1), 2);
        })
        .await;
        drop(self.lease().await.unwrap());
    }
    async fn unload(&self) {
        self.fleet.unload(&name()).await.unwrap();
        self.until(|seen| seen.instances.is_empty()).await;
    }
}

#[tokio::test]
async fn by_a_digest_another_content_is_never_served() {
    let (room, digest) = room().await;
    room.serve(&format!("r@{digest}")).await;
    room.unload().await;
    put(room.dir.path(), 2);
    let error = room.lease().await.unwrap_err();
    let board::Error::Down { reason, .. } = error else { panic!("{error}") };
    assert!(reason.code == ReasonCode::ModelMissing && reason.message.contains("has changed"), "{reason:?}");
    assert!(reason.remedy.contains("bring the old file back"), "{reason:?}");
    room.until(|seen| seen.instances.is_empty()).await;
    assert_eq!(room.runtime.launches().len(), 1, "no engine saw it");
    put(room.dir.path(), 1);
    room.fleet.load(&name()).await.unwrap();
    let seen = room.until(|seen| phase(seen) == Some(Phase::Ready)).await;
    assert_eq!((seen.instances[0].revision, room.runtime.launches().len()), (1, 2));
}

#[tokio::test]
async fn what_runs_goes_on_and_another_content_neither_comes_beside_it_nor_after_its_crash() {
    let (room, digest) = room().await;
    room.serve(&format!("r@{digest}")).await;
    let held = room.lease().await.unwrap();
    let first = held.member.id.clone();
    put(room.dir.path(), 2);
    let freed = async {
        let is_gone = |done: &Done| matches!(done, Done::Impossible(reason) if reason.code == ReasonCode::ModelMissing);
        room.until(|seen| seen.deployments[&name()].steps.iter().any(|step| is_gone(&step.done))).await;
        drop(held);
    };
    let (lease, ()) = tokio::join!(room.lease(), freed);
    assert_eq!(lease.unwrap().member.id, first);
    room.runtime.crash(&first);
    room.until(|seen| phase(seen) == Some(Phase::Failed)).await;
    let error = room.lease().await.unwrap_err();
    assert!(matches!(&error, board::Error::Down { reason, .. } if reason.code == ReasonCode::ModelMissing), "{error}");
    assert_eq!(room.runtime.launches().len(), 1);
}

#[tokio::test]
async fn what_follows_its_file_goes_on_with_the_new_one_as_its_next_revision() {
    for by_name in [true, false] {
        let (room, digest) = room().await;
        let source = if by_name { "r".to_owned() } else { format!("file:{}", room.dir.path().join("m.gguf").display()) };
        room.serve(&source).await;
        room.until(|seen| seen.deployments[&name()].rollout.phase == RolloutPhase::Complete).await;
        room.unload().await;
        put(room.dir.path(), 2);
        assert_eq!(room.lease().await.unwrap().member.revision, 2, "{source}");
        let table = room.board.table();
        let version = table.deployments[&name()].version.as_ref().unwrap();
        assert_ne!(version.digest, digest, "{source}");
        assert_eq!(room.runtime.launches().len(), 2, "no engine was started for the old one: {source}");
    }
}
