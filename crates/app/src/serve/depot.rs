//! Where the files of models are kept, and how they come here.
//!
//! In: settings. Out: the configs of the rooms `blobs` and `registry`. Fails: on a file with a token that cannot be read, on a variable
//! that is not set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::tasks::{self, Task};
use base::{Fault as _, Secret};
use blobs::BucketConfig;
use net::Guard;
use registry::{Fetching, Registry};

use crate::config::{Config, Settings};
use crate::error::Error;

/// Between two looks at what was begun and not gone on with, at least and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_hours(1));

/// Where files are kept.
pub(super) fn blobs(settings: &Settings, dir: PathBuf) -> Result<blobs::Config, Error> {
    let set = &settings.config.blobs;
    let told = store(settings, ("blobs.secrets", &set.options, &set.secrets))?;
    let store = set.url.clone().map(|url| BucketConfig { url, ..told });
    Ok(blobs::Config { dir, reserve: set.reserve, grace: set.grace, store, cache: set.cache })
}

/// What a store is told, without its URL.
fn store(settings: &Settings, (key, options, secrets): (&'static str, &[String], &[String])) -> Result<BucketConfig, Error> {
    let secret = |(option, variable): (&str, &str)| match settings.environment.secret(variable) {
        Some(secret) => Ok((option.to_owned(), secret)),
        None => Err(Error::NoVariable { key, variable: variable.to_owned() }),
    };
    let secrets = secrets.iter().filter_map(|one| one.split_once('=')).map(secret).collect::<Result<BTreeMap<String, Secret>, Error>>()?;
    let options = options.iter().filter_map(|one| one.split_once('=')).map(|(option, value)| (option.to_owned(), value.to_owned()));
    Ok(BucketConfig { url: String::new(), options: options.collect(), secrets })
}

/// How they come here.
pub(super) fn fetching(settings: &Settings, outbound: &Guard) -> Result<Fetching, Error> {
    let set = &settings.config.pull;
    let token = match &set.hub_token_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| Error::TokenFile { path: path.clone(), source })?;
            Some(Secret::new(text.trim()))
        }
        None => settings.environment.secret("HF_TOKEN"),
    };
    Ok(Fetching {
        guard: outbound.clone(),
        hub: hub(settings),
        hub_token: token,
        ollama: set.ollama.clone(),
        stores: store(settings, ("pull.secrets", &set.options, &set.secrets))?,
        connections: usize::try_from(set.connections).unwrap_or(1).max(1),
        stall: set.stall,
    })
}

/// Tries the object store out, and sends what an earlier Penstock could not send; nobody waits for it.
pub(super) fn settle(registry: &Registry) {
    let Ok(blobs) = registry.blobs().cloned() else { return };
    tasks::spawn("settle", async move {
        let done = match blobs.conditions().await {
            Ok(_) => blobs.settle().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "sent to the object store"),
            Err(error) => tracing::warn!(error = base::chain(&error), hint = error.hint(), "the object store is of no use now"),
        }
    })
    .detach();
}

/// Gives up, at the start and now and then, what was begun to be sent or fetched and not gone on with for so long.
pub(super) fn give_up(registry: &Registry, after: Duration) -> Task {
    let blobs = registry.blobs().ok().cloned();
    tasks::spawn("give-up", async move {
        let Some(blobs) = blobs else { return };
        loop {
            match blobs.give_up(after).await {
                Ok(gone) if gone.is_empty() => {}
                Ok(gone) => {
                    let bytes: u64 = gone.iter().map(|(_, bytes)| bytes.0).sum();
                    tracing::info!(files = gone.len(), bytes, "unfinished files given up");
                }
                Err(error) => tracing::warn!(error = base::chain(&error), hint = error.hint(), "unfinished files stay"),
            }
            tokio::time::sleep(after.clamp(LOOKS.0, LOOKS.1)).await;
        }
    })
}

/// The hub of the config, else that of the environment.
pub(super) fn hub(settings: &Settings) -> String {
    let (set, usual) = (&settings.config.pull.hub, Config::default().pull.hub);
    let named = settings.environment.get("HF_ENDPOINT").filter(|url| *set == usual && !url.is_empty());
    named.unwrap_or(set).to_owned()
}
