//! What does it cost to scan and splice a body, and to look at each event of a stream?
//!
//! In: bodies of three kinds (prose, a picture in base64, many small messages) and four sizes; events as
//! engines write them. Out: time and throughput of each.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wire::openai::Shape;
use wire::scan;
use wire::splice::{self, Edit};
use wire::sse::Scanner;
use wire::stream::{Filter, Wish};

const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 16 << 20];
const EVENTS: usize = 100;
const EVENT: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"m","choices":[{"index":0,"delta":{"content":" water"},"logprobs":null,"finish_reason":null}]}"#;

/// A body of about this size.
fn body(kind: &str, bytes: usize) -> Bytes {
    let open = r#"{"model":"bench","temperature":0.7,"messages":["#;
    let filled = |unit: &str, between: &str| {
        let count = bytes.saturating_sub(open.len()) / (unit.len() + between.len());
        vec![unit; count.max(1)].join(between)
    };
    let text = match kind {
        "prose" => {
            format!(r#"{open}{{"role":"user","content":"{}"}}]}}"#, filled(r#"She said: \"The gate opens.\"\nThe water falls."#, " "))
        }
        "picture" => format!(
            r#"{open}{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
            filled("iVBORw0KGgoAAAANSUhEUgAAB4AAAAQ4CAYAAADo08FD", "")
        ),
        _ => format!("{open}{}]}}", filled(r#"{"role":"user","content":"The gate opens, the water falls."}"#, ",")),
    };
    Bytes::from(text)
}

fn bodies(criterion: &mut Criterion) {
    for kind in ["prose", "picture", "messages"] {
        let mut group = criterion.benchmark_group(format!("scan and splice, {kind}"));
        for size in SIZES {
            let body = body(kind, size);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    let scan = scan::object(&body).expect("it is JSON");
                    splice::apply(&body, &scan, &[Edit::text("model", "upstream-model")])
                });
            });
        }
        group.finish();
    }
}

fn events(criterion: &mut Criterion) {
    let event = Bytes::from(format!("{EVENT}\n\n"));
    let mut group = criterion.benchmark_group("events, each in a chunk of its own");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("scanned", |bencher| {
        let mut frames = Vec::new();
        bencher.iter_batched_ref(
            Scanner::default,
            |scanner| {
                for _ in 0..EVENTS {
                    frames.clear();
                    scanner.push(&event, &mut frames).expect("an event");
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("filtered", |bencher| {
        let mut out = Vec::new();
        bencher.iter_batched_ref(
            || Filter::new(Wish { usage: false, shape: Shape::Chat }),
            |filter| {
                for _ in 0..EVENTS {
                    out.clear();
                    filter.push(&event, &mut out).expect("an event");
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("a filter for a stream", |bencher| bencher.iter(|| Filter::new(Wish { usage: false, shape: Shape::Chat })));
    group.finish();
}

criterion_group! {
    name = wire;
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500)).sample_size(20);
    targets = bodies, events
}
criterion_main!(wire);
