//! SQLite keeps the contract of every database, and what is particular to a file.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Fault as _, Kind, Timestamp};
use spec::{Ending, Event, EventKind, Usage};
use store::contract::sample;
use store::{BookedCall, CallQuery, Error, EventQuery, FootprintKey, GroupBy, KeepUsage, Store, UsageQuery};
use tempfile::TempDir;

/// A database of its own in a folder that goes away with the closure.
fn place() -> impl AsyncFn() -> Result<Store, Error> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    async move || Store::open(dir.path().join("penstock.db")).await
}

store::contract!(place());

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("penstock.db");
    (dir, path)
}

async fn refused(path: impl AsRef<Path>) -> Error {
    Store::open(path).await.expect_err("it must not open")
}

#[tokio::test]
async fn two_penstocks_never_share_a_database_and_the_second_is_told_who_has_it() {
    let (_dir, path) = folder();
    let first = Store::open(&path).await.expect("a store");
    let error = refused(&path).await;
    assert!(matches!(&error, Error::Locked { pid: Some(pid), .. } if *pid == std::process::id()), "{error:?}");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains(&format!("stop the process {}", std::process::id())) && hint.contains("data_dir"), "{hint}");
    first.close().await;
    Store::open(&path).await.expect("free again");
}

#[tokio::test]
async fn a_lock_whose_holder_has_died_is_no_obstacle() {
    let (_dir, path) = folder();
    fs::write(path.with_file_name("penstock.db.lock"), "4194999").expect("a leftover");
    Store::open(&path).await.expect("nobody holds it");
}

#[tokio::test]
async fn a_database_of_a_newer_penstock_is_refused() {
    let (_dir, path) = folder();
    let store = Store::open(&path).await.expect("a store");
    store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a connection");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .expect("a later migration");
    pool.close().await;
    let error = refused(&path).await;
    assert!(matches!(&error, Error::Newer { found: 9999, known, .. } if *known < 9999), "{error:?}");
    assert!(error.hint().unwrap_or_default().contains("newer Penstock"));
    // The refusal gave the lock back.
    assert!(matches!(refused(&path).await, Error::Newer { .. }));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_dir, path) = folder();
    let text = "this is a letter, not a database, and it is long enough to look like one\n".repeat(20);
    fs::write(&path, &text).expect("a file");
    let error = refused(&path).await;
    assert!(matches!(&error, Error::Damaged(_)), "{error:?}");
    assert_eq!(fs::read_to_string(&path).expect("still there"), text);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let (dir, _) = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("a file");
    let below_a_file = refused(file.join("data/penstock.db")).await;
    assert!(matches!(&below_a_file, Error::NotWritable { path, .. } if path.starts_with(&file)), "{below_a_file:?}");
    assert_eq!(below_a_file.kind(), Kind::Invalid);
    assert!(below_a_file.hint().unwrap_or_default().contains("data_dir"));
    let a_folder = refused(dir.path()).await;
    assert!(matches!(&a_folder, Error::NotWritable { path, .. } if path == dir.path()), "{a_folder:?}");
}

#[tokio::test]
async fn another_kind_of_database_is_refused_without_showing_its_password() {
    let error = refused("postgres://penstock:hunter2@db/penstock").await;
    assert!(matches!(&error, Error::Unsupported(_)), "{error:?}");
    assert!(error.to_string().contains("postgres") && !format!("{error:?} {error}").contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_path_may_be_written_as_a_url_and_its_folder_is_made() {
    let (dir, _) = folder();
    let path = dir.path().join("new/deep/penstock.db");
    let store = Store::open(format!("sqlite://{}", path.display())).await.expect("a store");
    assert!(path.is_file());
    store.close().await;
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    let (dir, path) = folder();
    fs::write(&path, "").expect("an empty file");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("open to all");
    let store = Store::open(&path).await.expect("a store");
    store.next_fence().await.expect("a fence");
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
        seen += 1;
    }
    assert!(seen >= 3, "database, log and lock, not {seen}");
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let (dir, path) = folder();
    let store = Store::open(&path).await.expect("a store");
    store.append_events(&[Event::now(EventKind::Started, spec::Cause::Penstock, "up")]).await.expect("an event");
    store.close().await;
    let mut names: Vec<_> = fs::read_dir(dir.path()).expect("the folder").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["penstock.db", "penstock.db.lock"], "the log is folded in, so a copy of the file is a copy of all");
    let store = Store::open(&path).await.expect("a store");
    assert_eq!(store.list_events(EventQuery::default()).await.expect("events").len(), 1);
}

/// A database as it was when this migration was the last.
async fn database_of(last: &str, path: &Path) -> sqlx::SqlitePool {
    let before = path.with_file_name("before");
    fs::create_dir(&before).expect("a folder");
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).expect("the migrations") {
        let file = file.expect("a migration");
        let name = file.file_name().into_string().expect("a name");
        if name.split('_').next().is_some_and(|number| number <= last) {
            fs::copy(file.path(), before.join(name)).expect("a copy");
        }
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a connection");
    sqlx::migrate::Migrator::new(before).await.expect("migrations").run(&pool).await.expect("a database of then");
    pool
}

#[tokio::test]
async fn revisions_of_the_version_before_are_kept_with_their_digest() {
    let (_dir, path) = folder();
    let pool = database_of("0008", &path).await;
    let wish = sample::wish("a").expect("a wish");
    sqlx::query("INSERT INTO deployments VALUES ('a', ?, 2, 'api', 0, 5, 7)")
        .bind(serde_json::to_string(&wish).expect("JSON"))
        .execute(&pool)
        .await
        .expect("a wish of then");
    for number in 1..=2 {
        sqlx::query("INSERT INTO revisions VALUES ('a', ?, ?)")
            .bind(number)
            .bind(serde_json::to_string(&sample::revision(&wish, u64::try_from(number).expect("small"))).expect("JSON"))
            .execute(&pool)
            .await
            .expect("a revision of then");
    }
    pool.close().await;
    let store = Store::open(&path).await.expect("it is brought up to date");
    let kept = store.list_revisions(&wish.name).await.expect("revisions");
    let told: Vec<_> = kept.iter().map(|kept| (kept.revision.number, kept.digest.as_deref(), kept.created_at.as_millis())).collect();
    assert_eq!(told, [(2, Some("sha256:aa"), 7), (1, Some("sha256:aa"), 7)]);
    let record = store.get_deployment(&wish.name).await.expect("a read").expect("the wish");
    assert_eq!((record.generation, record.cause.as_str()), (2, ""));
}

#[tokio::test]
async fn a_revision_from_before_models_had_a_body_is_read_and_its_footprint_can_be_kept() {
    let (_dir, path) = folder();
    let pool = database_of("0007", &path).await;
    let wish = sample::wish("a").expect("a wish");
    let mut revision = serde_json::to_value(sample::revision(&wish, 1)).expect("JSON");
    revision["version"].as_object_mut().expect("a version").remove("body").expect("a body, to be left out");
    sqlx::query("INSERT INTO deployments VALUES ('a', ?, 1, 'api', 0, 5, 7)")
        .bind(serde_json::to_string(&wish).expect("JSON"))
        .execute(&pool)
        .await
        .expect("a wish of then");
    sqlx::query("INSERT INTO revisions VALUES ('a', 1, ?)").bind(revision.to_string()).execute(&pool).await.expect("a revision of then");
    pool.close().await;
    let store = Store::open(&path).await.expect("it is brought up to date");
    let read = store.get_revision(&wish.name, 1).await.expect("a read").expect("the revision");
    assert!(read.version.is_some_and(|version| version.body.is_empty()));
    assert_eq!(store.list_footprints().await.expect("footprints"), []);
    let key = FootprintKey { digest: "d".to_owned(), build: "b".to_owned(), arguments: "a".to_owned(), device: "ram".to_owned() };
    store.put_footprint(&key, base::ByteSize(5)).await.expect("room for it");
    assert_eq!(store.list_footprints().await.expect("footprints"), [(key, base::ByteSize(5))]);
}

async fn all_calls(store: &Store) -> Vec<BookedCall> {
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    store.list_calls(&CallQuery { from, to, request_id: None, after: None, limit: 10_000 }).await.expect("calls")
}

#[tokio::test]
async fn calls_of_the_version_before_are_kept_and_summed() {
    let (_dir, path) = folder();
    let pool = database_of("0002", &path).await;
    sqlx::query(
        "INSERT INTO usage VALUES ('r1', 3600001, 't1', NULL, 'tiny', 'chat', 200, 'completed', 10, 5, 0, 120, 30),
            ('r2', 3600002, 't1', 'red', 'tiny', 'chat', 200, 'completed', 10, 5, 1, 120, NULL),
            ('r3', 7200003, NULL, NULL, 'ghost', 'chat', 404, 'rejected', 0, 0, 0, 1, NULL)",
    )
    .execute(&pool)
    .await
    .expect("rows of then");
    pool.close().await;
    let store = Store::open(&path).await.expect("it is brought up to date");
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let calls = all_calls(&store).await;
    let ids: Vec<_> = calls.iter().map(|booked| (booked.call.request_id.as_str(), booked.call.deployment.as_deref())).collect();
    assert_eq!(ids, [("r1", Some("tiny")), ("r2", Some("tiny")), ("r3", None)]);
    let query = UsageQuery { from, to, by: vec![GroupBy::Model, GroupBy::Project], most: 10 };
    let sums = store.usage_sums(&query).await.expect("sums");
    let mut seen: Vec<_> =
        sums.iter().map(|sum| (sum.keys[0].as_deref(), sum.keys[1].as_deref(), sum.calls, sum.prompt_tokens, sum.estimated)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(None, None, 1, 0, 0), (Some("tiny"), None, 1, 10, 0), (Some("tiny"), Some("red"), 1, 10, 1)]);
}

#[tokio::test]
async fn calls_that_were_kept_one_by_one_are_all_there_and_go_on_beside_new_ones() {
    const CALLS: u64 = 500;
    const HOUR: i64 = 3_600_000;
    let (_dir, path) = folder();
    let pool = database_of("0006", &path).await;
    let call = |number: u64| {
        let at = HOUR - 250 + i64::try_from(number).expect("a small number");
        let mut call =
            sample::usage(&format!("r{number}\" \\\n\u{1}\u{e9}"), at, "tiny", Ending::ALL[usize::try_from(number % 4).expect("small")]);
        call.prompt_tokens = number;
        if number.is_multiple_of(2) {
            (call.token, call.deployment, call.first_byte_ms, call.estimated) = (None, None, None, true);
        }
        call
    };
    let calls: Vec<Usage> = (0..CALLS).map(call).collect();
    let mut change = pool.begin().await.expect("a change");
    for (place, call) in (0_i64..).zip(&calls) {
        sqlx::query("INSERT INTO calls VALUES (?, 7, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1234, 120, ?, 7, 1)")
            .bind(call.at.as_millis())
            .bind(place)
            .bind(&call.request_id)
            .bind(&call.token)
            .bind(&call.project)
            .bind(&call.model)
            .bind(&call.deployment)
            .bind(&call.instance)
            .bind(&call.operation)
            .bind(call.status)
            .bind(call.ending.as_str())
            .bind(&call.error)
            .bind(place)
            .bind(3)
            .bind(5)
            .bind(2)
            .bind(call.estimated)
            .bind(call.first_byte_ms.map(|_| 30))
            .execute(&mut *change)
            .await
            .expect("a call of then");
    }
    sqlx::query("INSERT INTO journals VALUES (7, 500)").execute(&mut *change).await.expect("its journal");
    change.commit().await.expect("a commit");
    pool.close().await;
    let store = Store::open(&path).await.expect("it is brought up to date");
    assert!(all_calls(&store).await.into_iter().map(|booked| booked.call).eq(calls.iter().cloned()));
    assert_eq!(store.book_calls(7, CALLS - 1, &[call(CALLS - 1), call(CALLS)]).await.expect("a batch"), 1, "one of them it has");
    let found = all_calls(&store).await;
    assert_eq!(found.last().map(|booked| (&booked.call, booked.place.place)), Some((&call(CALLS), CALLS)));
    // A span that ends within the hour is summed from the calls themselves.
    let (from, to) = (Timestamp::from_millis(HOUR), Timestamp::from_millis(HOUR + 10));
    let sums = store.usage_sums(&UsageQuery { from, to, by: Vec::new(), most: 1 }).await.expect("sums");
    assert_eq!(sums.iter().map(|sum| (sum.calls, sum.prompt_tokens, sum.estimated)).collect::<Vec<_>>(), [(10, (250..260).sum(), 5)]);
    let keep = KeepUsage { calls: Duration::ZERO, hours: Duration::from_hours(9) };
    assert_eq!(store.prune_usage(keep, Timestamp::from_millis(HOUR)).await.expect("a round"), 250, "those of the hour before");
    assert_eq!(all_calls(&store).await, found[250..]);
}

#[tokio::test]
async fn what_was_stored_before_there_was_belonging_belongs_to_no_project() {
    let (_dir, path) = folder();
    let pool = database_of("0017", &path).await;
    let wish = sample::wish("a").expect("a wish");
    let model = spec::Model { versions: Vec::new(), ..sample::model("m").expect("a model") };
    sqlx::query(
        "INSERT INTO deployments (name, spec, generation, origin, deleting, created_at, updated_at) VALUES ('a', ?, 1, 'api', 0, 5, 7)",
    )
    .bind(serde_json::to_string(&wish).expect("JSON"))
    .execute(&pool)
    .await
    .expect("a wish of then");
    sqlx::query("INSERT INTO models (name, body) VALUES ('m', ?)")
        .bind(serde_json::to_string(&model).expect("JSON"))
        .execute(&pool)
        .await
        .expect("a model of then");
    pool.close().await;
    let store = Store::open(&path).await.expect("it is brought up to date");
    let red = sample::project("red").expect("a project");
    store.put_project(&red).await.expect("a project");
    assert!(store.owned_by(&red.name).await.expect("a count").is_nothing());
    assert_eq!(store.get_deployment(&wish.name).await.expect("a read").map(|record| record.spec), Some(wish.clone()));
    let there = store.get_model(&model.name).await.expect("a read").expect("the model");
    let card = spec::Card { project: Some(red.name.clone()), ..there.card.clone() };
    store.put_model(&spec::Model { card, ..there }, &[]).await.expect("it is given one");
    assert_eq!(store.owned_by(&red.name).await.expect("a count").models, [model.name]);
}
