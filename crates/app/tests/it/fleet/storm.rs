//! Twenty models, room for three, and streams on all of them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use base::{ByteSize, tasks};
use testkit::device_ledger::FakeDevice;

use super::depot::{Depot, hear, model};
use crate::stage::number;

const MODELS: u64 = 20;
/// What a model takes, less its buffers.
const EACH: ByteSize = ByteSize::mib(4 * 1024);
/// A card that holds three of them, and not four.
const CARD: ByteSize = ByteSize::mib(15 * 1024);
const CARD_ID: &str = "cuda:GPU-0";
/// Callers at work at the same time.
const CALLERS: u64 = 40;
const TOKENS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_streams_over_more_models_than_memory_loses_none_and_never_holds_too_much() {
    let streams = number("PENSTOCK_TEST_STORM_STREAMS", 300);
    let depot = Depot::on(vec![FakeDevice::cuda(0, CARD), FakeDevice::ram(ByteSize::mib(512))], EACH);
    let patient = "timeouts: { start: 10m, wait: 10m }";
    let one = |number: u64| model(&format!("m{number}")).with(patient).does("TOKENS", TOKENS).does("TOKENS_PER_SECOND", 100);
    let (house, client) = depot.house(&(0..MODELS).map(one).collect::<Vec<_>>()).await;
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let cut = Arc::new(std::sync::Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (next, client, cut) = (Arc::clone(&next), client.clone(), Arc::clone(&cut));
            tasks::spawn("caller", async move {
                loop {
                    let stream = next.fetch_add(1, Relaxed);
                    if stream >= streams {
                        return;
                    }
                    // Neighbours ask different models, and each model is asked again and again.
                    let name = format!("m{}", stream * 7 % MODELS);
                    let heard = hear(&client, &name).await;
                    if !heard.is_whole(&name, TOKENS) {
                        cut.lock().expect("no caller panicked").push((name, heard));
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().await;
    }
    let cut = std::mem::take(&mut *cut.lock().expect("no caller panicked"));
    let (book, counters) = (depot.book(), house.fleet().counters);
    println!(
        "{streams} streams in {:?}: {} loads, {} evictions, {} failures, at most {} held of {}",
        begun.elapsed(),
        counters.loads,
        counters.evictions,
        counters.failures,
        book.peak[CARD_ID],
        CARD,
    );
    assert!(cut.is_empty(), "{} of {streams}: {:?}", cut.len(), &cut[..cut.len().min(3)]);
    assert!(book.refused.is_empty(), "over-committed: {:?}", book.refused);
    assert!(counters.evictions > 0, "there was no storm");
    assert!(book.peak[CARD_ID] > ByteSize(2 * EACH.0), "the card was not used: {:?}", book.peak);
    depot.close(house).await;
}
