//! Promises about events, operations and usage, and about what is left after an end without a close.
#![expect(clippy::missing_panics_doc, reason = "a broken promise panics; that is what a contract is for")]

use base::Timestamp;
use spec::deployment::Origin;
use spec::{Ending, OperationState};

use crate::contract::sample::{event, kept, name, operation, usage, wish};
use crate::error::Error;
use crate::events::EventQuery;
use crate::open::Store;
use crate::usage::{CallQuery, GroupBy, UsageQuery};
use crate::webhooks::WebhookPlace;

/// First stored, first told.
pub async fn events_keep_the_order_in_which_they_were_stored(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    assert_eq!(store.append_events(&[]).await?, [0; 0]);
    let first = store.append_events(&[event("1", None), event("2", None)]).await?;
    let second = store.append_events(&[event("3", None)]).await?;
    let ids: Vec<u64> = first.into_iter().chain(second).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let told = store.list_events(EventQuery::default()).await?;
    assert_eq!(told.iter().map(|e| e.message.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(told.iter().map(|e| e.id).collect::<Vec<_>>(), ids);
    drop(store);
    let after = place().await?.append_events(&[event("4", None)]).await?;
    assert!(after[0] > ids[2], "ids run on after a restart");
    Ok(())
}

/// All that a watcher and a list need.
pub async fn events_can_be_asked_for_by_deployment_and_from_either_end(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let (a, b) = (name("a")?, name("b")?);
    let events = [event("a1", Some(&a)), event("b1", Some(&b)), event("a2", Some(&a)), event("none", None), event("a3", Some(&a))];
    let ids = store.append_events(&events).await?;
    let told = async |query: EventQuery| -> Result<Vec<String>, Error> {
        Ok(store.list_events(query).await?.into_iter().map(|e| e.message).collect())
    };
    let of_a = EventQuery { deployment: Some(a), ..EventQuery::default() };
    assert_eq!(told(of_a.clone()).await?, ["a1", "a2", "a3"]);
    assert_eq!(told(EventQuery { after: Some(ids[0]), ..of_a.clone() }).await?, ["a2", "a3"]);
    assert_eq!(told(EventQuery { newest_first: true, limit: 2, ..of_a }).await?, ["a3", "a2"]);
    assert_eq!(told(EventQuery { after: Some(ids[2]), ..EventQuery::default() }).await?, ["none", "a3"]);
    assert_eq!(told(EventQuery { limit: 1, ..EventQuery::default() }).await?, ["a1"]);
    assert_eq!(told(EventQuery { after: Some(ids[4]), ..EventQuery::default() }).await?, [""; 0]);
    Ok(())
}

/// Whatever ends Penstock, a receiver misses nothing.
pub async fn a_receiver_of_events_goes_on_where_it_was(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    assert_eq!((store.newest_event().await?, store.list_webhooks().await?), (0, Vec::new()));
    let ids = store.append_events(&[event("1", None), event("2", None)]).await?;
    assert_eq!(store.newest_event().await?, ids[1]);
    let one = WebhookPlace { name: "a".into(), target: "t".into(), after: ids[0], sent: 1, dropped: 0, disabled: None };
    let two = WebhookPlace { name: "b".into(), ..one.clone() };
    store.put_webhook(&two).await?;
    store.put_webhook(&one).await?;
    let moved = WebhookPlace { after: ids[1], sent: 2, dropped: 7, disabled: Some("410".into()), target: "u".into(), ..one };
    store.put_webhook(&moved).await?;
    drop(store);
    let store = place().await?;
    assert_eq!(store.list_webhooks().await?, [moved.clone(), two]);
    store.remove_webhook("b").await?;
    store.remove_webhook("nobody").await?;
    assert_eq!(store.list_webhooks().await?, [moved]);
    Ok(())
}

/// Ids are given once.
pub async fn writers_at_the_same_time_share_no_id(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let store = place().await?;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.push(base::tasks::spawn("writer", async move {
            for _ in 0..EACH {
                let text = format!("{writer}");
                drop(store.append_events(&[event(&text, None), event(&text, None)]).await);
            }
        }));
    }
    for task in tasks {
        task.join().await;
    }
    let told = store.list_events(EventQuery::default()).await?;
    assert_eq!(told.len(), WRITERS * EACH * 2);
    assert!(told.is_sorted_by(|a, b| a.id < b.id));
    assert!(told.chunks(2).all(|pair| pair[0].message == pair[1].message), "a batch stays together");
    Ok(())
}

/// Bounded, and what runs is never forgotten.
pub async fn operations_are_listed_newest_first_and_finished_ones_make_room(
    place: impl AsyncFn() -> Result<Store, Error>,
) -> Result<(), Error> {
    const STORED: i64 = 1_010;
    const KEPT: usize = 1_000;
    let store = place().await?;
    let target = name("a")?;
    let running = operation("running", &target, 0, OperationState::Running);
    let mut failed = operation("failed", &target, STORED + 1, OperationState::Running);
    store.put_operation(&running).await?;
    for at in 1..=STORED {
        store.put_operation(&operation(&format!("o{at}"), &target, at, OperationState::Succeeded)).await?;
    }
    store.put_operation(&failed).await?;
    failed = operation("failed", &target, STORED + 1, OperationState::Failed);
    store.put_operation(&failed).await?;
    assert_eq!(store.get_operation(&failed.id).await?, Some(failed.clone()), "replaced");
    assert_eq!(store.get_operation(&running.id).await?, Some(running));
    let all = store.list_operations(u32::MAX).await?;
    assert_eq!(all.len(), KEPT + 1);
    let newest: Vec<&str> = all.iter().take(2).map(|o| o.id.as_str()).collect();
    assert_eq!(newest, ["failed", "o1010"]);
    assert_eq!(store.list_operations(1).await?, [failed]);
    Ok(())
}

/// A batch may be sent again, with more behind it, and by another journal.
pub async fn a_call_is_counted_once_however_often_it_is_sent(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let rows = [usage("same", 10, "a", Ending::Completed), usage("same", 10, "a", Ending::Cancelled)];
    assert_eq!(store.book_calls(7, 0, &rows).await?, 2, "a client may use an id twice");
    assert_eq!(store.book_calls(7, 0, &rows).await?, 0);
    let more = [rows[1].clone(), usage("r3", 12, "a", Ending::Failed)];
    assert_eq!(store.book_calls(7, 1, &more).await?, 1);
    assert_eq!(store.book_calls(7, 3, &[]).await?, 0);
    assert_eq!(store.journal_place(7).await?, 3);
    assert_eq!(store.book_calls(8, 0, &rows).await?, 2, "another journal has places of its own");
    assert_eq!(store.book_calls(7, 9, &rows).await?, 2, "what is lost in between stays lost");
    drop(store);
    let store = place().await?;
    assert_eq!(store.journal_place(7).await?, 11);
    let totals = store.usage_sums(&all(vec![GroupBy::Model])).await?;
    assert_eq!(totals.iter().map(|t| (t.calls, t.completed)).collect::<Vec<_>>(), [(7, 3)]);
    let calls = store.list_calls(&every_call()).await?;
    assert_eq!(calls.len(), 7);
    assert_eq!(calls[0].call, rows[0], "they come back as they were");
    Ok(())
}

fn all(by: Vec<GroupBy>) -> UsageQuery {
    UsageQuery { from: Timestamp::from_millis(0), to: Timestamp::from_millis(i64::MAX), by, most: 100 }
}

fn every_call() -> CallQuery {
    CallQuery { from: Timestamp::from_millis(0), to: Timestamp::from_millis(i64::MAX), request_id: None, after: None, limit: 100 }
}

/// The start belongs to the span, its end does not.
pub async fn usage_is_summed_over_a_span_of_time(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let rows = [
        usage("r1", 10, "a", Ending::Completed),
        usage("r2", 20, "b", Ending::Rejected),
        usage("r3", 29, "b", Ending::Completed),
        usage("r4", 30, "b", Ending::Completed),
    ];
    store.book_calls(1, 0, &rows).await?;
    let span = |from, to| UsageQuery { from: Timestamp::from_millis(from), to: Timestamp::from_millis(to), ..all(vec![GroupBy::Model]) };
    let totals = store.usage_sums(&span(10, 30)).await?;
    let sums: Vec<_> = totals
        .iter()
        .map(|t| (t.keys[0].as_deref().unwrap_or_default(), t.calls, t.completed, t.prompt_tokens, t.completion_tokens))
        .collect();
    assert_eq!(sums, [("b", 2, 1, 20, 10), ("a", 1, 1, 10, 5)], "the busiest first");
    assert_eq!(store.usage_sums(&span(31, 99)).await?, []);
    Ok(())
}

/// An end without warning loses nothing that was answered, and leaves nothing half done.
pub async fn what_was_stored_survives_a_drop_without_a_close(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let wish = wish("a")?;
    let record = store.create_deployment(&wish, Origin::Api).await?;
    let intent = kept("i1", &wish.name, store.next_fence().await?);
    store.put_instance(&intent).await?;
    store.append_events(&[event("1", Some(&wish.name))]).await?;
    // A caller that goes away in the middle of a change.
    let batch = [event("2", None), event("3", None)];
    assert!(given_up(store.append_events(&batch)).await, "it waits for the database");
    drop(store);

    let store = place().await?;
    assert_eq!(store.get_deployment(&wish.name).await?, Some(record));
    assert_eq!(store.list_instances().await?, [intent]);
    let told = store.list_events(EventQuery::default()).await?.len();
    assert!(told == 1 || told == 3, "a batch is stored as a whole or not at all, not {told}");
    Ok(())
}

/// Begins a future and gives it up; `true` when it had not finished.
async fn given_up<T>(future: impl Future<Output = T>) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Not a hang, not a panic.
pub async fn a_closed_store_says_so(place: impl AsyncFn() -> Result<Store, Error>) -> Result<(), Error> {
    let store = place().await?;
    let other = store.clone();
    store.close().await;
    store.close().await;
    let (read, written) = (other.list_deployments().await, other.next_fence().await);
    assert!(matches!(&read, Err(Error::Closed)), "{read:?}");
    assert!(matches!(&written, Err(Error::Closed)), "{written:?}");
    assert_eq!(place().await?.list_deployments().await?, [], "it can be opened again while old handles are still about");
    Ok(())
}
