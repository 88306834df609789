//! What is kept stays within its bounds and is no one else's.

use super::memory::Memory;
use super::*;

fn told(bytes: usize) -> Arc<KeptResponse> {
    let owner = "a".to_owned();
    Arc::new(KeptResponse { id: "resp_1".to_owned(), owner, created_at: Timestamp::now(), body: "x".repeat(bytes) })
}

/// Takes it in, and has it written.
fn put(memory: &mut Memory, id: &str, bytes: usize) {
    assert!(memory.put(id, Some(told(bytes)), false));
    let batch = memory.take();
    memory.wrote(batch);
}

async fn kept(memory_bytes: usize) -> (tempfile::TempDir, Store, Kept) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store.db")).await.unwrap();
    let kept = Kept::start(store.clone(), Keeping { memory_bytes, ..Keeping::default() });
    (dir, store, kept)
}

fn ticket(kept: &Kept, id: &str, words: usize) -> Ticket {
    let request = wire::responses::Request::parse(br#"{"model":"m","input":"hi"}"#).unwrap();
    let items = serde_json::value::to_raw_value(&vec!["a few words"; words]).unwrap();
    Ticket {
        kept: kept.clone(),
        owner: "a".into(),
        created: Timestamp::now(),
        object: wire::responses::Object::new(&request, id, 1),
        id: id.to_owned(),
        items: Some(items.into()),
        own: 0,
        surely: true,
        background: true,
    }
}

async fn is_there(kept: &Kept, id: &str) -> bool {
    match kept.find(id, "a").await {
        Ok(_) => true,
        Err(Error::UnknownResponse { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn memory_holds_as_many_bytes_as_it_may_and_lets_the_oldest_go() {
    let mut memory = Memory::new(5_000);
    for n in 0..10 {
        put(&mut memory, &n.to_string(), 1_000);
        assert!(memory.get("0").is_some() || n > 9, "what is asked for stays");
    }
    let left: Vec<usize> = (0..10).filter(|n| memory.get(&n.to_string()).is_some()).collect();
    assert_eq!(left, [0, 7, 8, 9]);
    put(&mut memory, "large", 9_000);
    assert!(memory.get("large").is_none() && memory.get("9").is_some(), "what is larger than all drives nobody out");
    put(&mut memory, "0", 10);
    put(&mut memory, "0", 20);
    assert_eq!(memory.get("0").flatten().map(|told| told.body.len()), Some(20));
    memory.put_if_absent("0", Some(told(30)));
    memory.put("0", None, true);
    assert!(memory.is_gone("0") && memory.get("0").is_some_and(|told| told.is_none()), "a deleted one is known to be gone");
}

#[test]
fn what_is_not_written_does_not_leave_memory() {
    let mut memory = Memory::new(5_000);
    for n in 0..3 {
        assert!(memory.put(&n.to_string(), Some(told(2_000)), false), "{n}");
    }
    assert!(memory.is_full() && memory.put("sure", Some(told(9_000)), true));
    assert!(!memory.put("late", Some(told(2_000)), false), "it is full");
    assert!(memory.put("2", Some(told(3_000)), false), "it had a place");
    assert!(["0", "1", "2", "sure", "late"].iter().all(|id| memory.get(id).is_some()));
    let first = memory.take();
    memory.put("0", None, true);
    memory.wrote(first);
    assert!(memory.is_gone("0") && memory.get("sure").is_none() && memory.get("2").is_some());
    let second = memory.take();
    assert_eq!((second.deleted().collect::<Vec<_>>(), second.puts().len()), (vec!["0"], 0), "it has changed since");
    memory.wrote(second);
    assert!(memory.take().is_empty() && !memory.is_full());
}

#[tokio::test]
async fn what_has_just_been_kept_is_there_however_little_memory_there_is() {
    let (_dir, store, kept) = kept(1_000).await;
    let ids: Vec<String> = (0..20).map(|n| format!("resp_{n}")).collect();
    for id in &ids {
        let ticket = ticket(&kept, id, 2_000);
        ticket.keep(&ticket.object.standing("in_progress"));
    }
    for id in &ids {
        assert!(is_there(&kept, id).await, "{id}");
    }
    kept.delete(&ids[0], "a").await.unwrap();
    assert!(!is_there(&kept, &ids[0]).await, "what is deleted is gone at once");
    kept.flush().await;
    assert!(ids[1..].iter().all(|id| kept.0.shelf.memory().get(id).is_none()), "memory is no larger than it may be");
    assert!(is_there(&kept, &ids[1]).await && !is_there(&kept, &ids[0]).await);
    assert_eq!(store.get_response(&ids[0]).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_when_too_much_waits_waits_for_room_but_not_for_a_store_that_stands_still() {
    let shelf = Arc::new(Shelf::new(1_000));
    let one = |n: usize| KeptResponse { id: n.to_string(), ..KeptResponse::clone(&told(1_000)) };
    assert!(shelf.room().await);
    shelf.put(one(1), true);
    let batch = shelf.take().await;
    let waiting = tokio::time::Instant::now();
    let (room, ()) = tokio::join!(shelf.room(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shelf.wrote(batch);
    });
    assert!(room && waiting.elapsed() == Duration::from_secs(1));
    shelf.put(one(2), true);
    let batch = shelf.take().await;
    let waiting = tokio::time::Instant::now();
    assert!(!shelf.room().await && waiting.elapsed() >= STORE_PATIENCE);
    let waiting = tokio::time::Instant::now();
    assert!(!shelf.room().await && waiting.elapsed().is_zero(), "it stands still");
    shelf.put(one(3), false);
    shelf.wrote(batch);
    assert!(shelf.room().await);
    shelf.flush().await;
    assert!(shelf.memory().take().is_empty(), "what found no room is not written");
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
async fn as_many_are_made_in_the_background_as_there_are_places_and_of_one_owner_a_part_of_them() {
    let (_dir, _store, kept) = kept(1_000).await;
    let owner = |n: usize| Arc::from(format!("project:{n}"));
    let run = |n: usize, owner: &Arc<str>| kept.run(&n.to_string(), owner);
    let mut running: Vec<Running> = (0..MOST_OF_ONE).map(|n| run(n, &owner(0)).unwrap()).collect();
    assert!(matches!(run(MOST_OF_ONE, &owner(0)), Err(Error::Background { most: MOST_OF_ONE, whose: "this project" })));
    run(MOST_OF_ONE, &owner(1)).map(drop).expect("others find theirs");
    running.extend((MOST_OF_ONE..MOST_RUNNING).map(|n| run(n, &owner(n / MOST_OF_ONE)).unwrap()));
    assert!(matches!(run(MOST_RUNNING, &owner(9)), Err(Error::BackgroundFull { .. })));
    running.remove(0);
    run(MOST_RUNNING, &owner(0)).map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_it_is_kept_does_not_come_back() {
    let (_dir, store, kept) = kept(64 << 20).await;
    for round in 0..10 {
        let id = format!("resp_{round}");
        let ticket = ticket(&kept, &id, 20_000); // it takes a while to write them down
        ticket.keep(&ticket.object.standing("queued"));
        let keeps = tokio::task::spawn_blocking(move || ticket.keep(&ticket.object.standing("in_progress")));
        kept.delete(&id, "a").await.unwrap();
        keeps.await.unwrap();
        kept.flush().await;
        assert!(!is_there(&kept, &id).await, "round {round}");
        assert_eq!(store.get_response(&id).await.unwrap(), None, "round {round}");
    }
}

#[tokio::test]
async fn what_is_too_old_leaves_the_store_and_a_store_that_is_closed_loses_no_caller() {
    let (_dir, store, kept) = kept(1_000).await;
    let old =
        KeptResponse { id: "resp_old".to_owned(), owner: String::new(), created_at: Timestamp::from_millis(1), body: "{}".to_owned() };
    store.put_responses(&[old]).await.unwrap();
    let keep = |id| ticket(&kept, id, 2_000).keep(&serde_json::Value::Null);
    keep("resp_new");
    kept.flush().await;
    assert_eq!(store.get_response("resp_old").await.unwrap(), None);
    store.close().await;
    assert!(matches!(kept.find("resp_1", "").await, Err(Error::Store(_))));
    keep("resp_late");
    kept.flush().await;
}
