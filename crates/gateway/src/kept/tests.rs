//! What is kept stays within its bounds and is no one else's.

use super::memory::{Memory, Slot};
use super::*;

fn slot(bytes: usize) -> Slot {
    Slot::here("a".into(), "x".repeat(bytes).into())
}

#[test]
fn memory_holds_as_many_bytes_as_it_may_and_lets_the_oldest_go() {
    let mut memory = Memory::new(5_000);
    for n in 0..10 {
        memory.put(&n.to_string(), slot(1_000));
        assert!(memory.get("0").is_some() || n > 9, "what is asked for stays");
    }
    let left: Vec<usize> = (0..10).filter(|n| memory.get(&n.to_string()).is_some()).collect();
    assert_eq!(left, [0, 7, 8, 9]);
    memory.put("large", slot(9_000));
    assert!(memory.get("large").is_none() && memory.get("9").is_none(), "what is larger than all leaves nothing");
    memory.put("0", slot(10));
    memory.put("0", slot(20));
    assert_eq!(memory.get("0").and_then(|slot| slot.body).map(|body| body.len()), Some(20));
    memory.put_if_absent("0", slot(30));
    memory.put("0", Slot::gone("a".into()));
    assert!(memory.get("0").is_some_and(|slot| slot.body.is_none()), "a deleted one is known to be gone");
}

#[test]
fn a_conversation_goes_on_with_its_output() {
    let story = Story {
        response: serde_json::json!({ "id": "resp_1", "output": [{ "type": "message" }] }),
        items: vec![serde_json::json!("a"), serde_json::json!("b")],
        own: 1,
    };
    assert_eq!(serde_json::Value::from(story.conversation()).to_string(), r#"["a","b",{"type":"message"}]"#);
}

#[tokio::test]
async fn as_many_are_made_in_the_background_as_there_are_places() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store.db")).await.unwrap();
    let kept = Kept::start(store, Keeping::default());
    let mut running: Vec<Running> = (0..MOST_RUNNING).map(|n| kept.run(&n.to_string()).unwrap()).collect();
    assert!(matches!(kept.run("one more"), Err(Error::Background { .. })));
    running.pop();
    kept.run("one more").map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_it_is_kept_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store.db")).await.unwrap();
    let kept = Kept::start(store.clone(), Keeping::default());
    let request = wire::responses::Request::parse(br#"{"model":"m","input":"hi"}"#).unwrap();
    for round in 0..10 {
        let id = format!("resp_{round}");
        let ticket = Ticket {
            kept: kept.clone(),
            owner: "a".into(),
            created: Timestamp::now(),
            object: wire::responses::Object::new(&request, &id, 1),
            id: id.clone(),
            items: vec![serde_json::json!("a few words"); 20_000].into(), // it takes a while to write them down
            own: 0,
            stored: true,
            background: true,
        };
        ticket.keep(&ticket.object.standing("queued"));
        let keeps = tokio::task::spawn_blocking(move || ticket.keep(&ticket.object.standing("in_progress")));
        kept.delete(&id, "a").await.unwrap();
        keeps.await.unwrap();
        kept.flush().await;
        assert!(matches!(kept.get(&id, "a").await, Err(Error::UnknownResponse { .. })), "round {round}");
        assert_eq!(store.get_response(&id).await.unwrap(), None, "round {round}");
    }
}

#[tokio::test]
async fn what_is_too_old_leaves_the_store_and_a_store_that_is_closed_loses_no_caller() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store.db")).await.unwrap();
    let old =
        KeptResponse { id: "resp_old".to_owned(), owner: String::new(), created_at: Timestamp::from_millis(1), body: "{}".to_owned() };
    store.put_responses(&[old]).await.unwrap();
    let kept = Kept::start(store.clone(), Keeping::default());
    kept.flush().await;
    assert_eq!(store.get_response("resp_old").await.unwrap(), None);
    store.close().await;
    assert!(matches!(kept.get("resp_1", "").await, Err(Error::Store(_))));
    kept.flush().await;
}
