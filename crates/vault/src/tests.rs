//! What is kept can be read by who has the key, and by nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base::{Fault as _, Kind, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use spec::Name;
use store::Store;

use super::{Error, MasterKey, Vault};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    async fn store(&self) -> Store {
        Store::open(self.path("test.db")).await.unwrap()
    }
    fn own(&self) -> MasterKey {
        MasterKey::Own(self.path("master-key"))
    }
    async fn open(&self, master: MasterKey) -> Result<Vault, Error> {
        Vault::open(self.store().await, master).await
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

async fn put(vault: &Vault, of: &str, value: &str) -> bool {
    vault.put(&name(of), Secret::new(value)).await.unwrap().1
}

fn says(vault: &Vault, of: &str) -> Option<String> {
    vault.get(of).map(|secret| secret.expose().to_owned())
}

/// Nothing below a folder holds this text.
fn nowhere(folder: &Path, text: &str) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_secret_survives_a_restart_and_stands_nowhere_as_it_is() {
    let place = Place::new();
    let vault = place.open(place.own()).await.unwrap();
    assert!(put(&vault, "upstream", "sk-one-secret-thing").await);
    assert!(!put(&vault, "upstream", "sk-another-secret").await);
    assert!(put(&vault, "other", "sk-third-secret").await);
    vault.remove(&name("other")).await.unwrap();
    assert!(matches!(vault.remove(&name("other")).await, Err(Error::Unknown(_))));
    assert!(!format!("{vault:?}").contains("sk-"));
    drop(vault);
    for text in ["sk-one-secret-thing", "sk-another-secret", "sk-third-secret"] {
        nowhere(place.0.path(), text);
    }
    let mode = fs::metadata(place.path("master-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let vault = place.open(place.own()).await.unwrap();
    assert_eq!(says(&vault, "upstream").as_deref(), Some("sk-another-secret"));
    assert_eq!((says(&vault, "other"), vault.list().len()), (None, 1));
    let sizes = [String::new(), "x".repeat((64 << 10) + 1)];
    for value in sizes {
        assert!(matches!(vault.put(&name("size"), Secret::new(value)).await, Err(Error::Size { .. })));
    }
}

#[tokio::test]
async fn without_its_master_key_nothing_opens_and_no_other_key_is_made() {
    let place = Place::new();
    put(&place.open(place.own()).await.unwrap(), "a", "sk-secret").await;
    fs::rename(place.path("master-key"), place.path("kept")).unwrap();
    assert!(matches!(place.open(place.own()).await, Err(Error::File { .. })), "a new key would only hide that the old one is gone");
    assert!(!place.path("master-key").exists());
    let other = MasterKey::Given(Secret::new(key(7)));
    assert!(matches!(place.open(other).await, Err(Error::WrongKey { count: 1, .. })));
    let given = MasterKey::Given(Secret::new(fs::read_to_string(place.path("kept")).unwrap()));
    assert_eq!(says(&place.open(given).await.unwrap(), "a").as_deref(), Some("sk-secret"));
    for text in ["", "short", "bm90IDMyIGJ5dGVz", &format!("{} rubbish", key(1))] {
        assert!(matches!(place.open(MasterKey::Given(Secret::new(text))).await, Err(Error::NoKey { .. })), "{text}");
    }
}

#[tokio::test]
async fn what_was_changed_in_the_database_or_moved_to_another_name_does_not_open() {
    let place = Place::new();
    put(&place.open(place.own()).await.unwrap(), "a", "sk-secret").await;
    let store = place.store().await;
    let row = store.list_secrets().await.unwrap().remove(0);
    let changed = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let cases = [
        store::KeptSecret { sealed: changed(&row.sealed), ..row.clone() },
        store::KeptSecret { wrapped: changed(&row.wrapped), ..row.clone() },
        store::KeptSecret { sealed: Vec::new(), ..row.clone() },
        store::KeptSecret { name: "b".to_owned(), ..row.clone() },
    ];
    for case in cases {
        store.put_secret(&case).await.unwrap();
        let opened = Vault::open(store.clone(), place.own()).await;
        assert!(matches!(opened, Err(Error::Broken { name }) if name == case.name));
        store.remove_secret(&case.name).await.unwrap();
        store.put_secret(&row).await.unwrap();
    }
    Vault::open(store.clone(), place.own()).await.unwrap();
}

#[tokio::test]
async fn a_rotation_wraps_everything_by_a_new_key_and_takes_the_old_one_away() {
    let place = Place::new();
    let vault = place.open(place.own()).await.unwrap();
    for n in 0..5 {
        put(&vault, &format!("s{n}"), &format!("value-{n}")).await;
    }
    let before = fs::read_to_string(place.path("master-key")).unwrap();
    assert_eq!(vault.rotate().await.unwrap(), 5);
    put(&vault, "s5", "value-5").await;
    drop(vault);
    let after = fs::read_to_string(place.path("master-key")).unwrap();
    assert!(after != before && after.lines().count() == 1, "one key, and another one");
    assert!(matches!(place.open(MasterKey::Given(Secret::new(before))).await, Err(Error::WrongKey { count: 6, .. })));
    let vault = place.open(place.own()).await.unwrap();
    for n in 0..6 {
        assert_eq!(says(&vault, &format!("s{n}")), Some(format!("value-{n}")));
    }
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_is_mended_wherever_it_was() {
    let place = Place::new();
    put(&place.open(place.own()).await.unwrap(), "a", "sk-secret").await;
    let old = fs::read_to_string(place.path("master-key")).unwrap();
    let row = place.store().await.list_secrets().await.unwrap().remove(0);
    let both = format!("{}\n{old}", key(9));
    // 1: the new key is half written, beside the file. 2: both are there, nothing is wrapped anew. 3: everything is, and the old one is still there.
    fs::write(place.path("master-key.new"), "half").unwrap();
    assert_eq!(says(&place.open(place.own()).await.unwrap(), "a").as_deref(), Some("sk-secret"));
    fs::write(place.path("master-key"), &both).unwrap();
    assert_eq!(says(&place.open(place.own()).await.unwrap(), "a").as_deref(), Some("sk-secret"));
    assert_eq!(fs::read_to_string(place.path("master-key")).unwrap().trim(), key(9));
    let anew = place.store().await.list_secrets().await.unwrap().remove(0);
    assert!(anew.master != row.master && anew.sealed == row.sealed && anew.wrapped != row.wrapped);
    fs::write(place.path("master-key"), &both).unwrap();
    assert_eq!(says(&place.open(place.own()).await.unwrap(), "a").as_deref(), Some("sk-secret"));
    assert_eq!(fs::read_to_string(place.path("master-key")).unwrap().trim(), key(9));
}

#[tokio::test]
async fn a_rotation_that_the_disk_does_not_let_happen_is_no_fault_of_whoever_asks_and_changes_nothing() {
    let place = Place::new();
    let vault = place.open(place.own()).await.unwrap();
    put(&vault, "a", "sk-secret").await;
    let before = fs::read_to_string(place.path("master-key")).unwrap();
    let beside = place.path("master-key.new");
    fs::create_dir(&beside).unwrap();
    let failed = vault.rotate().await.unwrap_err();
    assert!(failed.kind() == Kind::Unavailable && !failed.is_disk_full(), "{failed:?}");
    fs::remove_dir(&beside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
    let failed = vault.rotate().await.unwrap_err();
    assert!(failed.kind() == Kind::Unavailable && failed.is_disk_full(), "{failed:?}");
    assert!(!failed.public().contains("master-key"), "where it lies is nobody's business: {}", failed.public());
    assert_eq!(fs::read_to_string(place.path("master-key")).unwrap(), before);
    fs::remove_file(&beside).unwrap();
    assert_eq!(vault.rotate().await.unwrap(), 1);
    drop(vault);
    let nowhere = MasterKey::File(place.path("nowhere"));
    assert_eq!(place.open(nowhere).await.unwrap_err().kind(), Kind::Invalid, "whoever starts it has named the file");
}

#[tokio::test]
async fn after_a_rotation_that_failed_the_keys_are_those_of_the_file() {
    let place = Place::new();
    let store = place.store().await;
    let vault = Vault::open(store.clone(), place.own()).await.unwrap();
    put(&vault, "a", "sk-secret").await;
    let row = store.list_secrets().await.unwrap().remove(0);
    store.put_secret(&store::KeptSecret { wrapped: Vec::new(), ..row.clone() }).await.unwrap();
    assert!(matches!(vault.rotate().await, Err(Error::Broken { .. })));
    assert_eq!(fs::read_to_string(place.path("master-key")).unwrap().lines().count(), 2);
    put(&vault, "b", "sk-other").await;
    let newer = store.list_secrets().await.unwrap().into_iter().find(|row| row.name == "b").unwrap();
    assert_ne!(newer.master, row.master, "by the first key in the file, which the next rotation leaves in it");
    store.put_secret(&row).await.unwrap();
    assert_eq!(vault.rotate().await.unwrap(), 2);
    let vault = Vault::open(store, place.own()).await.unwrap();
    assert_eq!((says(&vault, "a").as_deref(), says(&vault, "b").as_deref()), (Some("sk-secret"), Some("sk-other")));
}

#[tokio::test]
async fn an_operators_file_is_read_again_for_a_rotation_and_never_written() {
    let place = Place::new();
    let file = place.path("keys");
    fs::write(&file, key(1)).unwrap();
    let vault = place.open(MasterKey::File(file.clone())).await.unwrap();
    put(&vault, "a", "sk-secret").await;
    let both = format!("{}\n{}\n", key(2), key(1));
    fs::write(&file, &both).unwrap();
    assert_eq!(vault.rotate().await.unwrap(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), both);
    fs::write(&file, key(3)).unwrap();
    assert!(matches!(vault.rotate().await, Err(Error::WrongKey { .. })), "the key that everything is wrapped by is not in it");
    put(&vault, "b", "sk-other").await;
    drop(vault);
    let vault = place.open(MasterKey::Given(Secret::new(key(2)))).await.unwrap();
    assert_eq!((says(&vault, "a").as_deref(), says(&vault, "b").as_deref()), (Some("sk-secret"), Some("sk-other")));
}
