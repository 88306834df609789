//! What was measured stands in place of the estimate, for instances of the same kind only.

use std::sync::Arc;

use base::ByteSize;
use spec::{DeviceKind, EngineKind, Grant, Phase, Revision, Share};
use store::FootprintKey;

use super::values::{item, revision};
use crate::footprints::{Footprints, recall};
use crate::world::Item;

fn served(change: impl FnOnce(&mut Revision)) -> Item {
    let mut frozen = Revision::clone(&revision("a", 1));
    frozen.version = Some(version());
    change(&mut frozen);
    Item { revision: Arc::new(frozen), ..item("i", "a", Phase::Pending) }
}

fn version() -> spec::Version {
    serde_json::from_value(serde_json::json!({"digest": "sha256:aa", "path": "/m", "size": 1, "format": "gguf", "architecture": "llama",
        "quantisation": "F16", "title": null, "parameters": 1, "context_length": 1, "layers": 1, "weights": 1, "kv_bytes_per_token": 1,
        "embedding_length": 1, "vocabulary": 1, "has_template": false}))
    .unwrap()
}

#[test]
fn what_was_measured_is_taken_for_the_same_model_build_and_arguments_only() {
    let frozen = served(|_| {}).revision;
    let key = FootprintKey {
        digest: "sha256:aa".into(),
        build: "b2".into(),
        arguments: engine::arguments(&version(), &frozen.spec),
        device: "ram".into(),
    };
    let mut footprints = Footprints::of(vec![(key, ByteSize(7700))]);
    let given = |footprints: &Footprints, change: fn(&mut Revision)| {
        let mut item = served(change);
        recall(footprints, &mut item);
        (item.memory, item.measured)
    };
    let estimate = (ByteSize(40), false);
    let measured = (ByteSize(7777), true); // and the one percent that is not worth writing down
    assert_eq!(given(&footprints, |_| {}), estimate, "it is not known which build it will be");
    footprints.next_build(EngineKind::Echo, "b1".into());
    assert_eq!(given(&footprints, |_| {}), estimate);
    footprints.next_build(EngineKind::Echo, "b2".into());
    assert_eq!(given(&footprints, |_| {}), measured);
    assert_eq!(given(&footprints, |r| r.number = 9), measured, "another revision that asks for the same");
    assert_eq!(given(&footprints, |r| r.spec.context = Some(512)), estimate);
    assert_eq!(given(&footprints, |r| r.spec.args = vec!["--mlock".into()]), estimate);
    assert_eq!(given(&footprints, |r| r.version.as_mut().unwrap().digest = "sha256:bb".into()), estimate);
    assert_eq!(given(&footprints, |r| r.version = None), estimate);
}

#[test]
fn what_an_engine_has_beyond_what_was_kept_for_it_is_kept_from_then_on() {
    let share = |kind, layers| Share { device: "d".into(), kind, bytes: ByteSize(40), layers, engine_name: None };
    let grown = |shares: Vec<Share>| {
        let mut item = item("i", "a", Phase::Ready);
        item.take(Grant { node: "here".into(), shares });
        for resident in [50, 45] {
            item.grow(ByteSize(resident));
        }
        (item.peak, item.memory, item.grant.total())
    };
    assert_eq!(grown(vec![]), (ByteSize(50), ByteSize(50), ByteSize(0)));
    assert_eq!(grown(vec![share(DeviceKind::Ram, 0)]), (ByteSize(50), ByteSize(50), ByteSize(50)));
    let card = vec![share(DeviceKind::Cuda, 9), share(DeviceKind::Ram, 0)];
    assert_eq!(grown(card), (ByteSize(50), ByteSize(80), ByteSize(80)), "on cards its process has other memory");
}
