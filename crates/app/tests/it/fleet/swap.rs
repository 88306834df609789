//! One model has to leave so that another can come.

use std::time::{Duration, Instant};

use serde_json::json;

use super::depot::{Depot, ask, hear, model, reason};

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
