//! Money is counted without a rest, whatever the numbers.

use proptest::prelude::*;

use super::*;

/// A millionth of a billionth of a dollar, in which no price has a fraction.
fn exact(prices: &Prices, tokens: Tokens) -> u128 {
    let cached = tokens.cached.min(tokens.input);
    let cached_price = prices.cached_input_per_million.unwrap_or(prices.input_per_million);
    let by_token = [(tokens.input - cached, prices.input_per_million), (cached, cached_price), (tokens.output, prices.output_per_million)];
    let sum: u128 = by_token.into_iter().map(|(count, price)| u128::from(count) * u128::from(price.0)).sum();
    sum + u128::from(prices.per_request.0) * MILLION
}

fn price() -> impl Strategy<Value = Usd> {
    prop_oneof![Just(Usd(0)), (0..2_000_000_000_000_u64).prop_map(Usd)]
}

fn prices() -> impl Strategy<Value = Prices> {
    (price(), prop::option::of(price()), price(), price()).prop_map(|(input, cached, output, request)| Prices {
        input_per_million: input,
        cached_input_per_million: cached,
        output_per_million: output,
        per_request: request,
    })
}

fn tokens() -> impl Strategy<Value = Tokens> {
    (0..10_000_000_u64, 0..10_000_000_u64, 0..10_000_000_u64).prop_map(|(input, cached, output)| Tokens { input, cached, output })
}

proptest! {
    #[test]
    fn a_call_costs_the_exact_sum_rounded_once(prices in prices(), tokens in tokens()) {
        let cost = u128::from(prices.cost(tokens).0) * MILLION;
        let exact = exact(&prices, tokens);
        prop_assert!(cost.abs_diff(exact) * 2 <= MILLION, "{cost} for {exact}");
    }

    #[test]
    fn more_tokens_never_cost_less(prices in prices(), tokens in tokens(), more in 0..1_000_000_u64) {
        let longer = Tokens { output: tokens.output + more, input: tokens.input + more, ..tokens };
        prop_assert!(prices.cost(longer) >= prices.cost(tokens));
    }

    #[test]
    fn prices_come_back_from_json_as_they_were_written(prices in prices()) {
        let text = serde_json::to_string(&prices).unwrap();
        prop_assert_eq!(serde_json::from_str::<Prices>(&text).unwrap(), prices);
    }

    #[test]
    fn no_count_is_too_large_to_be_priced(input in any::<u64>(), output in any::<u64>(), each in any::<u64>()) {
        let prices = Prices { input_per_million: Usd(each), output_per_million: Usd(each), per_request: Usd(each), ..Prices::default() };
        let cost = prices.cost(Tokens { input, cached: input, output });
        prop_assert!(cost >= prices.per_request, "{cost}");
    }
}

#[test]
fn a_table_as_providers_write_it() {
    let prices: Prices =
        serde_json::from_str(r#"{"input_per_million":0.15,"cached_input_per_million":0.0375,"output_per_million":0.6}"#).unwrap();
    let cost = prices.cost(Tokens { input: 1_000, cached: 200, output: 500 });
    assert_eq!(cost.to_string(), "0.0004275");
    assert_eq!(prices.cost(Tokens { input: 3, cached: 9, output: 0 }), Usd(113), "no more is cached than came in");
}
