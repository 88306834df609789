//! Life of a call:
//!
//! it comes in (`entrance`), from no page of another site (`pages`), and gets an id (`layer`, `passage`); its head is checked and, once it is known who sends it
//! (`identify`), its body is read and scanned (`http`) into a `call`; its prompt is measured
//! (`prompt`; a long one bit by bit, `tally`), what it will take is set aside (`admit`), a slot of an instance is found, or
//! waited for (`choose`), the call is sent there (`send`), and the answer comes back as the
//! client's connection pulls it (`relay`). However it ends, `account` writes it down. `walk`
//! names these steps once; `routes` say which paths take them; what goes wrong is an [`Error`].
//! The gateway knows the board but not the fleet: a stuck fleet cannot stop tokens.

mod routes;

mod entrance;
mod pages;

mod layer;

mod passage;

mod cors;

mod walk;

mod way;

mod http;

mod identify;

mod call;

mod prompt;

mod count;

mod tally;

mod admit;

mod choose;

mod send;

mod relay;

mod kept;

mod account;

mod clock;

mod metrics;

mod stop;

mod error;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::Access;
use axum::Router;
use board::Board;
use net::{Guard, Proxies};
use store::{Journal, Store};
use tokens::Counts;

pub use cors::Cors;
pub use entrance::{Answer, Entrance, Visitor};
pub use error::Error;
pub use http::TooSlow;
pub use identify::MetricsAccess;
pub use kept::Keeping;
pub use metrics::{Readings, Source};
pub use passage::{CallRecord, Lap, Listener, Peer, Record, Sampling, SpanId, Trace, TraceId, Watch, Wish};
pub use routes::status::{Status, StatusDoc, StatusError, StatusInstance};

use kept::Kept;
use metrics::Metrics;
use routes::status::numbers;
use send::Sender;
use stop::Stop;
use tally::Turns;

/// What the gateway is made of.
pub struct Parts {
    /// Who is ready.
    pub board: Arc<Board>,
    /// Who may.
    pub access: Access,
    /// Where usage rows go.
    pub journal: Journal,
    /// What survives: answers that may be gone on with.
    pub store: Store,
    /// Token counters, shared with whoever else counts.
    pub counts: Arc<Counts>,
    /// The settings.
    pub config: Config,
    /// The document of `/status`.
    pub status: Status,
    /// Who else wants to know.
    pub watch: Watch,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The largest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// The model of `/infer` when a call names none.
    pub default_model: Option<String>,
    /// After so long a silence a stream gets a comment, so that no proxy closes it.
    pub keep_alive_comment: Duration,
    /// The same for a stream that waits for a cold model, until its first comment: from its coming, or from the start's beginning.
    pub cold_comment: Duration,
    /// Which pages of other sites may call.
    pub cors: Option<Cors>,
    /// The whole time of a call of `/infer`, where it is shorter than the deployment's own.
    pub infer_timeout: Option<Duration>,
    /// How much of what `/v1/responses` answered is kept.
    pub keeping: Keeping,
    /// Proxies that are believed about where a request comes from.
    pub proxies: Option<Arc<Proxies>>,
    /// Whom remote engines' URLs may lead to.
    pub outbound: Guard,
    /// Where browsers find this server, if not on this machine.
    pub public_url: Option<String>,
    /// Who is told its numbers.
    pub metrics: MetricsAccess,
}

impl Default for Config {
    fn default() -> Self {
        const BODY: usize = 32 << 20; // a dozen photographs in base64
        const COLD: Duration = Duration::from_millis(200); // what does not come up at all is mostly known by then
        const SILENCE: Duration = Duration::from_secs(15); // half of what impatient proxies allow
        Self {
            max_body_bytes: BODY,
            default_model: None,
            keep_alive_comment: SILENCE,
            cold_comment: COLD,
            cors: None,
            infer_timeout: None,
            keeping: Keeping::default(),
            proxies: None,
            outbound: Guard::default(),
            public_url: None,
            metrics: MetricsAccess::default(),
        }
    }
}

/// The face for tokens; cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<House>);

struct House {
    board: Arc<Board>,
    access: Access,
    counts: Arc<Counts>,
    turns: Turns,
    config: Config,
    status: Status,
    metrics: Arc<Metrics>,
    watch: Arc<Watch>,
    journal: Journal,
    sender: Sender,
    kept: Kept,
    stop: Stop,
    asked: AtomicBool,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Puts the parts together; must be called within a tokio runtime.
    pub fn new(parts: Parts) -> Self {
        let Parts { board, access, journal, store, counts, config, status, watch } = parts;
        let metrics = Arc::new(Metrics::new());
        metrics.read_also(numbers(Arc::clone(&status)));
        metrics.read_also(metrics::standing(Arc::clone(&board)));
        watch.sources.iter().for_each(|source| metrics.read_also(Arc::clone(source)));
        let outbound = config.outbound.clone();
        let kept = Kept::start(store, config.keeping);
        metrics.read_also(account::readings(journal.clone()));
        Self(Arc::new(House {
            sender: Sender::start(outbound, Arc::clone(&board)),
            board,
            access,
            counts,
            turns: Turns::default(),
            config,
            status,
            metrics,
            watch: Arc::new(watch),
            journal,
            kept,
            stop: Stop::new(),
            asked: AtomicBool::new(false),
        }))
    }

    /// The routes: `/v1`, `/infer`, `/models`, `/status`, `/healthz`, `/readyz`, `/metrics`, and the answer
    /// to every path that nobody serves. A router merged with it must bring no fallback of its own.
    pub fn router(&self) -> Router {
        self.router_with(Router::new())
    }

    /// The same with the routes of others beside ours: their requests too get an id and are counted and
    /// told of. They must bring no fallback of their own. An answer that holds an `Arc<access::Caller>`
    /// among its extensions says by that who asked.
    pub fn router_with(&self, others: Router) -> Router {
        routes::router(self.clone(), others)
    }

    /// All of it as a service for connections, with the routes of others beside ours as
    /// [`Self::router_with`] has them.
    pub fn entrance(&self, others: Router) -> Entrance {
        Entrance::new(self.clone(), others)
    }

    /// Stopping, phase one: `/readyz` says no.
    pub fn set_not_ready(&self) {
        self.0.stop.set_not_ready();
    }

    /// Phase two: no new calls; those in line are sent away.
    pub fn close(&self) {
        self.0.board.close_admission();
    }

    /// Phases three and four: calls run on for `grace`; the rest end with an error then. Resolves
    /// when the last byte is out, or when the clients of the ended ones do not take theirs.
    pub async fn drain(&self, grace: Duration) {
        const LAST_WORDS: Duration = Duration::from_secs(2);
        if tokio::time::timeout(grace, self.0.stop.drained()).await.is_ok() {
            return;
        }
        self.0.stop.end();
        if tokio::time::timeout(LAST_WORDS, self.0.stop.drained()).await.is_err() {
            tracing::warn!("some clients did not take the end of their streams");
        }
    }

    /// Waits until the usage rows of all calls that have ended are in the store; those that cannot be
    /// brought there in a few seconds stay in the journal for the next start.
    pub async fn flush(&self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        if !self.0.journal.flush(PATIENCE).await {
            tracing::warn!(rows = self.0.journal.stand().behind, "usage rows stay in the journal until the next start");
        }
        if tokio::time::timeout(PATIENCE, self.0.access.flush()).await.is_err() {
            tracing::warn!("when some tokens were last used is not in the store");
        }
        if tokio::time::timeout(PATIENCE, self.0.kept.flush()).await.is_err() {
            tracing::warn!("some kept responses are not in the store");
        }
    }

    fn board(&self) -> &Arc<Board> {
        &self.0.board
    }
    fn access(&self) -> &Access {
        &self.0.access
    }
    fn counts(&self) -> &Arc<Counts> {
        &self.0.counts
    }
    fn turns(&self) -> &Turns {
        &self.0.turns
    }
    fn config(&self) -> &Config {
        &self.0.config
    }
    fn status(&self) -> StatusDoc {
        (self.0.status)()
    }
    fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }
    fn watch(&self) -> &Arc<Watch> {
        &self.0.watch
    }
    fn journal(&self) -> &Journal {
        &self.0.journal
    }
    fn sender(&self) -> &Sender {
        &self.0.sender
    }
    fn kept(&self) -> &Kept {
        &self.0.kept
    }
    fn stopping(&self) -> &Stop {
        &self.0.stop
    }
    /// Somebody has asked for a model since the start.
    fn note_asked(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }
    fn was_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
