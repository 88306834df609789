//! What a call costs: a price for each kind of token, and one for the call itself.
//!
//! In: an operator's `prices` (US dollars for a million tokens, as providers write them), the tokens of a
//! call. Out: [`Usd`], in whole billionths of a dollar. Pure; whole numbers from end to end, rounded
//! once for each call, half a billionth up.

use serde::{Deserialize, Serialize};

use crate::budget::Usd;

/// Tokens that a price is for.
const MILLION: u128 = 1_000_000;

/// The price table of a deployment; what is not said costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// For a million tokens in.
    pub input_per_million: Usd,
    /// For a million tokens in that the engine had cached; as any other token in when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input_per_million: Option<Usd>,
    /// For a million tokens out, reasoning included.
    pub output_per_million: Usd,
    /// For the call itself.
    pub per_request: Usd,
}

/// The tokens of one call, as they are charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// In, the cached ones included.
    pub input: u64,
    /// Of those, the cached ones.
    pub cached: u64,
    /// Out.
    pub output: u64,
}

impl Prices {
    /// Nothing costs anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What a call with these tokens costs.
    pub fn cost(&self, tokens: Tokens) -> Usd {
        if self.is_none() {
            return Usd(0);
        }
        let cached = tokens.cached.min(tokens.input);
        let part = |count: u64, price: Usd| u128::from(count) * u128::from(price.0);
        let parts = [
            part(tokens.input - cached, self.input_per_million),
            part(cached, self.cached_input_per_million.unwrap_or(self.input_per_million)),
            part(tokens.output, self.output_per_million),
        ];
        let by_token = parts.into_iter().fold(MILLION / 2, u128::saturating_add) / MILLION;
        Usd(u64::try_from(by_token.saturating_add(u128::from(self.per_request.0))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
