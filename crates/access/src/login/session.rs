//! Which browser is logged in, and for how long still?
//!
//! In: who logged in; then what the browser's cookie holds. Out: a [`Session`]. Fails: with nothing, when it is over: it was not used for
//! `idle`, or is older than `longest`. Holds: all sessions in memory by the hash of what their cookie holds, and in the store; a
//! session that is used is written again at most every [`WRITE_EVERY`]. What stands in the cookie is made here, from chance, after the
//! login: whatever a browser brought along before means nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use base::{Secret, Timestamp, tasks};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use spec::{TokenId, UserId};
use store::{KeptSession, Store};

use super::proof::same;
use crate::text::Hash;

/// Browsers that are logged in at once; one more ends one of whoever has most of them.
pub(super) const MOST: usize = 10_000;
/// Of these, of one user: nobody logs others out by logging in again and again. One more ends the one of theirs that has been idle longest.
pub(super) const MOST_OF_ONE: usize = 100;
/// The end of a session that is used is written again this often.
const WRITE_EVERY: Duration = Duration::from_mins(1);
const COOKIE_BYTES: usize = 32;

/// How long browsers stay logged in.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    /// Without being used.
    pub idle: Duration,
    /// In any case.
    pub longest: Duration,
}

/// Who is behind a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A user, who logged in at a provider.
    User(UserId),
    /// Whoever has typed this very token in: another one that comes in its place is not theirs.
    Token {
        /// Its id.
        id: TokenId,
        /// Its hash.
        hash: String,
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<UserId>,
    },
}

/// For whom a session counts: for the user, also by a token of theirs, else for the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder<'a> {
    User(&'a UserId),
    Token(&'a TokenId),
}

impl Who {
    fn holder(&self) -> Holder<'_> {
        match self {
            Self::User(user) | Self::Token { owner: Some(user), .. } => Holder::User(user),
            Self::Token { id, owner: None, .. } => Holder::Token(id),
        }
    }
}

/// A browser that is logged in.
#[derive(Debug)]
pub struct Session {
    /// Who.
    pub who: Who,
    /// At which provider.
    pub provider: Option<String>,
    /// When it ends in any case.
    pub ends_at: Timestamp,
    /// What the provider is shown when they log out there too; not known any more after a restart.
    pub(crate) id_token: Option<String>,
    hash: Hash,
    seen: AtomicI64,
    written: AtomicI64,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Body {
    who: Who,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    ends_at: Timestamp,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    stay: Stay,
    all: RwLock<HashMap<Hash, Arc<Session>>>,
}

impl Sessions {
    pub(crate) async fn open(store: Store, stay: Stay) -> Result<Self, store::Error> {
        let now = Timestamp::now();
        let kept = store.list_sessions(now).await?;
        let read = |kept: KeptSession| {
            let Body { who, provider, ends_at } = serde_json::from_str(&kept.body).ok()?;
            let (hash, millis) = (Hash::from_hex(&kept.hash)?, now.as_millis());
            let session = Session { who, provider, ends_at, id_token: None, hash, seen: millis.into(), written: millis.into() };
            Some((hash, Arc::new(session)))
        };
        Ok(Self { stay, all: RwLock::new(kept.into_iter().filter_map(read).collect()), store })
    }

    /// Logs a browser in; what its cookie holds is told this once.
    pub(crate) async fn begin(&self, who: Who, provider: Option<(String, String)>) -> Result<Secret, store::Error> {
        let cookie = Secret::new(BASE64.encode(base::id::random_bytes::<COOKIE_BYTES>()));
        let Some(hash) = Hash::of(cookie.expose()) else { return Ok(cookie) };
        let (now, (provider, id_token)) = (Timestamp::now(), provider.unzip());
        let body = Body { who, provider, ends_at: now.plus(self.stay.longest) };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let Body { who, provider, ends_at } = body;
        let millis = now.as_millis();
        let session = Session { who, provider, ends_at, id_token, hash, seen: millis.into(), written: millis.into() };
        self.store.put_session(&KeptSession { hash: hash.to_hex(), until: self.until(&session), body: text }).await?;
        let session = Arc::new(session);
        self.change().insert(hash, Arc::clone(&session));
        self.make_room(&session, now).await?;
        Ok(cookie)
    }

    /// The session of this cookie, if it is not over.
    pub(crate) fn look(&self, cookie: &str) -> Option<Arc<Session>> {
        let session = self.read().get(&Hash::of(cookie)?).map(Arc::clone)?;
        (self.until(&session) > Timestamp::now()).then_some(session)
    }

    /// The same, which is used now.
    pub(crate) fn find(&self, cookie: &str) -> Option<Arc<Session>> {
        let (session, now) = (self.look(cookie)?, Timestamp::now());
        session.seen.fetch_max(now.as_millis(), Ordering::Relaxed);
        let written = session.written.load(Ordering::Relaxed);
        if now.since(Timestamp::from_millis(written)) >= WRITE_EVERY
            && session.written.compare_exchange(written, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.write(&session);
        }
        Some(session)
    }

    /// Logs a browser out: in the store first, so that no restart knows it again.
    pub(crate) async fn end(&self, session: &Session) -> Result<(), store::Error> {
        self.change().remove(&session.hash);
        self.store.delete_sessions(&[session.hash.to_hex()]).await
    }

    /// When it is over unless it is used before.
    fn until(&self, session: &Session) -> Timestamp {
        let seen = Timestamp::from_millis(session.seen.load(Ordering::Relaxed));
        seen.plus(self.stay.idle).min(session.ends_at)
    }

    fn write(&self, session: &Session) {
        let (store, until) = (self.store.clone(), vec![(session.hash.to_hex(), self.until(session))]);
        let write = async move {
            if let Err(error) = store.extend_sessions(&until).await {
                tracing::warn!(error = base::chain(&error), "a session may end early after a restart");
            }
        };
        tasks::spawn("session", write).detach();
    }

    /// After one more has begun.
    async fn make_room(&self, newest: &Session, now: Timestamp) -> Result<(), store::Error> {
        let gone = self.too_many(newest, now);
        if gone.is_empty() {
            return Ok(());
        }
        self.change().retain(|hash, _| !gone.contains(hash));
        self.store.delete_sessions(&gone.iter().map(|hash| hash.to_hex()).collect::<Vec<_>>()).await
    }

    /// Where there are too many: those that are over, and if that is not enough the one that has been idle longest, of the same holder if that one
    /// has too many, else of whoever has most.
    fn too_many(&self, newest: &Session, now: Timestamp) -> Vec<Hash> {
        let (all, holder) = (self.read(), newest.who.holder());
        let of = |holder: Holder<'_>| all.values().filter(|session| session.who.holder() == holder).count();
        if all.len() <= MOST && of(holder) <= MOST_OF_ONE {
            return Vec::new();
        }
        let (alive, over): (Vec<_>, Vec<_>) = all.values().partition(|session| self.until(session) > now);
        let mut held: HashMap<Holder<'_>, usize> = HashMap::new();
        for session in &alive {
            *held.entry(session.who.holder()).or_default() += 1;
        }
        let crowded = match held.get(&holder).copied().unwrap_or(0) {
            theirs if theirs > MOST_OF_ONE => Some(holder),
            _ if alive.len() > MOST => held.into_iter().max_by_key(|(_, count)| *count).map(|(holder, _)| holder),
            _ => None,
        };
        let theirs = alive.iter().filter(|session| Some(session.who.holder()) == crowded && session.hash != newest.hash);
        let idlest = theirs.min_by_key(|session| session.seen.load(Ordering::Relaxed));
        over.iter().copied().chain(idlest.copied()).map(|session| session.hash).collect()
    }

    /// Forgets those that are over. What the store has of a session that is used is written late, so it is asked a while after that.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), store::Error> {
        self.change().retain(|_, session| self.until(session) > now);
        let late = i64::try_from(2 * WRITE_EVERY.as_millis()).unwrap_or(0);
        self.store.forget_sessions_until(Timestamp::from_millis(now.as_millis() - late)).await.map(drop)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.read().len()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Hash, Arc<Session>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, HashMap<Hash, Arc<Session>>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a page of ours sends along with a change, and a page of another site cannot know: it follows from what the cookie holds.
pub fn csrf_token(cookie: &str) -> String {
    BASE64.encode(Sha256::digest(format!("csrf of {cookie}")))
}

/// Whether this is it.
pub fn is_csrf_token(cookie: &str, sent: &str) -> bool {
    same(&csrf_token(cookie), sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAY: Stay = Stay { idle: Duration::from_mins(1), longest: Duration::from_hours(1) };

    async fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(dir.path().join("x.db")).await.expect("a store")
    }

    fn ann() -> Who {
        Who::User(UserId::new("ann"))
    }

    #[tokio::test]
    async fn a_session_survives_a_restart_and_not_its_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        let cookie = sessions.begin(ann(), Some(("corp".to_owned(), "a.b.c".to_owned()))).await.expect("a session");
        let found = sessions.find(cookie.expose()).expect("it is there");
        assert_eq!((&found.who, found.id_token.as_deref()), (&ann(), Some("a.b.c")));
        assert!(sessions.find("another").is_none());
        sessions.store.close().await;
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        let found = sessions.find(cookie.expose()).expect("still there");
        assert_eq!((found.provider.as_deref(), found.id_token.as_deref()), (Some("corp"), None));
        sessions.end(&found).await.expect("ended");
        assert!(sessions.find(cookie.expose()).is_none());
        sessions.store.close().await;
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        assert!(sessions.find(cookie.expose()).is_none());
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_and_in_any_case() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(&dir).await;
        let short = Stay { idle: Duration::ZERO, ..STAY };
        for stay in [short, Stay { longest: Duration::ZERO, ..STAY }] {
            let sessions = Sessions::open(store.clone(), stay).await.expect("sessions");
            let cookie = sessions.begin(ann(), None).await.expect("a session");
            assert!(sessions.find(cookie.expose()).is_none());
        }
    }

    #[tokio::test]
    async fn who_logs_in_again_and_again_ends_their_own_sessions_and_nobody_elses() {
        let dir = tempfile::tempdir().expect("a folder");
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        let bob = sessions.begin(Who::User(UserId::new("bob")), None).await.expect("a session");
        let first = sessions.begin(ann(), None).await.expect("a session");
        // Both have been idle for longer than those that come.
        for session in sessions.read().values() {
            session.seen.fetch_sub(1_000, Ordering::Relaxed);
        }
        let mut last = None;
        for number in 0..MOST_OF_ONE {
            // By tokens of hers, or at the provider: it is she.
            let by_token = Who::Token { id: TokenId::new(format!("t{number}")), hash: String::new(), owner: Some(UserId::new("ann")) };
            let who = if number % 2 == 0 { ann() } else { by_token };
            last = Some(sessions.begin(who, None).await.expect("a session"));
        }
        let there = |cookie: &Secret| sessions.look(cookie.expose()).is_some();
        assert!(there(&bob) && last.as_ref().is_some_and(there), "others stay, and whoever has just come");
        assert!(!there(&first), "of one's own the one goes that has been idle longest");
        assert_eq!(sessions.count(), MOST_OF_ONE + 1);
        assert_eq!(sessions.store.count_sessions().await.expect("sessions"), u64::try_from(MOST_OF_ONE).expect("few") + 1);
    }

    #[tokio::test]
    async fn when_all_together_have_too_many_one_goes_of_whoever_has_most() {
        let dir = tempfile::tempdir().expect("a folder");
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        let now = Timestamp::now();
        let put = |who: Who, number: usize, seen: i64| {
            let hash = Hash::of_any(&format!("{number} of {who:?}"));
            let session = Session {
                who,
                provider: None,
                ends_at: now.plus(STAY.longest),
                id_token: None,
                hash,
                seen: seen.into(),
                written: seen.into(),
            };
            sessions.change().insert(hash, Arc::new(session));
            hash
        };
        let user = |number: usize| Who::User(UserId::new(format!("u{number}")));
        let lonely = put(user(0), 0, now.as_millis() - 2_000);
        let idlest = put(ann(), 0, now.as_millis() - 1_000);
        for number in 1..MOST_OF_ONE {
            put(ann(), number, now.as_millis());
        }
        for number in 0..MOST - MOST_OF_ONE - 1 {
            put(user(1 + number % 1_000), number, now.as_millis());
        }
        assert_eq!(sessions.count(), MOST);
        sessions.begin(Who::User(UserId::new("bob")), None).await.expect("a session");
        assert_eq!(sessions.count(), MOST);
        assert!(sessions.read().contains_key(&lonely), "the only one of somebody stays, however idle");
        assert!(!sessions.read().contains_key(&idlest), "of whoever has most the idlest goes");
    }

    #[tokio::test]
    async fn the_cookie_is_not_in_the_store() {
        let dir = tempfile::tempdir().expect("a folder");
        let sessions = Sessions::open(store(&dir).await, STAY).await.expect("sessions");
        let cookie = sessions.begin(ann(), None).await.expect("a session");
        let kept = sessions.store.list_sessions(Timestamp::now()).await.expect("sessions");
        assert!(kept.iter().all(|kept| kept.hash != cookie.expose() && !kept.body.contains(cookie.expose())) && kept.len() == 1);
    }

    #[test]
    fn the_token_against_forgery_follows_from_the_cookie_and_does_not_tell_it() {
        assert!(is_csrf_token("cookie", &csrf_token("cookie")));
        assert!(!is_csrf_token("cookie", &csrf_token("another")) && !is_csrf_token("cookie", "") && !is_csrf_token("cookie", "cookie"));
    }
}
