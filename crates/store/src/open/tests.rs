//! What happens when the disk is full, and when two changes meet.

use base::{Fault as _, Kind};
use spec::{Event, EventKind};

use super::*;
use crate::events::EventQuery;

/// As if the disk ended where the file does, for the connection that writes next.
async fn fill(store: &Store) -> Result<(), Error> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(store.writer()).await?;
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(store.writer()).await?;
    Ok(())
}

/// A change that SQLite takes back as a whole where there is no room for it, and not only its last step.
async fn put(store: &Store, key: &str, value: &str) -> Result<(), Error> {
    let mut change = store.begin().await?;
    sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?)").bind(key).bind(value).execute(&mut *change).await?;
    Ok(change.commit().await?)
}

async fn keys(store: &Store) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar("SELECT key FROM meta ORDER BY key").fetch_all(store.reader()).await?)
}

#[tokio::test]
async fn a_full_disk_refuses_each_change_and_loses_nothing() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("penstock.db");
    let store = Store::open(&path).await?;
    let (event, large) = (Event::now(EventKind::Started, spec::Cause::Penstock, "x".repeat(100_000)), "x".repeat(100_000));
    for _ in 0..3 {
        fill(&store).await?;
        let put = put(&store, "large", &large).await;
        fill(&store).await?;
        let appended = store.append_events(std::slice::from_ref(&event)).await.map(drop);
        for refused in [put, appended] {
            let Err(error) = refused else { panic!("it must be refused") };
            assert!(matches!(error, Error::Full(_)), "{error:?}");
            assert_eq!(error.kind(), Kind::Unavailable);
            assert!(error.hint().unwrap_or_default().contains("free some space"));
        }
        drop(store.begin().await?); // given up by whoever began it
        assert_eq!(keys(&store).await?, ["installation"], "what was stored is still there");
    }
    sqlx::query("PRAGMA max_page_count = 100000").execute(store.writer()).await?;
    assert_eq!(store.append_events(&[event]).await?, [1], "and it goes on when there is space again");
    put(&store, "large", &large).await?;
    let there = (1, vec!["installation".to_owned(), "large".to_owned()]);
    assert_eq!((store.list_events(EventQuery::default()).await?.len(), keys(&store).await?), there, "which others see");
    store.close().await;
    let store = Store::open(&path).await?;
    assert_eq!((store.list_events(EventQuery::default()).await?.len(), keys(&store).await?), there, "and which stays");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_sqlite_has_let_down_makes_room_for_one_like_it() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await?;
    let set = async |pragma: &str| -> Result<i64, Error> {
        let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}")));
        Ok(asked.fetch_one(store.writer()).await?)
    };
    let own = ["synchronous", "foreign_keys", "wal_autocheckpoint", "busy_timeout"];
    let mut before = Vec::new();
    for pragma in own {
        before.push(set(pragma).await?);
    }
    fill(&store).await?;
    let limited = set("max_page_count").await?;
    drop(store.begin().await?);
    assert_eq!(set("max_page_count").await?, limited, "who gives a change up gives the same connection back");
    let mut change = store.begin().await?;
    sqlx::query("ROLLBACK").execute(&mut *change).await?; // as SQLite does by itself
    drop(change);
    assert_ne!(set("max_page_count").await?, limited);
    for (pragma, before) in own.into_iter().zip(before) {
        assert_eq!(set(pragma).await?, before, "{pragma}");
    }
    put(&store, "a", "b").await
}

#[tokio::test]
async fn who_only_looks_sees_what_is_there_beside_whoever_has_it_and_makes_nothing() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("penstock.db");
    let names = || -> Vec<_> {
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let seen = async || -> Result<usize, Error> {
        let store = Store::look(&path).await?.expect("of this version");
        let seen = store.list_events(EventQuery::default()).await?.len();
        let refused = store.append_events(&[Event::now(EventKind::Started, spec::Cause::Penstock, "up")]).await;
        assert!(!path.exists() || matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
        store.close().await;
        Ok(seen)
    };
    assert_eq!((seen().await?, names().len()), (0, 0));
    let store = Store::open(&path).await?;
    store.append_events(&[Event::now(EventKind::Started, spec::Cause::Penstock, "up")]).await?;
    let there = names();
    assert_eq!((seen().await?, names()), (1, there));
    store.close().await;
    assert_eq!((seen().await?, names()), (1, vec!["penstock.db".into(), "penstock.db.lock".into()]));
    Ok(())
}

#[tokio::test]
async fn readers_cannot_write() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await?;
    let refused = sqlx::query("DELETE FROM meta").execute(store.reader()).await.map_err(Error::from);
    assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_reader_sees_what_was_just_written_while_a_change_is_under_way() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await?;
    let id = store.installation_id().await?;
    let mut change = store.begin().await?;
    sqlx::query("UPDATE meta SET value = 'other' WHERE key = 'installation'").execute(&mut *change).await?;
    assert_eq!(store.installation_id().await?, id, "not before the commit");
    change.commit().await?;
    assert_eq!(store.installation_id().await?, "other");
    Ok(())
}

#[tokio::test]
async fn the_log_is_folded_by_the_way_and_stays_short_however_many_changes_come() -> Result<(), Error> {
    const FEW: usize = 128; // of some five pages each: far fewer than those after which a change folds it
    const MANY: usize = 3_000;
    const MOST_LOG: u64 = 24 << 20; // half as much again as where a change folds it
    const PATIENCE: Duration = Duration::from_mins(1);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("penstock.db");
    let store = Store::open(&path).await?;
    let event = Event::now(EventKind::Started, spec::Cause::Penstock, "x".repeat(8 << 10));
    let len = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
    let before = len(&path);
    for _ in 0..FEW {
        store.append_events(std::slice::from_ref(&event)).await?;
    }
    let folded = async {
        while len(&path) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, folded).await.expect("folded, though nothing else is changed");
    for _ in 0..MANY {
        store.append_events(std::slice::from_ref(&event)).await?;
    }
    let log = len(&dir.path().join("penstock.db-wal"));
    assert!(log < MOST_LOG, "{log}");
    store.close().await;
    Ok(())
}

/// Niceness of the threads whose name begins so; field 19 of proc_pid_stat(5).
fn niceness(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let of = |stat: String| {
        let (before, after) = stat.rsplit_once(')')?;
        let nice = after.split_whitespace().nth(16)?.parse().ok()?;
        before.split_once('(')?.1.starts_with(name).then_some(nice)
    };
    stats.filter_map(of).collect()
}

#[tokio::test]
async fn what_writes_down_makes_way_for_what_serves() -> Result<(), Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(dir.path().join("penstock.db")).await?;
    let journal = crate::Journal::open(store.clone(), crate::JournalConfig::new(dir.path().join("usage"))).await?;
    // Who runs all of this with less than they would be given leaves them there.
    let own = rustix::process::getpriority_process(None).expect("a niceness");
    let made_way = crate::threads::NICE.max(own);
    for name in ["database-", "usage-"] {
        let all_make_way = || {
            let found = niceness(name);
            !found.is_empty() && found.iter().all(|nice| *nice == made_way)
        };
        // Those of other tests come up meanwhile and need a moment, as ours do.
        let mut looks = 0;
        while !all_make_way() {
            looks += 1;
            assert!(looks < 6_000, "{name}: {:?}", niceness(name));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    assert!(niceness("open::").iter().all(|nice| *nice == own), "and nobody else does");
    journal.close().await;
    Ok(())
}
