//! The rooms of the house, each built from those below it.
//!
//! In: settings. Out: store, access, registry, runtimes, board and fleet, which work from then on.
//! Fails: as the room that could not be built says.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use access::login::{self, Logins};
use axum::Router;
use base::tasks::{self, Task};
use blobs::Blobs;
use board::Board;
use fleet::Fleet;
use gateway::Gateway;
use net::Guard;
use registry::Registry;
use runtime::Runtime;
use runtime::devices::{Described, Devices};
use runtime::external::ExternalRuntime;
use runtime::process::{self, ProcessRuntime};
use runtime::programs::Programs;
use spec::EngineKind;
use store::{Housekeeping, Journal, JournalConfig, KeepUsage, Store};
use tokio::sync::watch;
use vault::{MasterKey, Vault};
use webhooks::{Tell, Webhooks};

use super::keys::Keys;
use super::wishes::Wishes;
use super::{depot, door, status, story, token};
use crate::config::{Config, Mode, Placement, Settings};
use crate::error::Error;

/// The database in the data directory.
pub(super) const DATABASE: &str = "penstock.db";
/// The folder of the usage journal in the data directory.
const JOURNAL: &str = "journal";
/// The folder of instances in the data directory.
const INSTANCES: &str = "instances";
pub(super) const BLOBS: &str = "blobs";
/// The master key of the secrets, in the data directory, where the operator gives none.
const MASTER_KEY: &str = "master-key";
const PRIVATE: u32 = 0o700;

/// The rooms below the two faces.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) store: Store,
    /// The last event before this start.
    pub(super) before: u64,
    pub(super) journal: Journal,
    pub(super) housekeeping: Housekeeping,
    pub(super) access: Access,
    pub(super) registry: Registry,
    pub(super) wishes: Wishes,
    pub(super) board: Arc<Board>,
    pub(super) fleet: fleet::Handle,
    pub(super) fleet_task: Task,
    pub(super) webhooks: webhooks::Running,
    pub(super) outbound: Guard,
    pub(super) vault: Vault,
    pub(super) key_files: Task,
    /// Gives up what was begun to be sent or fetched and not gone on with.
    pub(super) unfinished: Task,
}

impl Rooms {
    /// Builds them from the ground up.
    pub(super) async fn build(settings: &Settings) -> Result<Self, Error> {
        let data_dir = settings.data_dir();
        make_folder(&data_dir)?;
        let store = Store::open(data_dir.join(DATABASE)).await?;
        let access = Access::open(store.clone(), mode(&settings.config)).await?;
        let (journal, housekeeping) = usage(&store, &access, settings, &data_dir).await?;
        let given = settings.environment.secret("PENSTOCK_ADMIN_TOKEN");
        token::first(&access, &data_dir, given.as_ref()).await?;
        let outbound = Guard::new(settings.config.outbound.allow.clone());
        own(&outbound, settings);
        let registry = registry(&store, settings, &data_dir, &outbound).await?;
        depot::settle(&registry);
        let unfinished = depot::give_up(&registry, settings.config.blobs.unfinished);
        // Before anything happens, so that receivers and the events file are told of all of it.
        let before = store.newest_event().await?;
        let receivers = Webhooks::open(&store, &settings.config.webhooks, &|name| settings.environment.secret(name)).await?;
        let wishes = Wishes::read(&registry, settings).await?;
        story::tell_at_start(&store, wishes.store(&store, &Wishes::default()).await?).await?;
        let vault = vault(&store, settings, &data_dir).await?;
        let keys = Keys::new(settings, &vault);
        let found = keys.clone();
        let board = Board::new();
        let parts = fleet::Parts {
            store: store.clone(),
            registry: registry.clone(),
            board: Arc::clone(&board),
            runtimes: runtimes(settings, &data_dir)?,
            programs: Arc::new(programs(settings)),
            secrets: Arc::new(move |from| found.find(from)),
            config: fleet::Config { outbound: outbound.clone(), ..fleet_config(settings, &data_dir) },
        };
        let (fleet, fleet_task) = Fleet::start(parts).await?;
        let bell = fleet.clone();
        access.tell_also(move |event| bell.ring(event));
        let webhooks = receivers.start(fleet.events(), &tell(&fleet));
        let key_files = keys.watch(&fleet);
        Ok(Self {
            store,
            before,
            journal,
            housekeeping,
            access,
            registry,
            wishes,
            board,
            fleet,
            fleet_task,
            webhooks,
            outbound,
            vault,
            key_files,
            unfinished,
        })
    }

    /// The face for tokens.
    pub(super) fn gateway(&self, config: &Config, last_errors: &story::LastErrors, watch: gateway::Watch) -> Gateway {
        let cors = config.cors_enabled.then(|| gateway::Cors {
            origins: config.cors_origins.clone(),
            methods: config.cors_methods.clone(),
            headers: config.cors_headers.clone(),
        });
        let settings = gateway::Config {
            max_body_bytes: usize::try_from(config.max_body_bytes.0).unwrap_or(usize::MAX),
            default_model: config.default_model.clone(),
            cors,
            infer_timeout: config.infer_timeout,
            keep_alive_comment: config.keep_alive_comment,
            cold_comment: config.cold_comment,
            keeping: gateway::Keeping {
                memory_bytes: usize::try_from(config.responses.in_memory.0).unwrap_or(usize::MAX),
                most: config.responses.keep_most,
                age: config.responses.keep_for,
            },
            proxies: door::proxies(config),
            outbound: self.outbound.clone(),
            public_url: config.auth.public_url.clone(),
            metrics: config.metrics.access.into(),
        };
        Gateway::new(gateway::Parts {
            board: Arc::clone(&self.board),
            access: self.access.clone(),
            journal: self.journal.clone(),
            store: self.store.clone(),
            counts: Arc::default(),
            config: settings,
            status: status::source(self.fleet.clone(), Arc::clone(&self.board), Arc::clone(last_errors)),
            watch,
        })
    }

    /// Where people log in; `url` is where clients reach this server when nothing else is said.
    pub(super) async fn logins(&self, settings: &Settings, url: &str) -> Result<Logins, Error> {
        let auth = &settings.config.auth;
        let config = login::Config {
            providers: auth.providers.clone(),
            public_url: auth.public_url.clone().unwrap_or_else(|| url.to_owned()),
            stay: login::Stay { idle: auth.session_idle, longest: auth.session_longest },
            login_token: auth.login_token,
        };
        let environment = settings.environment.clone();
        Ok(Logins::open(&self.access, config, &move |name| environment.secret(name)).await?)
    }

    /// The face for people.
    pub(super) fn control(&self, config: &Config, (logins, base_url): (Logins, String), closing: watch::Receiver<bool>) -> Router {
        control::router(control::Parts {
            store: self.store.clone(),
            access: self.access.clone(),
            logins,
            registry: self.registry.clone(),
            fleet: self.fleet.clone(),
            board: Arc::clone(&self.board),
            webhooks: self.webhooks.handle(),
            vault: self.vault.clone(),
            outbound: self.outbound.clone(),
            buckets: config.pull.buckets.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            base_url,
            closing,
        })
    }
}

/// The URLs of the config are its operator's own.
pub(super) fn own(outbound: &Guard, settings: &Settings) {
    let config = &settings.config;
    let deployments = config.deployments.iter().filter_map(|deployment| deployment.url.as_deref());
    let models = config.deployments.iter().filter_map(|deployment| match &deployment.model {
        Some(spec::Source::Http(url)) => Some(url.as_str()),
        _ => None,
    });
    let hub = depot::hub(settings);
    let depots = [hub.as_str(), config.pull.ollama.as_str()];
    outbound.own(deployments.chain(models).chain(depots).chain(config.llama_url.as_deref()));
}

/// Receivers add to the story when one of them wants no more.
fn tell(fleet: &fleet::Handle) -> Tell {
    let fleet = fleet.clone();
    Arc::new(move |event| {
        let fleet = fleet.clone();
        Box::pin(async move { fleet.tell(event).await })
    })
}

/// The usage journal, and who keeps its rows from growing for ever. What an earlier process left in it counts
/// against budgets as soon as it is in the database.
async fn usage(store: &Store, access: &Access, settings: &Settings, data_dir: &Path) -> Result<(Journal, Housekeeping), Error> {
    const LONG: Duration = Duration::from_hours(1);
    let wanted = &settings.config.usage;
    let config = JournalConfig { dir: data_dir.join(JOURNAL), quota: wanted.journal_quota };
    let journal = Journal::open(store.clone(), config).await?;
    if journal.stand().behind > 0 {
        let (journal, access) = (journal.clone(), access.clone());
        let recount = async move {
            if journal.flush(LONG).await
                && let Err(error) = access.recount().await
            {
                tracing::warn!(error = base::chain(&error), "what was used before the start does not count against budgets");
            }
        };
        tasks::spawn("recount", recount).detach();
    }
    let keep = KeepUsage { calls: wanted.keep_calls, hours: wanted.keep_sums };
    Ok((journal, store.keep_house(keep)))
}

/// Where clients of this machine reach an address.
pub(super) fn url(address: SocketAddr, tls: bool) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, token::reachable(address))
}

fn make_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::DataDir { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(failed(io::ErrorKind::NotADirectory.into())),
        Err(_) => DirBuilder::new().recursive(true).mode(PRIVATE).create(path).map_err(failed),
    }
}

fn mode(config: &Config) -> access::Mode {
    match config.auth.mode {
        Mode::Token => access::Mode::Tokens,
        Mode::Open => access::Mode::Open,
    }
}

async fn registry(store: &Store, settings: &Settings, data_dir: &Path, outbound: &Guard) -> Result<Registry, Error> {
    let dirs = registry::Config {
        models_dir: settings.config.models_dir.clone(),
        base_dir: settings.base_dir.clone(),
        home: settings.environment.home(),
        own_dir: Some(data_dir.to_owned()),
        max_size: settings.config.max_model_bytes,
        fetching: depot::fetching(settings, outbound)?,
    };
    let blobs = Blobs::open(depot::blobs(settings, data_dir.join(BLOBS))?).await.map_err(registry::Error::from)?;
    Ok(Registry::keeping(store.clone(), dirs, Some(blobs)))
}

fn runtimes(settings: &Settings, data_dir: &Path) -> Result<Vec<Arc<dyn Runtime>>, Error> {
    let mut config = process::Config::new(data_dir.join(INSTANCES), &settings.environment.own);
    if let Some(file) = &settings.config.memory.devices_file {
        let mut sources = Devices::of_this_machine();
        sources.push(Box::new(Described::at(file)));
        config.devices = Arc::new(Devices::new(sources));
    }
    Ok(vec![ProcessRuntime::open(config)?, ExternalRuntime::new()])
}

/// Where engines' programs are found.
pub(crate) fn programs(settings: &Settings) -> Programs {
    let environment = &settings.environment;
    let named = settings.config.llama_server().cloned().or_else(|| environment.path("PENSTOCK_LLAMA_SERVER"));
    let configured: BTreeMap<EngineKind, _> = named.map(|path| (EngineKind::LlamaServer, path)).into_iter().collect();
    let carried = bundle::llama_server().map(|carried| format!("carried {}", carried.digest().get(..12).unwrap_or_default()));
    Programs::new(environment.own.clone(), configured, carried, environment.program_path())
}

/// The secrets that this server keeps; their master key is the operator's, else one of ours.
async fn vault(store: &Store, settings: &Settings, data_dir: &Path) -> Result<Vault, Error> {
    Ok(Vault::open(store.clone(), master_key(settings, data_dir)).await?)
}

/// Where the master key is.
pub(super) fn master_key(settings: &Settings, data_dir: &Path) -> MasterKey {
    let environment = &settings.environment;
    match (environment.secret("PENSTOCK_MASTER_KEY"), environment.path("PENSTOCK_MASTER_KEY_FILE")) {
        (Some(given), _) => MasterKey::Given(given),
        (None, Some(file)) => MasterKey::File(environment.absolute(&file, &environment.folder)),
        (None, None) => MasterKey::Own(data_dir.join(MASTER_KEY)),
    }
}

fn fleet_config(settings: &Settings, data_dir: &Path) -> fleet::Config {
    let config = &settings.config;
    let usual = fleet::Config::new(data_dir);
    fleet::Config {
        orphan_ttl: config.orphan_ttl,
        budget: config.budget(),
        margin: config.margin(),
        patience: config.memory.patience,
        packing: match config.memory.placement {
            Placement::Pack => fleet::Packing::Pack,
            Placement::Spread => fleet::Packing::Spread,
        },
        threads: config.llama_threads.filter(|threads| *threads > 0).unwrap_or(usual.threads),
        ..usual
    }
}
