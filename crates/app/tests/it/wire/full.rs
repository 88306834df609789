//! What happens to a call that finds every slot taken, where fewer calls may run than the engine has slots.

use futures_util::future::join_all;
use testkit::upstream::{Gate, Script, Step};

use super::{CHAT, Door, chat, soon, soon_is, whole};
use crate::client::Reply;

/// Calls beside the one that runs.
const OTHERS: usize = 3;

/// The answers to so many calls of this model, made at once.
async fn answers(door: &Door, model: &str, count: usize) -> Vec<Reply> {
    let body = chat(model, "");
    join_all((0..count).map(|_| soon(door.post(CHAT, &body)))).await
}

/// How many wait for this model.
async fn waiting(door: &Door, model: &str) -> Option<u64> {
    let status = door.client.get("/status").await.json();
    status["instances"].as_array()?.iter().find(|one| one["model_id"] == model)?["queue_len"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn max_concurrent_binds_below_the_slots_and_who_comes_then_is_refused_waits_or_is_sent_on() {
    let one_of_four = |when: &str| format!("parallel: 4\nmax_concurrent: 1\nwhen_full: {when}");
    let on = format!("{}\nfallback: [spare]", one_of_four("fallback"));
    let door = Door::of(&[("reject", &one_of_four("reject")), ("queue", &one_of_four("queue")), ("fallback", &on), ("spare", "")]).await;
    let asked = |model: &str| door.upstream.asks_of(model).len();
    for (model, status, served, sent_on) in [("reject", 429, 1, 0), ("queue", 200, 1 + OTHERS, 0), ("fallback", 200, 1, OTHERS)] {
        let gate = Gate::new();
        let held = gate.clone();
        door.upstream.plays_with(model, move |_| Script::json(200, whole(model).to_string()).first(Step::Wait(held.clone())));
        let others = async {
            soon(door.upstream.saw(|asks| asks.iter().any(|ask| ask.model == model))).await;
            let one_by_one = async {
                for number in 1..=served {
                    let left = (served - number) as u64;
                    soon_is("one runs and the others wait", async || asked(model) == number && waiting(&door, model).await == Some(left))
                        .await;
                    assert_eq!(asked(model), number, "{model}: one at a time, however many slots there are");
                    if number < served {
                        gate.open();
                    }
                }
            };
            if model == "queue" {
                let (others, ()) = tokio::join!(answers(&door, model, OTHERS), async {
                    one_by_one.await;
                    gate.open();
                });
                return others;
            }
            let others = answers(&door, model, OTHERS).await;
            one_by_one.await;
            gate.open();
            others
        };
        let (first, others) = tokio::join!(answers(&door, model, 1), others);
        assert_eq!(first[0].status, 200, "{model}: {}", first[0].text);
        for reply in others {
            assert_eq!(reply.status, status, "{model}: {}", reply.text);
            if status == 429 {
                assert_eq!(reply.json()["error"]["code"], "queue_full", "{}", reply.text);
                assert!(!reply.header("retry-after").is_empty(), "{:?}", reply.headers);
            }
        }
        assert_eq!((asked(model), asked("spare")), (served, sent_on), "{model}");
    }
    door.close().await;
}
