//! Models to files and back; and the one that stands beside this recipe.

use std::path::{Path, PathBuf};

use super::{Model, pad};
use crate::bpe::Bpe;
use crate::error::Error;
use crate::gguf::write_gguf;
use crate::layers::Rope;
use crate::net::{Net, Sizes};
use crate::pass::scores;
use crate::quant::Quant;
use crate::rng::Rng;
use crate::world::facts;

const SIZES: Sizes = Sizes { vocab: 300, dim: 32, layers: 2, heads: 4, kv_heads: 2, ffn: 64 };

fn untrained() -> Model {
    Model { net: Net::random(SIZES, &mut Rng::new(8)), bpe: Bpe::learn(&["so so so".to_owned()], SIZES.vocab) }
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tiny.gguf")
}

#[test]
fn a_model_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let model = untrained();
    write_gguf(&model.gguf("test", Quant::F32).unwrap(), &path).unwrap();
    let again = Model::load(&path).unwrap();
    assert_eq!(again.net.weights, model.net.weights);
    assert_eq!(again.bpe.spelled(), model.bpe.spelled());
}

#[test]
fn padding_makes_the_file_larger_and_changes_no_score() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (folder.path().join("small.gguf"), folder.path().join("large.gguf"));
    let size = write_gguf(&untrained().gguf("test", Quant::F32).unwrap(), &small).unwrap();
    let padded = pad(&small, &large, 1000, Quant::F32).unwrap();
    assert!(padded > 5 * size);
    let rope = Rope::new(SIZES.head(), 4);
    let tokens = [5, 250, 77, 8];
    let of = |path: &Path| scores(&Model::load(path).unwrap().net, &rope, &tokens);
    assert_eq!(of(&large), of(&small));
    assert!(matches!(pad(&large, &small, 64, Quant::F32), Err(Error::Shape(_))));
}

#[test]
fn a_file_that_lacks_a_tensor_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut file = untrained().gguf("test", Quant::F16).unwrap();
    file.tensors.pop();
    write_gguf(&file, &path).unwrap();
    assert!(matches!(Model::load(&path), Err(Error::Missing { .. })));
}

/// Every eleventh fact: some of each kind, in a few seconds; `recipe ask` asks them all.
#[test]
fn the_committed_model_knows_its_world() {
    const EVERY: usize = 11;
    let model = Model::load(&committed()).unwrap();
    for fact in facts().step_by(EVERY) {
        assert_eq!(model.answer(&fact.question), fact.answer);
    }
}
