//! What `/status` tells of a fleet in motion, and to whom.

use serde_json::{Value, json};

use super::depot::{Depot, ask, model};
use crate::client::Client;
use crate::stage::until;

/// The status, once it reads so.
async fn status(client: &Client, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(what, async || Some(client.get("/status").await.json()).filter(|status| is(status))).await
}

/// The states of the instances of this model.
fn states<'a>(status: &'a Value, model: &str) -> Vec<&'a str> {
    let instances = status["instances"].as_array().expect("a list").iter().filter(|one| one["model_id"] == model);
    instances.map(|one| one["state"].as_str().expect("a word")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_comes_up_what_leaves_and_what_failed_to_those_whose_it_is() {
    let depot = Depot::with_room_for(1);
    let slow = model("slow").does("LOAD", "600ms").does("SLOW_END", "600ms");
    let models = [slow, model("next"), model("fails").does("OUT_OF_MEMORY", 1)].map(|model| model.with("project: red"));
    let (house, client) = depot.house(&models).await;
    let (said, rises) = tokio::join!(ask(&client, "slow"), status(&client, "it comes up", |now| now["warmups_in_progress"] == 1));
    said.said();
    assert_eq!((states(&rises, "slow"), &rises["state"]), (vec!["loading"], &json!("loading")), "{rises}");
    let (said, leaves) = tokio::join!(ask(&client, "next"), status(&client, "it leaves", |now| now["draining_count"] == 1));
    said.said();
    assert_eq!(states(&leaves, "slow"), ["draining"], "{leaves}");
    let stands = client.get("/status").await.json();
    let counted = ["evictions_total", "loads_total", "warmups_in_progress", "draining_count"].map(|name| stands[name].as_u64());
    assert_eq!((counted, &stands["error"], &stands["last_error"]), ([1, 2, 0, 0].map(Some), &Value::Null, &Value::Null), "{stands}");
    assert_eq!(ask(&client, "fails").await.status, 503);
    ask(&client, "next").await.said();
    let failed = status(&client, "it has failed", |now| now["error"].is_string()).await;
    assert!(failed["error"].as_str().is_some_and(|error| error.starts_with("fails: ")), "{failed}");
    assert_eq!((&failed["last_error"], failed["evictions_total"].as_u64() > Some(1)), (&failed["error"], true), "{failed}");
    assert!(failed["used_est_mb"].as_u64() > Some(0) && states(&failed, "next") == ["ready"], "{failed}");
    for (project, is_theirs) in [("red", true), ("blue", false)] {
        let made = client.post("/api/v1/tokens", &json!({"name": project, "project": project})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let theirs = client.with_token(made.json()["token"].as_str()).get("/status").await.json();
        let told = ["error", "last_error"].map(|name| theirs[name] == failed[name]);
        assert_eq!(told, [is_theirs; 2], "{project}: {theirs}");
        assert_eq!((theirs["used_est_mb"].as_u64() > Some(0), states(&theirs, "next") == ["ready"]), (is_theirs, is_theirs), "{theirs}");
    }
    depot.close(house).await;
}
