//! What the config wants served, written into the store.
//!
//! In: settings. Out: the store's deployments and routes of the origin `config` are those of the settings; the
//! ones that are no longer wanted are to go. Fails: when a name belongs to one that was made through the API,
//! when a route leads nowhere or in circles. Whose a deployment is, is never changed silently.

use std::collections::{BTreeMap, BTreeSet};
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

/// Brings the store up to date. What has changed by that is to be told.
pub(super) async fn store(store: &Store, registry: &Registry, settings: &Settings) -> Result<Vec<Event>, Error> {
    let wanted = wanted(registry, settings).await?;
    let there: BTreeMap<Name, Record> =
        store.list_deployments().await?.into_iter().map(|record| (record.spec.name.clone(), record)).collect();
    let is_theirs = |name: &&Name| there.get(*name).is_some_and(|record| record.origin == Origin::Api && !record.deleting);
    if let Some(name) = wanted.keys().find(is_theirs) {
        return Err(Error::Owned(name.clone()));
    }
    let was: BTreeMap<Name, u64> = store.list_routes().await?.into_iter().map(|route| (route.spec.name, route.generation)).collect();
    let routes = routes(store, settings, &wanted, &there).await?;
    let kept: BTreeSet<Name> = store.list_routes().await?.into_iter().map(|route| route.spec.name).collect();
    let mut events = Vec::new();
    for deployment in wanted.values() {
        let before = there.get(&deployment.name);
        let record = store.put_deployment(deployment, Origin::Config, None).await?;
        let what = match before {
            None => Some((EventKind::DeploymentCreated, "created")),
            Some(before) if before.generation != record.generation || before.deleting => Some((EventKind::DeploymentUpdated, "changed")),
            Some(_) => None,
        };
        events.extend(
            what.map(|(kind, did)| told(kind, &deployment.name, &format!("was {did} by the config, generation {}", record.generation))),
        );
    }
    let gone =
        there.values().filter(|record| record.origin == Origin::Config && !record.deleting && !wanted.contains_key(&record.spec.name));
    for record in gone {
        store.mark_deployment_deleting(&record.spec.name).await?;
        events.push(told(EventKind::DeploymentDeleting, &record.spec.name, "is no longer in the config: it goes"));
    }
    for route in routes {
        let before = was.get(&route.name);
        let generation = store.put_route(route, Origin::Config, None).await?.generation;
        let what = match before {
            None => Some((EventKind::RouteCreated, "created")),
            Some(before) if *before != generation => Some((EventKind::RouteUpdated, "changed")),
            Some(_) => None,
        };
        events.extend(what.map(|(kind, did)| Event::now(kind, Cause::Config, format!("route `{}` was {did} by the config", route.name))));
    }
    let gone = was.keys().filter(|name| !kept.contains(*name));
    events
        .extend(gone.map(|name| Event::now(EventKind::RouteDeleted, Cause::Config, format!("route `{name}` is no longer in the config"))));
    Ok(events)
}

fn told(kind: EventKind, name: &Name, what: &str) -> Event {
    Event::now(kind, Cause::Config, format!("`{name}` {what}")).of(name)
}

/// The routes of the config, found to be possible; those that it no longer has are removed.
async fn routes<'a>(
    store: &Store,
    settings: &'a Settings,
    wanted: &BTreeMap<Name, Deployment>,
    there: &BTreeMap<Name, Record>,
) -> Result<&'a [Route], Error> {
    let routes = settings.config.routes.as_slice();
    let is_wanted = |record: &RouteRecord| routes.iter().any(|route| route.name == record.spec.name);
    let (theirs, ours): (Vec<_>, Vec<_>) = store.list_routes().await?.into_iter().partition(|record| record.origin == Origin::Api);
    if let Some(record) = theirs.iter().find(|record| is_wanted(record)) {
        return Err(Error::OwnedRoute(record.spec.name.clone()));
    }
    let kept = there.values().filter(|record| record.origin == Origin::Api && !record.deleting).map(|record| &record.spec);
    let map = Map::new(wanted.values().chain(kept), routes.iter().chain(theirs.iter().map(|record| &record.spec)));
    routes.iter().try_for_each(|route| map.check_route(route)).map_err(Error::Names)?;
    wanted.values().try_for_each(|deployment| map.check_deployment(deployment)).map_err(Error::Names)?;
    for record in ours.iter().filter(|record| !is_wanted(record)) {
        tracing::info!(route = %record.spec.name, "no longer in the config: it goes");
        store.remove_route(&record.spec.name).await?;
    }
    Ok(routes)
}

async fn wanted(registry: &Registry, settings: &Settings) -> Result<BTreeMap<Name, Deployment>, Error> {
    let config = &settings.config;
    let mut wanted: BTreeMap<Name, Deployment> = config.deployments.iter().map(|d| (d.name.clone(), d.clone())).collect();
    let found = match &config.models_dir {
        Some(dir) => from_folder(registry, dir, config).await?,
        None => Vec::new(),
    };
    for deployment in found.into_iter().chain(remote(config)) {
        // What is said in full comes before what lies about.
        wanted.entry(deployment.name.clone()).or_insert(deployment);
    }
    Ok(wanted)
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
