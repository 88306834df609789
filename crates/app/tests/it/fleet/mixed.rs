//! Real models of several kinds, each with its own answers, and a fake one: together in memory that holds one or two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::time::{Duration, SystemTime};

use app::serve::House;
use serde_json::json;
use testkit::{Quant, Shape, Sizes, random_model, script};

use super::depot::{Depot, model};
use crate::client::Client;
use crate::stage::{Stage, tiny};

/// Generated ones: architecture and type of the matrices.
const KINDS: [(&str, Quant); 2] = [("llama", Quant::F16), ("qwen3", Quant::Q8_0)];
/// As many tokens as make the cache of each larger than half of the memory.
const CONTEXT: usize = 6144;
const SIZES: Sizes = Sizes { vocab: 512, dim: 128, layers: 4, heads: 8, kv_heads: 8, ffn: 256 };
const HEAD: usize = 128;
/// The order in which they are asked: but for `tiny` each excludes the one before it.
const TURNS: [&str; 9] = ["llama", "tiny", "fake", "qwen3", "tiny", "llama", "fake", "tiny", "qwen3"];

/// One program that is the real engine, or the fake one for whoever is told what it shall do.
fn either(depot: &Depot, real: &Stage) -> String {
    let path = depot.stage.folder().join("either");
    let program = |stage: &Stage| stage.variables()["PENSTOCK_LLAMA_SERVER"].display().to_string();
    let lines = format!("[ -n \"$FAKE_ENGINE_DEVICES\" ] && exec '{}' \"$@\"\nexec '{}' \"$@\"", program(&depot.stage), program(real));
    script(&path, &lines).expect("a script");
    format!("engines:\n  llama-server:\n    path: {}\n", path.display())
}

/// Writes a model of random weights, and its entry of the config.
fn generated((arch, quant): (&str, Quant), depot: &Depot) -> String {
    let path = depot.stage.folder().join(format!("real-{arch}.gguf"));
    let shape = Shape { arch: arch.to_owned(), sizes: SIZES, head: Some(HEAD), context: CONTEXT, quant, ..Shape::small() };
    random_model(&shape, &path).expect("a model");
    // What has just been written is hashed at every look, since it may still change.
    let old = SystemTime::now() - Duration::from_hours(1);
    File::options().append(true).open(&path).and_then(|file| file.set_modified(old)).expect("its time");
    format!(
        "  - name: {arch}\n    model: file:{}\n    context: {CONTEXT}\n    parallel: 1\n    args: [--ubatch-size, \"64\"]\n",
        path.display()
    )
}

/// The same question to any of them; always the same words of the same model.
async fn said(client: &Client, name: &str) -> String {
    let ask = json!({"model": name, "prompt": "The capital of France is", "max_tokens": 6, "temperature": 0, "ignore_eos": true, "cache_prompt": false});
    let reply = client.post("/v1/completions", &ask).await;
    assert_eq!(reply.status, 200, "{name}: {}", reply.text);
    reply.json()["choices"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn loaded(house: &House) -> u64 {
    house.fleet().counters.loads
}

#[tokio::test(flavor = "multi_thread")]
async fn real_models_of_several_kinds_and_a_fake_one_take_turns_in_one_budget_and_each_says_its_own() {
    let Some(real) = Stage::with_engine() else { return };
    let depot = Depot::with_room_for(1);
    let mut config = depot.config(&[model("fake").does("TOKENS", 3)]);
    for kind in KINDS {
        config.push_str(&generated(kind, &depot));
    }
    let _ = write!(config, "  - name: tiny\n    model: file:{}\n    parallel: 1\n{}", tiny(), either(&depot, &real));
    let house = depot.stage.house(&config).await;
    let client = depot.stage.client(&house);
    let mut own = BTreeMap::new();
    for name in TURNS {
        let text = said(&client, name).await;
        assert_eq!(own.entry(name).or_insert_with(|| text.clone()), &text, "{name}");
        let used = house.fleet().used;
        assert!(used <= depot.room, "{used} of {} are given away", depot.room);
    }
    assert!(own["tiny"].contains("Paris"), "{own:?}");
    let others: BTreeSet<&String> = own.values().collect();
    assert_eq!(others.len(), own.len(), "each has words of its own: {own:?}");
    let evictions = house.fleet().counters.evictions;
    assert!(evictions >= 6, "{evictions} had to leave");
    // All at once: whoever has to wait is served by the model that was asked for.
    let before = loaded(&house);
    let asked = &client;
    let all = TURNS.map(|name| async move { (name, said(asked, name).await) });
    for (name, text) in futures_util::future::join_all(all).await {
        assert_eq!(own[name], text, "{name}");
    }
    assert!(loaded(&house) > before, "all of them were there at once");
    let counters = house.fleet().counters;
    assert_eq!((counters.failures, depot.book().refused.len()), (0, 0), "{:?}", depot.book().refused);
    depot.close(house).await;
}
