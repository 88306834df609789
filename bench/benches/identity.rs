//! How long does it take to check a token among a million, and what does each take of memory?
//!
//! In: a store with a million tokens of a thousand projects, which another process has written, so that what writing took and gave
//! back is not there to be used again and makes the memory look small. Out: the times of checking all of them in no order, one by one, and
//! the memory of the door, as one line of JSON on standard output: `check_p50_ns`, `check_p99_ns`, `check_p999_ns`, `clock_ns` (what a look at
//! the clock takes, which is in each time), `bytes_per_token` of those that nobody has used since the start,
//! `bytes_per_used_token` once each has made a call, `revoke_p50_us` and `revoke_p99_us` (taking one back, its commit among it, until the door
//! refuses it), `change_p50_us` and `change_p99_us` (other limits and other models, the same way), `open_ms`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark that cannot be set up ends, and says what it found")]

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use access::{Access, Ask, Mode, Patch, Used};
use spec::{Budget, Limits, Name, Prices, TokenId};
use store::Store;
use testkit::{resident, sample_token, token_text};
use tokio::runtime::Builder;

const TOKENS: usize = 1_000_000;
const AT_ONCE: usize = 50_000;
/// Prime to the number of tokens: so each is asked once, and none beside its neighbour.
const STRIDE: usize = 611_953;
/// Tokens that are taken back, and as many that are changed.
const CHANGES: usize = 500;
const NANOS_PER_US: u128 = 1000;

fn at(sorted: &[Duration], permille: usize) -> u128 {
    sorted.get((sorted.len() - 1) * permille / 1000).copied().unwrap_or_default().as_nanos()
}

/// One by one, in no order.
fn checks(access: &Access) -> Vec<Duration> {
    let mut times = Vec::with_capacity(TOKENS);
    let mut number = 0;
    for _ in 0..TOKENS {
        number = (number + STRIDE) % TOKENS;
        let text = token_text(number);
        let began = Instant::now();
        let caller = access.verify(Some(&text)).expect("it is valid");
        times.push(began.elapsed());
        assert!(caller.may_infer("tiny").is_ok());
    }
    times.sort_unstable();
    times
}

/// One call of each token is let in and accounted; what each takes of memory then.
fn used(access: &Access, before: usize) -> usize {
    let (limits, budget, prices) = (Limits::default(), Budget::default(), Prices::default());
    let gate = access.gate(&Name::parse("tiny").expect("a name"));
    for number in 0..TOKENS {
        let caller = access.verify(Some(&token_text(number))).expect("it is valid");
        let (input, answers, max_tokens, context) = (100, 1, Some(16), None);
        let ask =
            Ask { caller: &caller, gate: &gate, limits: &limits, budget: &budget, prices: &prices, input, answers, max_tokens, context };
        access.admit(&ask).expect("its first").settle(Used { input, output: 16, ..Used::default() });
    }
    resident().expect("its memory").saturating_sub(before) / TOKENS
}

/// Ends one token after the other and asks the door after each; how long each took to be in force.
fn revoked(runtime: &tokio::runtime::Runtime, access: &Access, numbers: Range<usize>) -> Vec<Duration> {
    timed(numbers, |number| {
        runtime.block_on(access.revoke(&id(number))).expect("it was there");
        assert!(access.verify(Some(&token_text(number))).is_err());
    })
}

/// Gives one token after the other other limits and another model; how long each took to be in force.
fn changed(runtime: &tokio::runtime::Runtime, access: &Access, numbers: Range<usize>) -> Vec<Duration> {
    timed(numbers, |number| {
        let limits = Limits { requests_per_minute: Some(30), ..Limits::default() };
        let patch = Patch { limits: Some(limits), models: Some(Some(vec!["other".to_owned()])), ..Patch::default() };
        runtime.block_on(access.patch(&id(number), patch)).expect("it was there");
        let caller = access.verify(Some(&token_text(number))).expect("it is valid");
        assert!(caller.may_infer("tiny").is_err());
    })
}

fn timed(numbers: Range<usize>, change: impl Fn(usize)) -> Vec<Duration> {
    let mut times: Vec<Duration> = numbers
        .map(|number| {
            let began = Instant::now();
            change(number);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn id(number: usize) -> TokenId {
    TokenId::new(format!("{number:016x}"))
}

/// This program, asked to fill a store.
const FILL: &str = "--fill";

fn fill(runtime: &tokio::runtime::Runtime, database: &Path) {
    runtime.block_on(async {
        let store = Store::open(database).await.expect("a store");
        for some in (0..TOKENS).collect::<Vec<_>>().chunks(AT_ONCE) {
            store.put_tokens(&some.iter().map(|number| sample_token(*number)).collect::<Vec<_>>()).await.expect("tokens");
        }
    });
}

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Some(database) = std::env::args().skip_while(|word| word != FILL).nth(1) {
        return fill(&runtime, Path::new(&database));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("db");
    let filled = Command::new(std::env::current_exe().expect("this program")).arg(FILL).arg(&database).status().expect("a process");
    assert!(filled.success(), "the store could not be filled");
    let store = runtime.block_on(Store::open(database)).expect("a store");
    // So that the database's own memory is there already.
    assert_eq!(runtime.block_on(futures_util::StreamExt::count(store.stream_tokens())), TOKENS);
    let before = resident().expect("its memory");
    let began = Instant::now();
    let access = runtime.block_on(Access::open(store, Mode::Tokens)).expect("a door");
    let open = began.elapsed();
    let bytes = resident().expect("its memory").saturating_sub(before) / TOKENS;
    drop(checks(&access)); // so that what is measured is no first touch
    runtime.block_on(access.flush());
    let times = checks(&access);
    let bytes_used = used(&access, before);
    let revoked = revoked(&runtime, &access, 0..CHANGES);
    let changed = changed(&runtime, &access, CHANGES..2 * CHANGES);
    let mut clock: Vec<Duration> = (0..10_000).map(|_| Instant::now().elapsed()).collect();
    clock.sort_unstable();
    println!(
        "{{\"tokens\":{TOKENS},\"check_p50_ns\":{},\"check_p99_ns\":{},\"check_p999_ns\":{},\"clock_ns\":{},\"bytes_per_token\":{bytes},\"bytes_per_used_token\":{bytes_used},\"revoke_p50_us\":{},\"revoke_p99_us\":{},\"change_p50_us\":{},\"change_p99_us\":{},\"open_ms\":{}}}",
        at(&times, 500),
        at(&times, 990),
        at(&times, 999),
        at(&clock, 500),
        at(&revoked, 500) / NANOS_PER_US,
        at(&revoked, 990) / NANOS_PER_US,
        at(&changed, 500) / NANOS_PER_US,
        at(&changed, 990) / NANOS_PER_US,
        open.as_millis(),
    );
}
