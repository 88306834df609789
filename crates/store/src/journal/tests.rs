//! Nothing that was written is lost, and nothing comes twice: after a cut anywhere, a flipped byte, a
//! database that stalls, a disk quota, a restart.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use base::Timestamp;
use proptest::prelude::*;
use sqlx::Connection as _;
use tempfile::TempDir;

use super::record::Records;
use super::segment::{HEAD, Head};
use super::*;
use crate::contract::sample;
use crate::events::EventQuery;
use crate::usage::{CallQuery, text};

const LONG: Duration = Duration::from_mins(2);
const SHORT: Duration = Duration::from_millis(100);

fn call(number: u64) -> Usage {
    let mut call = sample::usage(&format!("request-{number}"), 1_700_000_000_000, "tiny", spec::Ending::Completed);
    call.prompt_tokens = number;
    call
}

/// The numbers of all calls in the database, in the order of their places.
async fn booked(store: &Store) -> Vec<u64> {
    let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let (mut numbers, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_calls(&CallQuery { from, to, request_id: None, after, limit: 10_000 }).await.unwrap();
        let Some(last) = page.last() else { return numbers };
        after = Some(last.place);
        numbers.extend(page.iter().map(|booked| booked.call.prompt_tokens));
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn dir(&self) -> PathBuf {
        self.0.path().join("journal")
    }
    async fn store(&self) -> Store {
        Store::open(self.0.path().join("penstock.db")).await.unwrap()
    }
    async fn journal(&self, store: &Store, quota: ByteSize) -> Journal {
        Journal::open(store.clone(), JournalConfig { dir: self.dir(), quota }).await.unwrap()
    }
    /// Keeps all others from writing to the database until it is dropped.
    async fn stall(&self) -> sqlx::SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.0.path().join("penstock.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        connection
    }
    fn files(&self) -> Vec<segment::Segment> {
        segment::list(&self.dir()).unwrap()
    }
}

/// A segment with so many calls, and where each of its records ends.
fn segment_of(dir: &Path, first: u64, count: u64) -> Vec<usize> {
    segment::make_folder(dir).unwrap();
    let mut file = segment::create(dir, Head { journal: 7, first }).unwrap();
    let (mut bytes, mut ends) = (Vec::new(), vec![HEAD]);
    for number in first..first + count {
        assert!(record::append(&mut bytes, |out| text::encode(&call(number), out)));
        ends.push(HEAD + bytes.len());
    }
    file.write_all(&bytes).unwrap();
    ends
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_journal_that_is_cut_anywhere_goes_on_behind_its_last_whole_row(count in 0..12_u64, cut in 0.0..1.0_f64, zeros in 0..200_usize) {
        let place = Place::new();
        let ends = segment_of(&place.dir(), 0, count);
        let path = place.files()[0].path.clone();
        let whole_file = fs::metadata(&path).unwrap().len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a few kilobytes")]
        let at = (whole_file as f64 * cut) as usize;
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(at as u64).unwrap();
        // A file system may leave zeros behind what it has lost.
        file.set_len((at + zeros) as u64).unwrap();
        let whole = ends.iter().filter(|end| **end <= at).count().saturating_sub(1) as u64;

        let numbers = runtime().block_on(async {
            let store = place.store().await;
            let journal = place.journal(&store, JournalConfig::QUOTA).await;
            journal.append(&call(1_000));
            journal.append(&call(1_001));
            assert!(journal.flush(LONG).await);
            assert_eq!(journal.stand().lost, 0);
            booked(&store).await
        });
        let expected: Vec<u64> = (0..whole).chain([1_000, 1_001]).collect();
        prop_assert_eq!(numbers, expected);
    }

    #[test]
    fn records_come_back_whole_from_any_piece_and_a_flipped_byte_ends_them(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..10), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = Vec::new();
        for text in &texts {
            let done = record::append(&mut bytes, |out| {
                out.extend_from_slice(text);
                Ok::<(), ()>(())
            });
            prop_assert!(done);
        }
        let read: Vec<&[u8]> = Records::new(&bytes).collect();
        prop_assert_eq!(&read, &texts);
        let end = at.index(bytes.len() + 1);
        let part: Vec<&[u8]> = Records::new(&bytes[..end]).collect();
        prop_assert_eq!(&part[..], &read[..part.len()]);
        if !bytes.is_empty() {
            let mut flipped = bytes.clone();
            let place = at.index(bytes.len());
            flipped[place] ^= 1 << bit;
            let part: Vec<&[u8]> = Records::new(&flipped).collect();
            prop_assert!(part.len() < texts.len());
            prop_assert_eq!(&part[..], &read[..part.len()], "what stands before it is not touched");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_callers_all_come_in_once_and_drained_files_go() {
    const CALLERS: u64 = 8;
    const EACH: u64 = 2_000;
    let place = Place::new();
    let store = place.store().await;
    let journal = place.journal(&store, ByteSize::mib(4)).await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let journal = journal.clone();
            tasks::spawn("caller", async move {
                for number in 0..EACH {
                    journal.append(&call(caller * EACH + number));
                    if number % 256 == 0 {
                        assert!(journal.flush(LONG).await);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().await;
    }
    assert!(journal.flush(LONG).await);
    let mut numbers = booked(&store).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..CALLERS * EACH).collect::<Vec<_>>());
    let stand = journal.stand();
    assert_eq!((stand.behind, stand.lost, stand.alarm), (0, 0, None));
    let bytes: u64 = place.files().iter().map(|file| file.len).sum();
    assert_eq!(stand.bytes, bytes);
    assert!(bytes < 2 << 20, "{bytes} bytes are left of some 3 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_stalls_rows_gather_and_come_in_afterwards() {
    let place = Place::new();
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    let stalled = place.stall().await;
    for number in 0..500 {
        journal.append(&call(number));
    }
    assert!(!journal.flush(SHORT).await, "nobody can write");
    assert_eq!(journal.stand().behind, 500);
    assert_eq!(journal.stand().alarm, None, "that is what it is for");
    drop(stalled);
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_drained_before_the_end_comes_in_after_the_next_start() {
    let place = Place::new();
    {
        let store = place.store().await;
        let journal = place.journal(&store, JournalConfig::QUOTA).await;
        journal.append(&call(0));
        assert!(journal.flush(LONG).await);
        let stalled = place.stall().await;
        journal.append(&call(1));
        journal.append(&call(2));
        assert!(!journal.flush(SHORT).await);
        journal.close().await;
        journal.append(&call(3));
        assert_eq!(journal.stand().lost, 1, "it is closed");
        drop(stalled);
        store.close().await;
    }
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 2]);
    journal.append(&call(4));
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 2, 4]);
}

/// Appends until rows are lost; how many.
async fn fill(journal: &Journal) -> u64 {
    let alarmed = tokio::time::timeout(LONG, async {
        let mut sent = 0;
        while journal.stand().alarm.is_none() || journal.stand().lost < 10 {
            journal.append(&call(sent));
            sent += 1;
            if sent % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await; // a busy gateway, but not a faster one than its disk
            }
        }
        sent
    });
    alarmed.await.expect("an alarm")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_to_the_quota_wherever_the_last_one_ends() {
    const QUOTAS: u64 = 16;
    for quota in (0..QUOTAS).map(|more| ByteSize(JournalConfig::LEAST_QUOTA.0 + 11 * more)) {
        let place = Place::new();
        let store = place.store().await;
        let journal = place.journal(&store, quota).await;
        let _stalled = place.stall().await;
        fill(&journal).await;
        let files = place.files().iter().map(|file| file.len).sum::<u64>();
        assert!(journal.stand().bytes <= quota.0 && files <= quota.0, "{files} and {} of {quota}", journal.stand().bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_quota_rows_are_lost_counted_and_said_and_it_recovers() {
    let place = Place::new();
    let store = place.store().await;
    let quota = JournalConfig::LEAST_QUOTA;
    let journal = place.journal(&store, quota).await;
    let stalled = place.stall().await;
    let sent = fill(&journal).await;
    assert_eq!(journal.stand().alarm, Some(Alarm::Full));
    assert!(journal.stand().bytes <= quota.0 && place.files().iter().map(|file| file.len).sum::<u64>() <= quota.0);
    let lost = journal.stand().lost;
    drop(stalled);
    assert!(journal.flush(LONG).await);
    journal.append(&call(sent));
    assert!(journal.flush(LONG).await);
    let numbers = booked(&store).await;
    assert_eq!(numbers.len() as u64 + lost, sent + 1);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in their order, each once");
    assert_eq!(numbers.last(), Some(&sent), "and it takes rows again");
    let told = tokio::time::timeout(LONG, async {
        loop {
            let events = store.list_events(EventQuery::default()).await.unwrap();
            if let Some(event) = events.into_iter().find(|event| event.message.contains("lost")) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let event = told.await.expect("an event");
    assert!(event.message.contains(&format!("{lost} rows were lost")), "{}", event.message);
    assert_eq!(journal.stand().alarm, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_whose_folder_is_gone_says_so_and_books_every_row_when_it_is_back() {
    let place = Place::new();
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::LEAST_QUOTA).await;
    let away = place.0.path().join("away");
    fs::rename(place.dir(), &away).unwrap();
    let mut sent = 0;
    let alarmed = tokio::time::timeout(LONG, async {
        while journal.stand().alarm.is_none() {
            journal.append(&call(sent)); // the file that is open takes some, the next one cannot be made
            sent += 1;
            tokio::time::sleep(Duration::from_millis(10)).await; // so that what waits in memory fits, however late the thread that writes is
        }
    });
    alarmed.await.expect("an alarm");
    assert_eq!((journal.stand().alarm, journal.stand().lost), (Some(Alarm::Unwritable), 0));
    fs::rename(&away, place.dir()).unwrap();
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, (0..sent).collect::<Vec<_>>());
    assert_eq!(journal.stand().alarm, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_costs_the_rest_of_its_file_and_no_more() {
    let place = Place::new();
    let ends = segment_of(&place.dir(), 0, 10);
    segment_of(&place.dir(), 10, 5);
    let path = place.files()[0].path.clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[ends[4] + 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 2, 3, 10, 11, 12, 13, 14]);
    assert_eq!(journal.stand().lost, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_knows_more_than_the_file_is_not_contradicted() {
    let place = Place::new();
    segment_of(&place.dir(), 0, 3);
    let store = place.store().await;
    let rows: Vec<Usage> = (0..5).map(call).collect();
    // As after a loss of power that cost the file its last two rows.
    store.book_calls(7, 0, &rows).await.unwrap();
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    journal.append(&call(5));
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(journal.stand().lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_in_without_the_drain_hearing_of_it_do_not_come_in_again() {
    let place = Place::new();
    segment_of(&place.dir(), 0, 3);
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    assert!(journal.flush(LONG).await);
    // As when a change is committed and the answer is lost.
    store.book_calls(7, 3, &[call(3), call(4)]).await.unwrap();
    for number in 3..6 {
        journal.append(&call(number));
    }
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 2, 3, 4, 5]);
    journal.append(&call(6));
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await.last(), Some(&6));
    assert_eq!(store.journal_place(7).await.unwrap(), 7);
    assert_eq!(journal.stand().lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_row_that_makes_no_sense_is_left_out_alone() {
    let place = Place::new();
    segment_of(&place.dir(), 0, 2);
    let mut bytes = Vec::new();
    for text in [&b"[1,\"of another kind\"]"[..], b"\xff"] {
        assert!(record::append(&mut bytes, |out| {
            out.extend_from_slice(text);
            Ok::<(), ()>(())
        }));
    }
    assert!(record::append(&mut bytes, |out| text::encode(&call(4), out)));
    fs::OpenOptions::new().append(true).open(&place.files()[0].path).unwrap().write_all(&bytes).unwrap();
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [0, 1, 4]);
    assert_eq!(journal.stand().lost, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_takes_what_an_old_journal_still_has() {
    let place = Place::new();
    segment_of(&place.dir(), 40, 3);
    let store = place.store().await;
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await, [40, 41, 42]);
    assert_eq!(journal.stand().lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_just_being_made_and_a_strangers_file_are_no_obstacle() {
    let place = Place::new();
    segment_of(&place.dir(), 0, 2);
    segment::create(&place.dir(), Head { journal: 8, first: 1 }).unwrap();
    fs::write(place.dir().join("00000000000000000002.journal"), b"PSTK").unwrap();
    fs::write(place.dir().join("notes.txt"), b"mine").unwrap();
    let store = place.store().await;
    // The strange one is the last with a head, so the journal is its.
    let journal = place.journal(&store, JournalConfig::QUOTA).await;
    journal.append(&call(9));
    assert!(journal.flush(LONG).await);
    assert_eq!(booked(&store).await.last(), Some(&9));
    assert!(place.dir().join("notes.txt").exists());
    let aside =
        fs::read_dir(place.dir()).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "damaged"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn a_burst_of_rows_comes_in_and_says_what_a_row_costs() {
    // Printed for people: the figure depends on the machine and the build.
    const ROWS: u32 = 20_000;
    let place = Place::new();
    runtime().block_on(async {
        let store = place.store().await;
        let journal = place.journal(&store, JournalConfig::QUOTA).await;
        let row = call(1);
        let began = std::time::Instant::now();
        for _ in 0..ROWS {
            journal.append(&row);
        }
        println!("append: {:?} a row", began.elapsed() / ROWS);
        let began = std::time::Instant::now();
        assert!(journal.flush(LONG).await);
        println!("drain: {:?} a row", began.elapsed() / ROWS);
        assert_eq!(booked(&store).await.len(), ROWS as usize);
    });
}
