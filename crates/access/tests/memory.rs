//! What does a token take of memory?
//!
//! A test binary of its own: what is measured is what the process holds.

use access::{Access, Mode};
use store::Store;
use testkit::{resident, sample_token};

const TOKENS: usize = 25_000;
const MOST_BYTES: usize = 300;

#[tokio::test]
async fn a_token_that_is_not_in_use_takes_at_most_three_hundred_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    for some in (0..TOKENS).collect::<Vec<_>>().chunks(10_000) {
        store.put_tokens(&some.iter().map(|number| sample_token(*number)).collect::<Vec<_>>()).await.expect("tokens");
    }
    // A connection to the database has its own memory after its first reading: all four read at once, and only then is anything counted.
    let open = || Access::open(store.clone(), Mode::Tokens);
    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());
    let first = [a, b, c, d].map(|door| door.expect("a door"));
    let before = resident().expect("its memory");
    let access = open().await.expect("another door, with as much behind it");
    let each = resident().expect("its memory").saturating_sub(before) / TOKENS;
    assert!(first.iter().chain([&access]).all(|door| door.tokens() == TOKENS));
    println!("{each} bytes for each token");
    assert!((100..=MOST_BYTES).contains(&each), "{each} bytes for each token");
}
