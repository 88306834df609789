//! Which secrets are there, and what do they say?
//!
//! In: a store, the master key; names and values. Out: values, to those inside who need them, from memory; names and dates to everybody else. Fails: at the
//! start, when there are secrets that the given keys do not open. Holds: all values in memory; one change at a time. Waits: for the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use base::{Secret, Timestamp};
use spec::Name;
use store::{KeptSecret, Store};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Error;
use crate::master::{Keys, MasterKey};
use crate::seal::Key;

/// Longer than any key; a certificate with its chain fits.
const MOST: usize = 64 << 10;

/// A secret by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it is called.
    pub name: Name,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When it was last given another value.
    pub updated_at: Timestamp,
}

/// The secrets; cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    store: Store,
    master: MasterKey,
    known: RwLock<Known>,
    turn: Semaphore,
}

struct Known {
    keys: Keys,
    values: BTreeMap<Name, (Held, Secret)>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("secrets", &self.list().len()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens all that is kept. What is wrapped by an older key, as after a rotation that was cut off, is wrapped by the present one.
    pub async fn open(store: Store, master: MasterKey) -> Result<Self, Error> {
        let rows = store.list_secrets().await?;
        let mut keys = master.keys(rows.is_empty())?;
        let mut values = BTreeMap::new();
        all_named(&rows, &keys)?;
        for row in &rows {
            let value = opened(row, &data_key(row, &keys)?)?;
            let broken = || Error::Broken { name: row.name.clone() };
            let name = Name::parse(&row.name).map_err(|_no_name| broken())?;
            values.insert(name.clone(), (Held { name, created_at: row.created_at, updated_at: row.updated_at }, value));
        }
        wrap_anew(&store, rows, &keys).await?;
        master.forget_older(&mut keys)?;
        Ok(Self(Arc::new(Inner { store, master, known: RwLock::new(Known { keys, values }), turn: Semaphore::new(1) })))
    }

    /// Whether it could be opened with this master key; nothing is made or written.
    pub async fn check(store: &Store, master: &MasterKey) -> Result<(), Error> {
        let rows = store.list_secrets().await?;
        match master {
            MasterKey::Own(_) if rows.is_empty() => Ok(()),
            master => all_named(&rows, &master.keys(false)?),
        }
    }

    /// What it says.
    pub fn get(&self, name: &str) -> Option<Secret> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values.iter().find(|(held, _)| held.as_str() == name).map(|(_, (_, value))| value.clone())
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Held> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values.values().map(|(held, _)| held.clone()).collect()
    }

    /// Stores it, or gives it another value. Whether it is new.
    pub async fn put(&self, name: &Name, value: Secret) -> Result<(Held, bool), Error> {
        if !(1..=MOST).contains(&value.expose().len()) {
            return Err(Error::Size { most: MOST, found: value.expose().len() });
        }
        let _turn = self.turn().await;
        let (keys, before) = {
            let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
            (known.keys.clone(), known.values.get(name).map(|(held, _)| held.created_at))
        };
        let (now, key) = (Timestamp::now(), Key::random()?);
        let row = KeptSecret {
            name: name.to_string(),
            master: keys.present.name.clone(),
            wrapped: keys.present.key.seal(&purpose("key", name.as_str()), key.bytes())?,
            sealed: key.seal(&purpose("value", name.as_str()), value.expose().as_bytes())?,
            created_at: before.unwrap_or(now),
            updated_at: now,
        };
        self.0.store.put_secret(&row).await?;
        let held = Held { name: name.clone(), created_at: row.created_at, updated_at: now };
        self.known().values.insert(name.clone(), (held.clone(), value));
        Ok((held, before.is_none()))
    }

    /// Forgets it.
    pub async fn remove(&self, name: &Name) -> Result<(), Error> {
        let _turn = self.turn().await;
        if !self.0.store.remove_secret(name.as_str()).await? {
            return Err(Error::Unknown(name.clone()));
        }
        self.known().values.remove(name);
        Ok(())
    }

    /// Wraps all data keys by a new master key: one that is made here, or the first one in the operator's file now. How many there are.
    pub async fn rotate(&self) -> Result<usize, Error> {
        let _turn = self.turn().await;
        let now = self.0.known.read().unwrap_or_else(PoisonError::into_inner).keys.clone();
        let mut next = self.0.master.next(&now).map_err(Error::of_rotation)?;
        if next.named(&now.present.name).is_some() {
            self.known().keys = next.clone(); // both are there from now on, however far this comes: the next rotation leaves none out
        }
        let rows = self.0.store.list_secrets().await?;
        let count = rows.len();
        wrap_anew(&self.0.store, rows, &next).await?;
        self.0.master.forget_older(&mut next).map_err(Error::of_rotation)?;
        self.known().keys = next;
        Ok(count)
    }

    fn known(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.turn.acquire().await.ok() // it is never closed
    }
}

/// Whether each of them is wrapped by one of these.
fn all_named(rows: &[KeptSecret], keys: &Keys) -> Result<(), Error> {
    let strange: Vec<&KeptSecret> = rows.iter().filter(|row| keys.named(&row.master).is_none()).collect();
    match strange.first() {
        Some(first) => Err(Error::WrongKey { count: strange.len(), name: first.name.clone() }),
        None => Ok(()),
    }
}

/// Wraps by the present key what is wrapped by another one: all of it, or nothing.
async fn wrap_anew(store: &Store, rows: Vec<KeptSecret>, keys: &Keys) -> Result<(), Error> {
    let mut anew = Vec::new();
    for row in rows.into_iter().filter(|row| row.master != keys.present.name) {
        let wrapped = keys.present.key.seal(&purpose("key", &row.name), data_key(&row, keys)?.bytes())?;
        anew.push(KeptSecret { master: keys.present.name.clone(), wrapped, ..row });
    }
    if !anew.is_empty() {
        store.rewrap_secrets(&anew).await?;
        tracing::info!(secrets = anew.len(), "secrets are sealed by another master key now");
    }
    Ok(())
}

fn data_key(row: &KeptSecret, keys: &Keys) -> Result<Key, Error> {
    let master = keys.named(&row.master).ok_or_else(|| Error::WrongKey { count: 1, name: row.name.clone() })?;
    let key = master.key.open(&purpose("key", &row.name), &row.wrapped).and_then(|bytes| Key::from_bytes(&bytes));
    key.ok_or_else(|| Error::Broken { name: row.name.clone() })
}

fn opened(row: &KeptSecret, key: &Key) -> Result<Secret, Error> {
    let text = key.open(&purpose("value", &row.name), &row.sealed).and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Secret::new).ok_or_else(|| Error::Broken { name: row.name.clone() })
}

/// What is sealed for one name opens under no other.
fn purpose(of: &str, name: &str) -> String {
    format!("penstock secret {of}\0{name}")
}
