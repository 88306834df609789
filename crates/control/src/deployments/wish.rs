//! How a wish is checked and stored.
//!
//! In: a spec. Out: its record, the fleet poked and the story told. Fails: with all that is wrong
//! by itself; with what is wrong with its model; when what is stored is not what was expected.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Backoff, Fault as _};
use board::Table;
use spec::deployment::Origin;
use spec::{Deployment, Event, EventKind, Invalid, KeyFrom, Kind, Name, Record, Verb, Version};

use crate::door::Admin;
use crate::error::Error;
use crate::precondition::Expect;
use crate::{House, belongs, routes, shown};

/// How long a caller is kept waiting for the check of a model. Headers are read within milliseconds;
/// what takes longer is the hashing of a large file, which the fleet repeats and reports on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer waits until the fleet has seen the wish, so that a call right after it finds its model.
const SEEN_WITHIN: Duration = Duration::from_secs(5);
/// Tries of a change while others change the same wish: with each one that fails, another one got through.
const TRIES: u32 = 64;
/// Between two of them, so that those who came at the same moment do not meet again.
const TURNS: Backoff = Backoff { first: Duration::from_millis(2), most: Duration::from_millis(50) };

/// All that can be told to be wrong before it is stored. Whether who asks may want it at all comes first: nothing is looked at for who may not.
pub(crate) async fn check(house: &House, admin: &Admin, before: Option<&Record>, wanted: &Deployment) -> Result<(), Error> {
    may_want(house, admin, before, wanted).await?;
    wanted.check()?;
    routes::map(house).await?.check_deployment(wanted)?;
    let Some(source) = wanted.model.as_ref().filter(|_| wanted.engine().needs_model()) else { return Ok(()) };
    match tokio::time::timeout(PATIENCE, house.registry.resolve(source)).await {
        Ok(Err(source)) => Err(Error::Model { field: "model", source }),
        Ok(Ok(version)) => check_version(wanted, &version),
        Err(_) => Ok(()),
    }
}

/// Whether who asks may have this take the place of what was stored.
pub(crate) async fn may_want(house: &House, admin: &Admin, before: Option<&Record>, wanted: &Deployment) -> Result<(), Error> {
    belongs::check_wish(house, admin, before, wanted).await?;
    let before = before.map(|record| &record.spec);
    check_process(wanted, before, admin)?;
    check_outside(house, wanted, before, admin)
}

/// Whether whoever wants it may say how the engine's process is started, beyond what has a field of its own: who may does on this machine what this
/// server's user does. What is as it was before is nobody's wish.
fn check_process(wanted: &Deployment, before: Option<&Deployment>, admin: &Admin) -> Result<(), Error> {
    let without =
        |spec: &Deployment| spec.env.iter().filter(|(name, _)| *name != shown::CARDS).map(|(a, b)| (a.clone(), b.clone())).collect();
    let env: BTreeMap<String, String> = without(wanted);
    if env != before.map(without).unwrap_or_default() {
        belongs::may_server(admin, "say what is in an engine's env")?;
    }
    if wanted.args.as_slice() != before.map(|before| before.args.as_slice()).unwrap_or_default() {
        belongs::may_server(admin, "say what an engine's args are")?;
    }
    Ok(wanted.check_process(before)?)
}

/// Whether whoever wants it may have a server outside called, and have this server's keys shown to it. What is as it was before is nobody's wish.
fn check_outside(house: &House, wanted: &Deployment, before: Option<&Deployment>, admin: &Admin) -> Result<(), Error> {
    let is_as_before = before.is_some_and(|before| before.url == wanted.url && before.key_from() == wanted.key_from());
    let Some(url) = wanted.url.as_deref().filter(|_| !is_as_before) else { return Ok(()) };
    if let Err(error) = house.outbound.check(url) {
        return Err(Invalid::one("url", error.to_string(), error.hint().unwrap_or_default()).into());
    }
    match wanted.key_from() {
        None => Ok(()),
        Some(KeyFrom::File(_)) => {
            let what = "a file of this server can be named only in its config";
            Err(Invalid::one("api_key_file", what, "store the key with `penstock secret set NAME`, and name that in api_key_secret").into())
        }
        Some(KeyFrom::Variable(name)) if name.starts_with("PENSTOCK_") => {
            let what = format!("{name} is for this server alone");
            Err(Invalid::one("api_key_env", what, "store the key with `penstock secret set NAME`, and name that in api_key_secret").into())
        }
        Some(KeyFrom::Secret(name)) if house.vault.get(name.as_str()).is_none() => {
            admin.may(Verb::Use, Kind::Secrets)?;
            Err(Invalid::one(
                "api_key_secret",
                format!("there is no secret `{name}`"),
                format!("store it with `penstock secret set {name}`"),
            )
            .into())
        }
        Some(KeyFrom::Secret(_) | KeyFrom::Variable(_)) => admin.may(Verb::Use, Kind::Secrets),
    }
}

/// Whether its engine can serve the version, as long as it wants.
fn check_version(wanted: &Deployment, version: &Version) -> Result<(), Error> {
    wanted.engine().format_problem(version.format).map_or(Ok(()), Err)?;
    match (wanted.context, version.contents.serving.context_limit) {
        (Some(context), Some(limit)) if context > limit => {
            let what = format!("{context} tokens are more than the {limit} that its model may be served with");
            Err(Invalid::one("context", what, "ask for less, or raise the model's context_limit").into())
        }
        _ => Ok(()),
    }
}

/// Stores what `wanted` makes of the wish as it is now, if it is as expected; tries again when
/// somebody else was faster.
pub(crate) async fn put(
    house: &House,
    name: &Name,
    (expect, admin): (&Expect, &Admin),
    wanted: impl Fn(Option<&Record>) -> Result<Deployment, Error>,
) -> Result<Record, Error> {
    put_because(house, name, (expect, admin, &format!("a change by token `{}`", admin.name())), wanted).await
}

/// The same, with the words that its history has of it.
pub(crate) async fn put_because(
    house: &House,
    name: &Name,
    (expect, admin, because): (&Expect, &Admin, &str),
    wanted: impl Fn(Option<&Record>) -> Result<Deployment, Error>,
) -> Result<Record, Error> {
    for tries in 1..=TRIES {
        let before = house.store.get_deployment(name).await?;
        expect.check(name, before.as_ref())?;
        let spec = wanted(before.as_ref())?;
        may_want(house, admin, before.as_ref(), &spec).await?;
        let generation = before.as_ref().map_or(0, |record| record.generation);
        // An entry of the config stays one: the next start follows the file again, and so does a reload once it was changed there.
        let origin = before.as_ref().filter(|record| !record.deleting).map_or(Origin::Api, |record| record.origin);
        match house.store.put_deployment_because(&spec, (origin, because), Some(generation)).await {
            Err(store::Error::Stale { .. }) => tokio::time::sleep(TURNS.anywhere(tries)).await,
            Err(error) => return Err(error.into()),
            Ok(record) => {
                if let Some(before) = &before {
                    admin.before(&shown::told(&before.spec));
                }
                admin.after(&shown::told(&record.spec));
                match what_happened(before.as_ref(), &record) {
                    Some(kind) => announce(house, kind, &record, admin).await,
                    None => await_seen(house, &record).await, // whoever wrote the same may not have been answered yet
                }
                return Ok(record);
            }
        }
    }
    Err(Error::Busy(name.clone()))
}

fn what_happened(before: Option<&Record>, now: &Record) -> Option<EventKind> {
    match before {
        None => Some(EventKind::DeploymentCreated),
        Some(before) if before.generation != now.generation || before.deleting => Some(EventKind::DeploymentUpdated),
        Some(_) => None,
    }
}

/// Marks a wish as one that is to go; none when there is none.
pub(crate) async fn delete(house: &House, name: &Name, admin: &Admin) -> Result<Option<Record>, Error> {
    let record = house.store.mark_deployment_deleting(name).await?;
    if let Some(record) = &record {
        admin.before(&shown::told(&record.spec));
        announce(house, EventKind::DeploymentDeleting, record, admin).await;
    }
    Ok(record)
}

/// The wish that is stored and not on its way out.
pub(crate) fn alive<'a>(stored: Option<&'a Record>, name: &Name) -> Result<&'a Record, Error> {
    match stored {
        None => Err(Error::not_found("deployment", name)),
        Some(record) if record.deleting => Err(store::Error::Deleting(name.clone()).into()),
        Some(record) => Ok(record),
    }
}

/// Tells the story, and the fleet that there is something to do.
pub(crate) async fn announce(house: &House, kind: EventKind, record: &Record, admin: &Admin) {
    let did = match kind {
        EventKind::DeploymentCreated => "created",
        EventKind::DeploymentDeleting => "deleted",
        _ => "changed",
    };
    let name = &record.spec.name;
    let message = format!("`{name}` was {did} by token `{}`, generation {}", admin.name(), record.generation);
    house.fleet.tell(Event::now(kind, admin.cause(), message).of(name)).await;
    house.fleet.poke();
    await_seen(house, record).await;
}

/// Waits until calls go by it. A fleet that is slower than this acts all the same; only a call right after the answer may come too early.
async fn await_seen(house: &House, record: &Record) {
    let goes_by_it = |table: &Table| match table.deployments.get(&record.spec.name) {
        Some(entry) => !record.deleting && entry.generation >= record.generation,
        None => record.deleting,
    };
    let _ = tokio::time::timeout(SEEN_WITHIN, house.board.wait_for(goes_by_it)).await;
}
