//! What does a token take of memory?
//!
//! A test binary of its own: what is measured is what the process holds.
#![expect(clippy::expect_used, reason = "a test fails by panicking, and says what it found")]

use access::{Access, Mode};
use base::Timestamp;
use spec::{Limits, Rights, Scope, Token, TokenId};
use store::Store;

const TOKENS: usize = 25_000;
const MOST_BYTES: usize = 300;
const DOORS: usize = 4;

fn token(number: usize) -> Token {
    Token {
        id: TokenId::new(format!("{number:016x}")),
        name: format!("a program of team {:03}", number % 1_000),
        prefix: "psk_abcd".to_owned(),
        // Spread as SHA-256 is.
        hash: format!("{:032x}{:032x}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), number),
        owner: None,
        project: Some(format!("team-{:03}", number % 1_000)),
        scopes: vec![Scope::Inference],
        role: None,
        rights: Rights::NONE,
        models: Some(vec!["tiny".to_owned(), format!("model-{}", number % 100)]),
        limits: Limits { requests_per_minute: Some(60), ..Limits::default() },
        budget: spec::Budget { tokens_per_day: Some(1_000_000), ..spec::Budget::default() },
        expires_at: Some(Timestamp::from_millis(9_000_000_000_000)),
        created_at: Timestamp::from_millis(i64::try_from(number).expect("small")),
        from_login: false,
        last_used_at: None,
    }
}

/// What this process holds now, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

#[tokio::test]
async fn a_token_that_is_not_in_use_takes_at_most_three_hundred_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    for some in (0..TOKENS).collect::<Vec<_>>().chunks(10_000) {
        store.put_tokens(&some.iter().map(|number| token(*number)).collect::<Vec<_>>()).await.expect("tokens");
    }
    // A connection to the database has its own memory after its first reading; which one a door reads by is chance, so the least of some counts.
    let (mut doors, mut each) = (Vec::new(), usize::MAX);
    for _ in 0..DOORS {
        let before = resident();
        doors.push(Access::open(store.clone(), Mode::Tokens).await.expect("another door, with as much behind it"));
        each = each.min(resident().saturating_sub(before) / TOKENS);
    }
    assert!(doors.iter().all(|door| door.tokens() == TOKENS));
    println!("{each} bytes for each token");
    assert!((100..=MOST_BYTES).contains(&each), "{each} bytes for each token");
}
