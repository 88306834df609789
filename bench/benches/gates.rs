//! What does it cost to let a call in, find it a place and write it down?
//!
//! In: rooms with real contents. Out: the time of verify, of reserve and settle, of a lease among 1, 8
//! and 64 members, of a usage row appended to the journal.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use std::sync::Arc;
use std::time::Duration;

use access::{Access, Ask, Mode, NewToken, Used};
use base::Timestamp;
use board::{Board, Entry, Member, State, Table, Wait};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use spec::{Deployment, Dialect, Endpoint, InstanceId, Limits, Name, Prices, Usage};
use store::{Journal, JournalConfig, Store};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn name() -> Name {
    Name::parse("bench").expect("a name")
}

fn letting_in(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let store = runtime.block_on(Store::open(folder.path().join("db"))).expect("a store");
    let access = runtime.block_on(Access::open(store, Mode::Tokens)).expect("access");
    let limits = Limits { requests_per_minute: Some(u32::MAX), tokens_per_minute: Some(u64::MAX / 4), concurrency: Some(u32::MAX) };
    let (_, secret) = runtime.block_on(access.create(NewToken { limits, ..NewToken::named("bench") })).expect("a token");
    let text = secret.expose().to_owned();
    criterion.bench_function("verify a token", |bencher| bencher.iter(|| access.verify(Some(&text)).expect("it is valid")));
    let caller = access.verify(Some(&text)).expect("it is valid");
    let gate = access.gate(&name());
    let (none, budget, prices) = (Limits::default(), spec::Budget::default(), Prices::default());
    let ask = Ask {
        caller: &caller,
        gate: &gate,
        limits: &none,
        budget: &budget,
        prices: &prices,
        input: 120,
        answers: 1,
        max_tokens: Some(128),
        context: None,
    };
    criterion.bench_function("reserve and settle", |bencher| {
        bencher.iter(|| {
            let mut permit = access.admit(&ask).expect("there is room");
            permit.settle(Used { input: 120, output: 40, ..Used::default() });
        });
    });
}

fn entry(members: usize) -> Arc<Entry> {
    let member = |n: usize| {
        let (id, endpoint) = (InstanceId::new(format!("i{n}")), Endpoint::Url("http://127.0.0.1:1/v1".into()));
        Arc::new(Member { id, endpoint, key: None, slots: 256, revision: 1, own: None })
    };
    Arc::new(Entry {
        name: name(),
        revision: 1,
        generation: 1,
        created: Timestamp::from_millis(0),
        spec: Arc::new(Deployment::named(name())),
        dialect: Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true },
        version: None,
        upstream_model: "m".into(),
        state: State::Ready,
        instances: (0..members).map(member).collect(),
        split: None,
        notice: None,
    })
}

fn choosing(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("lease a slot and give it back");
    for members in [1, 8, 64] {
        let board = Board::new();
        board.publish(Table { deployments: [(name(), entry(members))].into(), ..Table::default() });
        let key = name();
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| {
            bencher.iter(|| {
                let wait = Wait { patience_ready: Duration::ZERO, patience_cold: Duration::ZERO, keep_alive: None, avoid: Vec::new() };
                runtime.block_on(board.lease(&key, wait)).expect("a slot")
            });
        });
    }
    group.finish();
}

fn writing_down(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let journal = runtime.block_on(async {
        let store = Store::open(folder.path().join("db")).await.expect("a store");
        Journal::open(store, JournalConfig::new(folder.path().join("journal"))).await.expect("a journal")
    });
    let row = Usage {
        request_id: "req-0123456789abcdef",
        at: Timestamp::from_millis(1_767_225_600_000),
        token: Some("tok_1"),
        project: None,
        model: "bench",
        deployment: Some("bench"),
        instance: Some("i0"),
        operation: "chat",
        status: 200,
        ending: spec::Ending::Completed,
        error: None,
        prompt_tokens: 120,
        cached_tokens: 0,
        completion_tokens: 40,
        reasoning_tokens: 0,
        estimated: false,
        cost: spec::Usd(0),
        duration_ms: 12,
        first_byte_ms: Some(10),
        wait_ms: 0,
        retries: 0,
    };
    criterion.bench_function("append a row to the journal", |bencher| bencher.iter(|| journal.append(&row)));
    runtime.block_on(journal.close());
}

criterion_group! {
    name = gates;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    targets = letting_in, choosing, writing_down
}
criterion_main!(gates);
