//! What the config wants served, written into the store.
//!
//! In: settings, and what they said before. Out: the store's deployments and routes of the origin `config` are those of the settings; the
//! ones that are no longer wanted are to go. What is said as before stays as others have left it meanwhile. Fails: when a name belongs to one
//! that was made through the API, when a route leads nowhere or in circles. Whose a deployment is, is never changed silently.

use std::collections::BTreeMap;
use std::path::Path;

use registry::Registry;
use spec::deployment::Origin;
use spec::route::Map;
use spec::{Cause, Deployment, EngineKind, Event, EventKind, Name, Record, Route, RouteRecord, Source};
use store::Store;

use crate::config::{Config, Settings};
use crate::error::Error;

/// The variable, known only inside, by which the engine of `llama_url` finds its key.
pub(super) const LLAMA_KEY: &str = "PENSTOCK_LLAMA_API_KEY";
/// The public name of the engine of `llama_url` when nothing else is said.
const LLAMA: &str = "llama";

/// What the config says is to be served.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    deployments: BTreeMap<Name, Deployment>,
    routes: BTreeMap<Name, Route>,
}

impl Wishes {
    /// What the settings name, and what lies in their folder.
    pub(super) async fn read(registry: &Registry, settings: &Settings) -> Result<Self, Error> {
        let config = &settings.config;
        let mut deployments: BTreeMap<Name, Deployment> = config.deployments.iter().map(|d| (d.name.clone(), d.clone())).collect();
        let found = match &config.models_dir {
            Some(dir) => from_folder(registry, dir, config).await?,
            None => Vec::new(),
        };
        for deployment in found.into_iter().chain(remote(config)) {
            // What is said in full comes before what lies about.
            deployments.entry(deployment.name.clone()).or_insert(deployment);
        }
        let routes = config.routes.iter().map(|route| (route.name.clone(), route.clone())).collect();
        Ok(Self { deployments, routes })
    }

    /// Brings the store up to date with what is not said as `before`. What has changed by that is to be told.
    pub(super) async fn store(&self, store: &Store, before: &Self) -> Result<Vec<Event>, Error> {
        let there = Stored::read(store).await?;
        self.check(&there)?;
        let gone: Vec<&Name> = there.routes.values().filter(|r| !self.wants_route(r)).map(|r| &r.spec.name).collect();
        for name in &gone {
            tracing::info!(route = %name, "no longer in the config: it goes");
            store.remove_route(name).await?;
        }
        let mut events = self.store_deployments(store, (&there, before)).await?;
        events.extend(self.store_routes(store, (&there, before)).await?);
        let removed = |name| Event::now(EventKind::RouteDeleted, Cause::Config, format!("route `{name}` is no longer in the config"));
        events.extend(gone.into_iter().map(removed));
        Ok(events)
    }

    /// Whether they are possible among what is stored.
    pub(super) async fn fit(&self, store: &Store) -> Result<(), Error> {
        self.check(&Stored::read(store).await?)
    }

    /// Whether they are possible among what others have made.
    fn check(&self, there: &Stored) -> Result<(), Error> {
        let is_theirs = |record: &&Record| record.origin == Origin::Api && !record.deleting;
        let theirs = || there.deployments.values().filter(is_theirs).map(|record| &record.spec);
        if let Some(spec) = theirs().find(|spec| self.deployments.contains_key(&spec.name)) {
            return Err(Error::Owned(spec.name.clone()));
        }
        let their_routes = || there.routes.values().filter(|record| record.origin == Origin::Api).map(|record| &record.spec);
        if let Some(route) = their_routes().find(|route| self.routes.contains_key(&route.name)) {
            return Err(Error::OwnedRoute(route.name.clone()));
        }
        let map = Map::new(self.deployments.values().chain(theirs()), self.routes.values().chain(their_routes()));
        self.routes.values().try_for_each(|route| map.check_route(route)).map_err(Error::Names)?;
        self.deployments.values().try_for_each(|deployment| map.check_deployment(deployment)).map_err(Error::Names)
    }

    async fn store_deployments(&self, store: &Store, (there, before): (&Stored, &Self)) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        for (name, deployment) in self.deployments.iter().filter(|(name, said)| before.deployments.get(*name) != Some(*said)) {
            let record = store.put_deployment(deployment, Origin::Config, None).await?;
            let what = match there.deployments.get(name) {
                None => Some((EventKind::DeploymentCreated, "created")),
                Some(old) if old.generation != record.generation || old.deleting => Some((EventKind::DeploymentUpdated, "changed")),
                Some(_) => None,
            };
            let words = |did| format!("was {did} by the config, generation {}", record.generation);
            events.extend(what.map(|(kind, did)| told(kind, name, &words(did))));
        }
        let is_ours = |record: &&Record| record.origin == Origin::Config && !record.deleting;
        for record in there.deployments.values().filter(is_ours).filter(|record| !self.deployments.contains_key(&record.spec.name)) {
            store.mark_deployment_deleting(&record.spec.name).await?;
            events.push(told(EventKind::DeploymentDeleting, &record.spec.name, "is no longer in the config: it goes"));
        }
        Ok(events)
    }

    async fn store_routes(&self, store: &Store, (there, before): (&Stored, &Self)) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        for (name, route) in self.routes.iter().filter(|(name, said)| before.routes.get(*name) != Some(*said)) {
            let generation = store.put_route(route, Origin::Config, None).await?.generation;
            let what = match there.routes.get(name) {
                None => Some((EventKind::RouteCreated, "created")),
                Some(old) if old.generation != generation => Some((EventKind::RouteUpdated, "changed")),
                Some(_) => None,
            };
            events.extend(what.map(|(kind, did)| Event::now(kind, Cause::Config, format!("route `{name}` was {did} by the config"))));
        }
        Ok(events)
    }

    fn wants_route(&self, record: &RouteRecord) -> bool {
        record.origin == Origin::Api || self.routes.contains_key(&record.spec.name)
    }
}

/// What is stored, whoever wanted it.
struct Stored {
    deployments: BTreeMap<Name, Record>,
    routes: BTreeMap<Name, RouteRecord>,
}

impl Stored {
    async fn read(store: &Store) -> Result<Self, Error> {
        let (deployments, routes) = (store.list_deployments().await?, store.list_routes().await?);
        Ok(Self {
            deployments: deployments.into_iter().map(|record| (record.spec.name.clone(), record)).collect(),
            routes: routes.into_iter().map(|record| (record.spec.name.clone(), record)).collect(),
        })
    }
}

fn told(kind: EventKind, name: &Name, what: &str) -> Event {
    Event::now(kind, Cause::Config, format!("`{name}` {what}")).of(name)
}

/// Each model of the folder, under its file name, loaded when somebody asks.
async fn from_folder(registry: &Registry, dir: &Path, config: &Config) -> Result<Vec<Deployment>, Error> {
    let files = registry.files(dir).await.map_err(Error::ModelsDir)?;
    if files.is_empty() {
        tracing::warn!(dir = %dir.display(), "there is no .gguf file in models_dir");
    }
    let found = files.into_iter().map(|(name, path)| {
        let file_name = path.file_name().and_then(|name| Name::parse(name.to_str()?).ok());
        let mut deployment = older(file_name.unwrap_or(name), config);
        deployment.model = Some(Source::File(path));
        deployment.context = config.llama_ctx.filter(|tokens| *tokens > 0);
        deployment.threads = config.llama_threads.filter(|threads| *threads > 0);
        deployment.gpu_layers = config.llama_ngl;
        deployment
    });
    Ok(found.collect())
}

/// The server that runs already.
fn remote(config: &Config) -> Option<Deployment> {
    let url = config.llama_url.as_deref()?.trim_end_matches('/');
    let name = config.default_model.as_deref().and_then(|name| Name::parse(name).ok());
    let mut deployment = older(name.or_else(|| Name::parse(LLAMA).ok())?, config);
    deployment.engine = Some(EngineKind::Openai);
    deployment.url = Some(if url.ends_with("/v1") { url.to_owned() } else { format!("{url}/v1") });
    deployment.api_key_env = config.llama_api_key.as_ref().map(|_| LLAMA_KEY.to_owned());
    deployment.timeouts.total = config.llama_timeout.unwrap_or(deployment.timeouts.total);
    deployment.timeouts.connect = config.llama_connect_timeout.unwrap_or(deployment.timeouts.connect);
    Some(deployment)
}

fn older(name: Name, config: &Config) -> Deployment {
    let mut deployment = Deployment::named(name);
    deployment.max_queue = config.max_queue_depth;
    deployment.timeouts.wait = config.max_wait;
    deployment
}
