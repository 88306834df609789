//! A token that was taken back opens nothing, at once and for good, whoever is at work at that moment.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access::{Access, Error, Mode, NewToken, Patch};
use base::tasks;
use spec::{Limits, Scope};
use store::Store;
use tempfile::TempDir;

async fn house() -> (TempDir, Store, Access) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store.clone(), Mode::Tokens).await.expect("a door");
    (dir, store, access)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_brings_back_a_token_that_was_taken_back_under_load() {
    let (_dir, store, access) = house().await;
    for round in 0..8 {
        let (token, secret) = access.create(NewToken::named("ci")).await.expect("a token");
        let (gone, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (let_in, late) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut busy = Vec::new();
        for _ in 0..2 {
            let (access, secret, gone, over) = (access.clone(), secret.clone(), Arc::clone(&gone), Arc::clone(&over));
            let (let_in, late) = (Arc::clone(&let_in), Arc::clone(&late));
            busy.push(tasks::spawn("caller", async move {
                while !over.load(Ordering::Acquire) {
                    // Looked at before: what is let in after this must not be.
                    let was_gone = gone.load(Ordering::Acquire);
                    if access.verify(Some(secret.expose())).is_ok() {
                        let_in.fetch_add(1, Ordering::Relaxed);
                        late.fetch_add(u64::from(was_gone), Ordering::Relaxed);
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
        for n in 0..6_u32 {
            let (access, id) = (access.clone(), token.id.clone());
            busy.push(tasks::spawn("changer", async move {
                for m in 0..4 {
                    let limits = Limits { concurrency: Some(n * 10 + m + 1), ..Limits::default() };
                    // Some come before the end of the token and some after.
                    drop(access.patch(&id, Patch { limits: Some(limits), ..Patch::default() }).await);
                }
            }));
        }
        while let_in.load(Ordering::Relaxed) < 50 {
            tokio::task::yield_now().await;
        }
        access.revoke(&token.id).await.expect("taken back");
        gone.store(true, Ordering::Release);
        let changers = busy.split_off(2);
        for changer in changers {
            changer.join().await;
        }
        over.store(true, Ordering::Release);
        for caller in busy {
            caller.join().await;
        }
        assert_eq!(late.load(Ordering::Relaxed), 0, "round {round}");
        assert!(matches!(access.verify(Some(secret.expose())), Err(Error::WrongToken)));
        assert!(matches!(access.get(&token.id).await, Err(Error::NotFound(_))));
        assert!(store.list_tokens().await.expect("tokens").is_empty());
    }
}

#[tokio::test]
async fn a_token_is_refused_at_once_however_slow_the_store_is() {
    let (_dir, store, access) = house().await;
    let (token, secret) = access.create(NewToken::named("ci")).await.expect("a token");
    let caller = access.verify(Some(secret.expose())).expect("let in");
    let began = Instant::now();
    {
        let mut revoke = std::pin::pin!(access.revoke(&token.id));
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(revoke.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "the store has not answered yet");
        assert!(matches!(access.verify(Some(secret.expose())), Err(Error::WrongToken)));
        assert!(!caller.still_valid(), "those who are on their way can see it");
        revoke.await.expect("taken back");
    }
    assert!(began.elapsed() < Duration::from_mins(2));
    // A store that is gone: the token stays refused, and whoever asked hears that it would come back.
    let (token, secret) = access.create(NewToken::named("ci")).await.expect("a token");
    store.close().await;
    let failed = access.revoke(&token.id).await;
    assert!(matches!(&failed, Err(Error::NotForgotten { id, .. }) if *id == token.id), "{failed:?}");
    assert!(matches!(access.verify(Some(secret.expose())), Err(Error::WrongToken)));
}

#[tokio::test]
async fn a_token_that_was_taken_back_stays_so_after_a_restart() {
    let (dir, store, access) = house().await;
    let (token, secret) = access.create(NewToken::named("ci")).await.expect("a token");
    access.revoke(&token.id).await.expect("taken back");
    // As after a crash: nothing is closed, all of it is forgotten.
    drop((access, store));
    let store = Store::open(dir.path().join("penstock.db")).await.expect("a store");
    let access = Access::open(store, Mode::Tokens).await.expect("a door");
    assert!(matches!(access.verify(Some(secret.expose())), Err(Error::WrongToken)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_operators_that_take_each_other_back_one_stays() {
    let (_dir, _store, access) = house().await;
    for _ in 0..10 {
        let new = |name| NewToken { scopes: vec![Scope::Admin], ..NewToken::named(name) };
        let (one, two) = tokio::join!(access.create(new("one")), access.create(new("two")));
        let (one, two) = (one.expect("a token").0.id, two.expect("a token").0.id);
        let before = access.list().await.expect("tokens").len();
        let less = Patch { scopes: Some(vec![Scope::Inference]), ..Patch::default() };
        let all: Vec<_> =
            access.list().await.expect("tokens").into_iter().map(|token| token.id).filter(|id| *id != one && *id != two).collect();
        let (revoked, changed) = tokio::join!(access.revoke(&one), access.patch(&two, less));
        for id in all {
            // Those of earlier rounds.
            drop(access.revoke(&id).await);
        }
        let tokens = access.list().await.expect("tokens");
        assert!(tokens.iter().any(|token| token.scopes.contains(&Scope::Admin)), "{before} {revoked:?} {changed:?} {tokens:?}");
    }
}
