//! Would a server start with these settings?
//!
//! In: settings. Out: what is in the way of a start, all of it at once. Nothing is made, written, or asked for over the network: of what is
//! stored, it is only read whether the config goes with it.

use std::io;
use std::path::Path;

use access::login::ProviderConfig;
use net::Guard;
use nix::unistd::AccessFlags;
use registry::Registry;
use store::Store;
use vault::Vault;

use super::wishes::Wishes;
use super::{depot, door, rooms};
use crate::config::{AccessLog, Settings};
use crate::error::Error;

/// What is in the way.
pub(crate) async fn faults(settings: &Settings) -> Vec<Error> {
    let (config, data_dir) = (&settings.config, settings.data_dir());
    let mut tried = vec![
        folder(&data_dir),
        door::rules(settings).map(drop),
        depot::blobs(settings, data_dir.join(rooms::BLOBS)).map(drop),
        depot::fetching(settings, &Guard::default()).map(drop),
    ];
    let secret = |name: &str| settings.environment.secret(name);
    tried.extend(config.webhooks.iter().map(|webhook| webhook.check_secret(&secret).map_err(Error::from)));
    let provided = |provider: &ProviderConfig| provider.check_secret(&secret).map_err(|error| Error::from(access::Error::from(error)));
    tried.extend(config.auth.providers.iter().map(provided));
    let log = match &config.access_log {
        AccessLog::File(path) => Some(path),
        _ => None,
    };
    tried.extend(log.into_iter().chain(&config.events_file).map(|path| file(path, &data_dir)));
    match Store::look(data_dir.join(rooms::DATABASE)).await {
        Ok(Some(store)) => {
            tried.push(names(settings, &store).await);
            tried.push(Vault::check(&store, &rooms::master_key(settings, &data_dir)).await.map_err(Error::from));
        }
        Ok(None) => {}
        Err(error) => tried.push(Err(error.into())),
    }
    tried.into_iter().filter_map(Result::err).collect()
}

/// Whether the models of the folder are there, and every name leads somewhere.
async fn names(settings: &Settings, store: &Store) -> Result<(), Error> {
    let dirs = registry::Config { base_dir: settings.base_dir.clone(), ..registry::Config::default() };
    Wishes::read(&Registry::new(store.clone(), dirs), settings).await?.fit(store).await
}

/// Whether there is such a folder, or it can be made.
fn folder(path: &Path) -> Result<(), Error> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let usable = if there.is_dir() { may_write(there) } else { Err(io::ErrorKind::NotADirectory.into()) };
    usable.map_err(|source| Error::DataDir { path: path.to_owned(), source })
}

/// Whether something can be put behind what stands in the file. No folder is made for it but the data directory.
fn file(path: &Path, data_dir: &Path) -> Result<(), Error> {
    let usable = match (path.metadata(), path.parent()) {
        (Ok(found), _) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        (Err(_), Some(parent)) if parent == data_dir && !parent.exists() => Ok(()),
        (Err(_), Some(parent)) => may_write(parent),
        _ => may_write(path),
    };
    usable.map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn may_write(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::access(path, AccessFlags::W_OK)?)
}
