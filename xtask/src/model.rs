//! The small model that is committed with the code: made by our own recipe, checked by its digest.
//!
//! In: the recipe, or the committed file. Out: `models/tiny.gguf` and `models/SHA256SUMS`.
//! Fails: when the file is not the one whose digest is stated.

use std::fs;

use anyhow::{Context as _, Result};

use crate::site::Site;
use crate::{digest, say, shell};

const FILE: &str = "tiny.gguf";
/// The recipe gives the same file for the same seed.
const SEED: &str = "1";

/// Trains the model anew, or only checks it.
pub(crate) fn run(site: &Site, only_check: bool) -> Result<()> {
    if only_check { check(site) } else { train(site) }
}

/// Refuses a model file that is not the committed one.
pub(crate) fn check(site: &Site) -> Result<()> {
    let sums_file = site.root.join("models/SHA256SUMS");
    let sums =
        fs::read_to_string(&sums_file).with_context(|| format!("cannot read {}; `cargo xtask model` writes it", sums_file.display()))?;
    let wanted = digest::stated(&sums, FILE)
        .with_context(|| format!("{} has no line for {FILE}; `cargo xtask model` writes it", sums_file.display()))?;
    digest::check(&site.tiny_model(), &wanted)?;
    say::note(&format!("models/{FILE} is {wanted}"));
    Ok(())
}

fn train(site: &Site) -> Result<()> {
    say::step("training models/tiny.gguf (some minutes on one core)");
    let out = site.tiny_model();
    let mut recipe = site.cargo();
    recipe.args(["run", "-p", "recipe", "--", "train", "--seed", SEED, "--out"]).arg(&out);
    shell::run(&mut recipe)?;
    let sums = format!("{}  {FILE}\n", digest::of_file(&out)?);
    fs::write(site.root.join("models/SHA256SUMS"), &sums)?;
    say::result(sums.trim_end());
    Ok(())
}
