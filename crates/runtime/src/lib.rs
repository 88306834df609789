//! Where instances run.
//!
//! Life of an order: the fleet hands a [`spec::Order`] to the [`Runtime`] that the deployment names;
//! the process runtime starts a keeper for it ([`process`]), the keeper starts the engine and owns
//! it to the end ([`keeper`]); the external runtime only writes it down ([`external`]). What runs is
//! found again by [`Runtime::list`] after any crash. Engines' programs are found and asked for their
//! flags by [`programs`]; how much there is to give away is read by [`devices`] and [`host`]. What every runtime
//! must do stands in [`mod@contract`], and is run on each of them by [`contract!`].

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use spec::{InstanceId, Node, Order, RuntimeKind, Seen};
use tokio::sync::watch;

pub mod contract;
pub mod programs;

pub mod external;
pub mod process;

pub mod keeper;

pub mod devices;
mod environment;
pub mod error;
mod folder;
pub mod host;
mod proc;
mod protocol;

pub use error::Error;

/// A place where instances run. The instance id makes every call idempotent.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> RuntimeKind;
    /// The machines and devices that it can use.
    async fn capacity(&self) -> Result<Vec<Node>, Error>;
    /// Everything of ours that runs there or has ended and was not yet stopped; finds its own after a
    /// crash. Counts as a claim: what is listed is not an orphan.
    async fn list(&self) -> Result<Vec<Seen>, Error>;
    /// Starts it, unless it is there already.
    async fn launch(&self, order: &Order) -> Result<(), Error>;
    /// TERM, `grace`, second TERM, KILL of the group; forgets what has ended. Fine if it is gone.
    /// Returns when the end has been asked for; the end itself is seen by `list`.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error>;
    /// Its log.
    async fn logs(&self, id: &InstanceId, from: LogsFrom) -> Result<LogStream, Error>;
    /// Ticks when something started, ended or was lost, so that nobody has to poll for it.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A log as it comes: pieces of whole lines.
pub type LogStream = BoxStream<'static, Result<Bytes, Error>>;

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsFrom {
    /// So many last lines; all that is kept when `None`.
    pub tail: Option<usize>,
    /// Goes on as lines are written.
    pub follow: bool,
}
