//! Training is the same every time, and it teaches.

use super::{Plan, train};
use crate::error::Error;
use crate::gguf::write_gguf;
use crate::net::Sizes;
use crate::quant::Quant;

fn short() -> Plan {
    Plan {
        sizes: Sizes { vocab: 300, dim: 16, layers: 1, heads: 2, kv_heads: 1, ffn: 24 },
        seed: 3,
        steps: 3,
        texts: 5,
        window: 40,
        peak: 4e-3,
        threads: 1,
    }
}

fn bytes(plan: &Plan) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let model = train(plan, &mut |_| {}).unwrap();
    write_gguf(&model.gguf("test", Quant::F16).unwrap(), &path).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let one = bytes(&short());
    assert_eq!(one, bytes(&Plan { threads: 4, ..short() }));
    assert_ne!(one, bytes(&Plan { seed: 4, ..short() }));
}

#[test]
fn the_loss_falls_and_every_step_is_reported() {
    let mut losses = Vec::new();
    train(&Plan { steps: 80, ..short() }, &mut |progress| losses.push(progress.loss)).unwrap();
    assert_eq!(losses.len(), 80);
    assert!(losses[79] < losses[0] - 0.5, "from {} to {}", losses[0], losses[79]);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let sizes = Sizes { kv_heads: 3, ..short().sizes };
    assert!(matches!(train(&Plan { sizes, ..short() }, &mut |_| {}), Err(Error::Shape(_))));
    assert!(matches!(train(&Plan { texts: 0, ..short() }, &mut |_| {}), Err(Error::Shape(_))));
}
