//! Nobody keeps others waiting, and who leaves is not counted for.

use std::sync::mpsc;

use futures_util::poll;

use super::*;
use crate::tests::house::House;
use crate::tests::soon;

async fn caller(house: &House) -> Arc<Caller> {
    let token = house.token_for(None, spec::Limits::default()).await;
    house.access.verify(Some(&token)).unwrap()
}

fn counter() -> Arc<Counter> {
    Arc::new(Counter::from_gguf(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf")).unwrap())
}

#[tokio::test]
async fn a_holder_works_once_at_a_time_and_others_beside_them() {
    let house = House::new().await;
    let (one, other, turns) = (caller(&house).await, caller(&house).await, Turns::default());
    let (end, ended) = mpsc::channel::<()>();
    let mut first = Box::pin(turns.take(&one, move || ended.recv().is_ok()));
    let mut second = Box::pin(turns.take(&one, || 2));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    assert_eq!(soon(turns.take(&other, || 3)).await, Some(3));
    drop(first);
    assert!(poll!(&mut second).is_pending(), "who asked has left, but the work goes on");
    end.send(()).unwrap();
    assert_eq!(soon(second).await, Some(2));
    assert_eq!(soon(turns.take(&one, || panic!("as if by a defect of the library"))).await, None::<()>);
    assert_eq!(soon(turns.take(&one, || 4)).await, Some(4), "what panicked has given its turn back");
    assert_eq!(turns.holders.lock().unwrap().len(), 1, "nobody is kept who does not work");
}

#[tokio::test]
async fn few_work_at_once_whoever_they_are() {
    let house = House::new().await;
    let (callers, turns) = ([caller(&house).await, caller(&house).await, caller(&house).await], Turns::default());
    let (ends, mut works): (Vec<_>, Vec<_>) = callers[..AT_ONCE]
        .iter()
        .map(|caller| {
            let (end, ended) = mpsc::channel::<()>();
            (end, Box::pin(turns.take(caller, move || ended.recv().is_ok())))
        })
        .unzip();
    for work in &mut works {
        assert!(poll!(work).is_pending());
    }
    let mut third = Box::pin(turns.take(&callers[AT_ONCE], || ()));
    assert!(poll!(&mut third).is_pending());
    ends[0].send(()).unwrap();
    assert_eq!(soon(third).await, Some(()));
    drop(ends);
}

#[tokio::test]
async fn texts_are_counted_to_their_end_or_until_they_are_too_long() {
    let house = House::new().await;
    let (caller, counter, turns) = (caller(&house).await, counter(), Turns::default());
    let long = "The capital of France is Paris. ".repeat(10_000);
    let texts = || Texts::from([Some("What?".to_owned()), Some(long.clone()), None, Some("Paris.".to_owned()), None]);
    let of = |text: &str| counter.count(text);
    let all = soon(count(&turns, &caller, Arc::clone(&counter), texts(), None)).await.unwrap();
    assert_eq!(all.all, of("What?") + of(&long) + of("Paris."));
    assert!(all.longest <= of("What?") + of(&long) && all.longest > of(&long) * 9 / 10, "{all:?}");
    let some = soon(count(&turns, &caller, Arc::clone(&counter), texts(), Some(100))).await.unwrap();
    assert!(some.longest > 100 && some.all < all.all / 3, "{some:?} {all:?}");
}
