//! Runs engines as processes of this machine, each under a keeper of its own.
//!
//! Life of a launch: the order is written into the instance's folder, a keeper is started for it
//! (`start`), and from then on everything is asked of the keeper over its socket (`talk`); a
//! connection that stays open tells of changes (`watch`). A crash of Penstock loses nothing: the
//! folders say which keepers there are, and the keepers know the rest (`look`).
//!
//! In: orders. Out: what is seen. Fails: when a keeper cannot be started, or lives and does not answer.
//! Holds: one connection and one task for each keeper; no lock across a wait. The keepers hold the
//! truth: nothing of it is remembered here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use spec::{InstanceId, Node, Order, Program, RuntimeKind, Seen};

use crate::devices::Devices;
use crate::folder::{self, Folder};
use crate::protocol::{Ask, Reply};
use crate::{Error, LogStream, LogsFrom, Runtime, host};
use talk::Talk;
use watch::Watches;

mod logs;
mod look;
mod start;
mod watch;

mod talk;

/// So many keepers are asked at the same time.
const AT_ONCE: usize = 16;

/// Where and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of all instances' folders.
    pub dir: PathBuf,
    /// This binary; `own keep FOLDER` is a keeper.
    pub own: PathBuf,
    /// A keeper that takes longer to answer is busy or stuck.
    pub answer: Duration,
    /// A keeper that takes longer to come up is given up.
    pub start: Duration,
    /// Whoever knows this machine's devices beside its main memory.
    pub devices: Arc<Devices>,
}

impl Config {
    /// With the usual times: keepers answer within a millisecond and come up within ten; the limits
    /// leave room for a machine that swaps.
    pub fn new(dir: impl Into<PathBuf>, own: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            own: own.into(),
            answer: Duration::from_secs(2),
            start: Duration::from_secs(10),
            devices: Arc::new(Devices::new(Devices::of_this_machine())),
        }
    }
}

/// The process runtime.
#[derive(Debug)]
pub struct ProcessRuntime {
    config: Config,
    watches: Watches,
    launching: Mutex<HashMap<InstanceId, usize>>,
}

/// Where the sockets of an instance stand, given [`Config::dir`]: its folder, or a shorter one where
/// the folder's path is too long for a socket. An engine's socket is `e.sock` in there.
pub fn socket_dir(dir: &Path, id: &InstanceId) -> PathBuf {
    folder::socket_dir(dir, id)
}

impl ProcessRuntime {
    /// Opens the folder of all instances and makes it if it is not there. What runs in it is found by
    /// the first [`Runtime::list`]; what nobody could find, since a crash has left it without its order, is removed.
    pub fn open(mut config: Config) -> Result<Arc<Self>, Error> {
        config.dir = std::path::absolute(&config.dir).map_err(Error::io("find", &config.dir))?;
        folder::private_dir(&config.dir)?;
        for folder in Folder::all(&config.dir)? {
            look::sweep(&folder);
        }
        Ok(Arc::new(Self { config, watches: Watches::new(), launching: Mutex::default() }))
    }

    fn talk<'a>(&self, folder: &'a Folder) -> Talk<'a> {
        Talk { folder, answer: self.config.answer }
    }

    async fn claim(&self, folder: &Folder, fence: u64) -> Result<Claimed, Error> {
        let id = folder.id();
        match self.talk(folder).ask(&Ask::Claim { fence: Some(fence) }).await {
            Ok(Reply::Fenced { actual }) => Err(Error::Fenced { id: id.clone(), given: fence, actual }),
            Ok(_) => Ok(Claimed::Kept),
            Err(error) => {
                let before = look::before(folder.clone()).await?;
                match before {
                    look::Before::Kept => Err(error),
                    look::Before::Ended { fence: actual } | look::Before::Ordered { fence: actual } if actual > fence => {
                        Err(Error::Fenced { id: id.clone(), given: fence, actual })
                    }
                    look::Before::Ended { .. } => Ok(Claimed::Ended),
                    look::Before::Ordered { .. } | look::Before::Nothing => Ok(Claimed::Free),
                }
            }
        }
    }

    async fn look(&self, folder: Folder) -> Result<Option<Seen>, Error> {
        match self.talk(&folder).ask(&Ask::Claim { fence: None }).await {
            Ok(Reply::Seen(seen)) => {
                self.watches.watch(&folder, self.config.answer);
                Ok(Some(*seen))
            }
            _ if self.is_launching(folder.id()) => Ok(None),
            _ => look::without_keeper(folder).await,
        }
    }

    /// Marks a launch as under way for as long as the mark lives.
    fn mark_launching(&self, id: &InstanceId) -> Launching<'_> {
        *self.launching.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
        Launching { runtime: self, id: id.clone() }
    }

    fn is_launching(&self, id: &InstanceId) -> bool {
        self.launching.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }
}

/// What stands in the way of a launch.
enum Claimed {
    /// Nothing.
    Free,
    /// It is there already.
    Kept,
    /// It was there, has ended and has not been stopped.
    Ended,
}

/// A launch under way; a folder without a keeper is not yet a loss.
struct Launching<'a> {
    runtime: &'a ProcessRuntime,
    id: InstanceId,
}

impl Drop for Launching<'_> {
    fn drop(&mut self) {
        let mut all = self.runtime.launching.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.remove(&self.id)),
        }
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn capacity(&self) -> Result<Vec<Node>, Error> {
        let devices = self.config.devices.read().await;
        Ok(vec![Node { name: host::name(), cores: host::cores(), devices }])
    }

    async fn list(&self) -> Result<Vec<Seen>, Error> {
        let folders = look::folders(self.config.dir.clone()).await?;
        let mut looks = futures_util::stream::iter(folders).map(|folder| self.look(folder)).buffer_unordered(AT_ONCE);
        let mut seen = Vec::new();
        while let Some(one) = looks.next().await {
            match one {
                Ok(found) => seen.extend(found),
                // Then this says nothing of the instance, which may well live.
                Err(error) if error.is_shortage() => return Err(error),
                // One folder that cannot be read must not hide the others.
                Err(error) => tracing::error!(error = base::chain(&error), "an instance's folder cannot be read"),
            }
        }
        seen.sort_by(|a, b| a.order.instance.cmp(&b.order.instance));
        Ok(seen)
    }

    async fn launch(&self, order: &Order) -> Result<(), Error> {
        if order.program == Program::None {
            return Err(Error::Unsupported { runtime: "process", what: "an order without a program" });
        }
        let folder = Folder::of(&self.config.dir, &order.instance)?;
        let launching = self.mark_launching(&order.instance);
        match self.claim(&folder, order.fence).await? {
            Claimed::Free => {
                start::keeper(&self.config, &folder, order).await?;
                // Two launches at the same time start one keeper; the lower fence learns it here.
                if let Reply::Fenced { actual } = self.talk(&folder).ask(&Ask::Claim { fence: Some(order.fence) }).await? {
                    return Err(Error::Fenced { id: order.instance.clone(), given: order.fence, actual });
                }
                self.watches.watch(&folder, self.config.answer);
            }
            Claimed::Kept => self.watches.watch(&folder, self.config.answer),
            Claimed::Ended => {}
        }
        drop(launching);
        self.watches.tick();
        Ok(())
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        let folder = Folder::of(&self.config.dir, id)?;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = self.talk(&folder).ask(&Ask::Stop { grace_ms }).await
            && !look::bury(folder).await?
        {
            return Err(error);
        }
        self.watches.tick();
        Ok(())
    }

    async fn logs(&self, id: &InstanceId, from: LogsFrom) -> Result<LogStream, Error> {
        let folder = Folder::of(&self.config.dir, id)?;
        logs::open(&self.talk(&folder), from).await
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.watches.changes()
    }
}

/// What is written down for an instance whose keeper does not answer.
fn unseen(order: Order, state: spec::SeenState, facts: Option<&folder::Facts>, lines: usize) -> Seen {
    let alive = !matches!(state, spec::SeenState::Exited(_));
    let pid = facts.filter(|_| alive).and_then(|facts| facts.engine);
    let started_at = facts.map_or_else(base::Timestamp::now, |facts| facts.started_at);
    Seen { order, state, pid, started_at, resident: None, cpu: None, log_lines: lines as u64 }
}
