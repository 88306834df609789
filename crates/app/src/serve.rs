//! The server: from settings to a house that listens, and back.
//!
//! Life of a house: its folder is made and its store opened ([`rooms`]); the first token is made
//! ([`token`]); what the config wants served is stored ([`wishes`]); the rooms are built and the
//! doors opened ([`listener`]); from then on the rooms work by themselves, and [`status`] and
//! [`story`] tell how. [`House::stop`] takes it down in phases. [`run`] is all of that for a process:
//! its log ([`log`]) and its signals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Fault as _;
use base::tasks::Task;
use fleet::StopHow;
use gateway::Gateway;
use registry::Registry;
use store::{Housekeeping, Journal, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Flags, Settings};
use crate::error::Error;

pub mod log;

mod rooms;
mod wishes;

mod depot;
mod door;
mod keys;
mod listener;
mod rehearsal;
mod status;
mod story;
mod temporary;
mod token;
mod traces;
mod watchers;

pub(crate) use rehearsal::faults;
use rooms::Rooms;
pub(crate) use rooms::programs;
pub use temporary::Temporary;
use wishes::Wishes;

/// A server in this process.
#[derive(Debug)]
pub struct House {
    /// Where it listens.
    pub address: SocketAddr,
    settings: Settings,
    store: Store,
    journal: Journal,
    housekeeping: Housekeeping,
    registry: Registry,
    /// As the config was last read.
    wishes: Wishes,
    gateway: Gateway,
    fleet: fleet::Handle,
    fleet_task: Task,
    listener: listener::Open,
    certificates: door::Keeper,
    closing: watch::Sender<bool>,
    story: story::Story,
    watchers: watchers::Watchers,
    webhooks: webhooks::Running,
    outbound: net::Guard,
    _key_files: Task,
    _unfinished: Task,
    lock: token::Address,
}

/// Engines that are told to end at once get this long.
const AT_ONCE: Duration = Duration::from_secs(2);

impl House {
    /// Builds it and opens its doors.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        unused(&settings);
        door::warn(&settings.config);
        let rules = door::rules(&settings)?;
        let bound = listener::bind(settings.config.listen.0).await?;
        let address = bound.address;
        let rooms = Rooms::build(&settings).await?;
        let (closing, closed) = watch::channel(false);
        let story = story::tell(&rooms, &settings).await?;
        let watchers = watchers::Watchers::start(&settings)?;
        let gateway = rooms.gateway(&settings.config, &story.last_errors, watchers.watch(&rooms, door::readings(&rules)));
        let url = rooms::url(address, rules.certificates.is_some());
        let logins = rooms.logins(&settings, &url).await?;
        let control = rooms.control(&settings.config, (logins, url), closed);
        let lock = token::Address::write(&settings.data_dir(), &rooms::url(address, rules.certificates.is_some()))?;
        let entrance = gateway.entrance(control);
        let certificates = door::Keeper::of(rules.certificates.clone(), &rooms.fleet);
        let listener = listener::open(bound, move |peer| entrance.visitor(peer), rules);
        let Rooms { store, journal, housekeeping, registry, wishes, fleet, fleet_task, webhooks, outbound, key_files, unfinished, .. } =
            rooms;
        Ok(Self {
            address,
            settings,
            store,
            journal,
            housekeeping,
            registry,
            wishes,
            gateway,
            fleet,
            fleet_task,
            listener,
            certificates,
            closing,
            story,
            watchers,
            webhooks,
            outbound,
            _key_files: key_files,
            _unfinished: unfinished,
            lock,
        })
    }

    /// Reads the config again; the deployments, routes and webhooks that have changed in it are brought up to date, the access log's file is
    /// opened anew and the certificate read again, the rest holds until the next start. What is wrong with it is returned, and nothing is changed.
    pub async fn reload(&mut self, flags: &Flags) -> Result<(), Error> {
        self.watchers.reopen();
        self.certificates.look_closely().await;
        let fresh = self.settings.again(flags)?;
        self.webhooks.change(&fresh.config.webhooks, &|name| fresh.environment.secret(name)).await?;
        let wishes = Wishes::read(&self.registry, &fresh).await?;
        for event in wishes.store(&self.store, &self.wishes).await? {
            self.fleet.tell(event).await;
        }
        self.wishes = wishes;
        rooms::own(&self.outbound, &fresh);
        let config = &mut self.settings.config;
        config.deployments.clone_from(&fresh.config.deployments);
        config.routes.clone_from(&fresh.config.routes);
        config.webhooks.clone_from(&fresh.config.webhooks);
        let later = changed(config, &fresh.config);
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "changed in the config, and holds only from the next start");
        }
        self.fleet.poke();
        Ok(())
    }

    /// Takes it down: not ready; no new calls; those that run go on for `shutdown_timeout` and then
    /// end with an error; engines end, or stay to be found again; usage is written; the store closes.
    /// When `hurry` is cancelled, nobody is waited for any more.
    pub async fn stop(self, hurry: &CancellationToken) {
        let config = &self.settings.config;
        self.gateway.set_not_ready();
        self.gateway.close();
        self.closing.send_replace(true);
        tokio::select! {
            () = self.gateway.drain(config.shutdown_timeout) => {}
            () = hurry.cancelled() => self.gateway.drain(Duration::ZERO).await,
        }
        let grace = if hurry.is_cancelled() { AT_ONCE } else { config.drain_timeout };
        self.fleet.stop(StopHow { adopt: config.adopt, grace }).await;
        self.fleet_task.join().await;
        self.gateway.flush().await;
        self.listener.close().await;
        self.story.end().await;
        self.webhooks.end().await;
        self.watchers.end().await;
        drop(self.housekeeping);
        self.journal.close().await;
        self.store.close().await;
        drop(self.lock);
    }
}

/// The keys of the config that say something else now.
fn changed(running: &Config, fresh: &Config) -> Vec<String> {
    let [running, fresh] = [running, fresh].map(|config| serde_json::to_value(config).unwrap_or_default());
    let members = fresh.as_object().into_iter().flatten();
    members.filter(|(key, value)| running.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect()
}

/// Settings of older control planes that mean nothing here.
fn unused(settings: &Settings) {
    let config = &settings.config;
    let all = [("llama_host", config.llama_host.is_some()), ("llama_port_range", config.llama_port_range.is_some())];
    let set: Vec<&str> = all.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
    if !set.is_empty() {
        tracing::warn!(keys = set.join(", "), "not used: engines that penstock starts listen on private unix sockets");
    }
}

/// Serves until this process is told to stop: by TERM or INT, the second one at once. HUP reads the
/// config's deployments, routes and webhooks again. A temporary server also ends with its standard input, at once.
pub async fn run(settings: Settings, flags: &Flags, temporary: Option<Temporary>) -> Result<(), Error> {
    let mut signals = Signals::new(temporary.as_ref().map(Temporary::leash))?;
    let mut house = House::start(settings).await?;
    log::greet(&house.url(), &house.settings);
    while let Some(()) = signals.hang_up_or_end().await {
        match house.reload(flags).await {
            Ok(()) => tracing::info!("the deployments, routes and webhooks of the config were read again"),
            Err(error) => {
                tracing::error!(error = base::chain(&error), hint = error.hint(), "the config was not read again; nothing changed");
            }
        }
    }
    tracing::info!("penstock is stopping; a second signal stops it at once");
    let hurry = CancellationToken::new();
    let stopped = house.stop(&hurry);
    tokio::pin!(stopped);
    tokio::select! {
        () = &mut stopped => {}
        () = signals.end() => {
            hurry.cancel();
            stopped.await;
        }
    }
    tracing::info!("penstock has stopped");
    Ok(())
}

impl House {
    /// Where clients reach it.
    pub fn url(&self) -> String {
        rooms::url(self.address, self.settings.config.tls.cert.is_some())
    }
    /// How the engine room stands.
    pub fn fleet(&self) -> Arc<fleet::Snapshot> {
        self.fleet.snapshot()
    }
}

struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
    leash: CancellationToken,
}

impl Signals {
    fn new(leash: Option<CancellationToken>) -> Result<Self, Error> {
        let on = |kind| signal(kind).map_err(Error::Signals);
        let (term, int, hup) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
        Ok(Self { term, int, hup, leash: leash.unwrap_or_default() })
    }
    async fn end(&mut self) {
        tokio::select! { _ = self.term.recv() => {}, _ = self.int.recv() => {}, () = self.leash.cancelled() => {} }
    }
    /// `None` for the end.
    async fn hang_up_or_end(&mut self) -> Option<()> {
        tokio::select! {
            _ = self.term.recv() => None,
            _ = self.int.recv() => None,
            () = self.leash.cancelled() => None,
            _ = self.hup.recv() => Some(()),
        }
    }
}
