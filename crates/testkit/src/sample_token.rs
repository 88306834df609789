//! Tokens as teams have them, any number of them.
//!
//! In: a number. Out: always the same token, and its text. Fails: never. Its hash is that of its text, and so spread as hashes are.

use base::Timestamp;
use sha2::{Digest as _, Sha256};
use spec::{Budget, Limits, Rights, Scope, Token, TokenId};

/// So many projects share them.
const PROJECTS: usize = 1_000;

/// The text of the token with this number.
pub fn token_text(number: usize) -> String {
    format!("psk_{:043x}", number as u128 * 0x9e37_79b9_7f4a_7c15)
}

/// The token with this number: of a project, for two models, with a limit and a budget.
pub fn sample_token(number: usize) -> Token {
    let hash: [u8; 32] = Sha256::digest(token_text(number)).into();
    Token {
        id: TokenId::new(format!("{number:016x}")),
        name: format!("a program of team {:03}", number % PROJECTS),
        prefix: "psk_abcd".to_owned(),
        hash: hash.map(|byte| format!("{byte:02x}")).concat(),
        owner: None,
        project: Some(format!("team-{:03}", number % PROJECTS)),
        scopes: vec![Scope::Inference],
        role: None,
        rights: Rights::NONE,
        models: Some(vec!["tiny".to_owned(), format!("model-{}", number % 100)]),
        limits: Limits { requests_per_minute: Some(60), ..Limits::default() },
        budget: Budget { tokens_per_day: Some(1_000_000), ..Budget::default() },
        expires_at: Some(Timestamp::from_millis(9_000_000_000_000)),
        created_at: Timestamp::from_millis(i64::try_from(number).unwrap_or(i64::MAX)),
        from_login: false,
        exchanged: false,
        last_used_at: None,
    }
}
