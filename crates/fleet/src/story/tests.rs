//! Is anything lost of a story whose store takes nothing for a while?

use spec::{Cause, Event, EventKind};
use tempfile::TempDir;

use super::{MOST_KEPT, Story};
use crate::tests::owner::Store;

fn event(number: usize) -> Event {
    Event::now(EventKind::Started, Cause::Penstock, number.to_string())
}

#[tokio::test]
async fn what_cannot_be_stored_is_kept_for_the_next_turn_up_to_a_number() {
    let dir = TempDir::new().unwrap();
    let real = store::Store::open(dir.path().join("penstock.db")).await.unwrap();
    let (store, fails) = Store::that_may_fail(real);
    let mut story = Story::new(store);
    let mut listener = story.listeners().subscribe();
    fails(true);
    for number in 0..2 {
        story.tell(event(number));
    }
    story.flush().await;
    story.tell(event(2));
    story.flush().await;
    assert!(listener.try_recv().is_err(), "nobody hears of what has no number yet");
    fails(false);
    story.flush().await;
    let heard: Vec<(u64, String)> = std::iter::from_fn(|| listener.try_recv().ok()).map(|event| (event.id, event.message)).collect();
    assert_eq!(heard, [(1, "0".to_owned()), (2, "1".to_owned()), (3, "2".to_owned())], "all of it, in its order, once");

    fails(true);
    for number in 0..MOST_KEPT + 10 {
        story.tell(event(number));
    }
    story.flush().await;
    assert_eq!((story.pending.len(), story.pending[0].message.as_str()), (MOST_KEPT, "10"), "the newest");
}
