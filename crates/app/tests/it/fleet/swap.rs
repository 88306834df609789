//! One model has to leave so that another can come.

use std::time::{Duration, Instant};

use base::ByteSize;
use serde_json::json;
use testkit::device_ledger::FakeDevice;

use super::depot::{Depot, ONE, ask, hear, model, reason};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_ends_slowly_is_waited_for_and_its_memory_is_not_given_twice() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("slow").does("SLOW_END", "1s"), model("next")]).await;
    ask(&client, "slow").await.said();
    let begun = Instant::now();
    ask(&client, "next").await.said();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_under_way_is_finished_before_its_model_leaves() {
    let depot = Depot::with_room_for(1);
    let busy = model("busy").does("TOKENS", 40).does("TOKENS_PER_SECOND", 40);
    let (house, client) = depot.house(&[busy, model("next")]).await;
    ask(&client, "next").await.said();
    let (heard, reply) = tokio::join!(hear(&client, "busy"), async {
        crate::stage::until("it is asked for", async || (depot.begun("busy") == 1).then_some(())).await;
        ask(&client, "next").await
    });
    assert!(heard.is_whole("busy", 40), "{heard:?}");
    reply.said();
    assert_eq!((depot.begun("busy"), depot.begun("next")), (1, 2));
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_fit_is_refused_with_the_numbers_and_nobody_leaves_for_it() {
    let depot = Depot::with_room_for(1);
    let (house, client) = depot.house(&[model("fits"), model("huge").with("parallel: 3")]).await;
    ask(&client, "fits").await.said();
    let reply = client.post("/infer", &json!({"model": "huge", "prompt": "count"})).await;
    assert_eq!(reply.status, 507, "{}", reply.text);
    assert_eq!(ask(&client, "huge").await.status, 507);
    let why = reason(&client, "huge").await;
    assert_eq!(why["code"], "does_not_fit", "{why}");
    assert!(why["message"].as_str().is_some_and(|message| message.contains("it needs") && message.contains("MiB")), "{why}");
    ask(&client, "fits").await.said();
    assert_eq!((depot.begun("fits"), depot.begun("huge"), house.fleet().counters.evictions), (1, 0, 0));
    depot.close(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_of_the_older_flags_binds_and_its_margin_is_given_to_nobody() {
    const BUDGET: u64 = 500;
    for (margin, evictions) in [(0, 0), (150, 1)] {
        let depot = Depot::on(vec![FakeDevice::ram(ByteSize::mib(8 * 1024))], ONE);
        let config = format!("vram_budget_mb: {BUDGET}\nvram_margin_mb: {margin}\n{}", depot.config(&["a", "b", "c"].map(model)));
        let house = depot.stage.house(&config).await;
        let client = depot.stage.client(&house);
        for name in ["a", "b", "c"] {
            ask(&client, name).await.said();
            let status = client.get("/status").await.json();
            let used = status["used_est_mb"].as_u64().expect("a number");
            assert!(used > 0 && used <= BUDGET - margin, "{status}");
        }
        assert_eq!(house.fleet().counters.evictions, evictions, "with a margin of {margin} MiB");
        assert!(depot.book().peak["ram"] <= ByteSize::mib(BUDGET - margin), "{:?}", depot.book().peak);
        depot.close(house).await;
    }
}

/// What two callers had, each of a model that excludes the other's: how many answers, and the longest wait for one.
async fn contended(patience: &str) -> (usize, Duration) {
    const TIME: Duration = Duration::from_secs(8);
    let depot = Depot::with_room_for(1).with_memory(&format!("patience: {patience}"));
    let (house, client) = depot.house(&["a", "b"].map(|name| model(name).does("LOAD", "500ms").does("TOKENS", 2))).await;
    let begun = Instant::now();
    let caller = async |name: &str| {
        let (mut answers, mut longest) = (0, Duration::ZERO);
        while begun.elapsed() < TIME {
            let asked = Instant::now();
            ask(&client, name).await.said();
            (answers, longest) = (answers + 1, longest.max(asked.elapsed()));
        }
        (answers, longest)
    };
    let (one, other) = tokio::join!(caller("a"), caller("b"));
    assert!(one.0 > 0 && other.0 > 0 && depot.book().refused.is_empty(), "{one:?} and {other:?}");
    depot.close(house).await;
    (one.0 + other.0, one.1.max(other.1))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_of_models_that_exclude_each_other_have_three_times_the_answers_that_first_come_first_served_gives() {
    const PATIENCE: Duration = Duration::from_secs(2);
    const BUSY: Duration = Duration::from_secs(2); // a machine that does much else gets to it so much later
    let (first_come, swap) = contended("1ms").await; // each of its waits is a swap
    let (fair, longest) = contended("2s").await;
    println!("{fair} answers, none after more than {longest:?}; first come, first served: {first_come}, with a swap of up to {swap:?}");
    assert!(first_come >= 4 && fair >= 3 * first_come, "{fair} and {first_come}");
    assert!(longest <= PATIENCE + swap + BUSY, "{longest:?}, where a swap takes up to {swap:?}");
}
