//! From a decision to a running engine: find its program, write the order and the intent, start it.
//!
//! In: an instance that fits. Out: a report to the owner. Fails: as a [`Reason`], with what to do; that the model's files are not what they
//! were is told apart, since its wish may mean another version by now. The intent is written before the start, so that a crash between the two
//! is found again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Fault, Secret, Timestamp};
use engine::Place;
use registry::{Held, Registry};
use runtime::Runtime;
use runtime::programs::Programs;
use spec::{Binary, EngineKind, Grant, InstanceId, Keep, Order, Reason, ReasonCode, Revision, Version};
use store::Kept;

use crate::Error;
use crate::fetching::unresolved;
use crate::seam::Store;

/// What a start needs beside the instance.
#[derive(Clone)]
pub(crate) struct Yard {
    pub(crate) store: Store,
    pub(crate) programs: Arc<Programs>,
    pub(crate) instances_dir: PathBuf,
    pub(crate) orphan_ttl: Duration,
    pub(crate) threads: u32,
}

/// The instance to start.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) id: InstanceId,
    pub(crate) revision: Arc<Revision>,
    pub(crate) key: Secret,
    pub(crate) created_at: Timestamp,
    pub(crate) grant: Grant,
}

/// Why a start came to nothing.
#[derive(Debug)]
pub enum Unstarted {
    /// The files of its version, which others keep, are not what they were.
    Changed(Reason),
    /// Something else.
    Failed(Reason),
}

impl From<Reason> for Unstarted {
    fn from(reason: Reason) -> Self {
        Self::Failed(reason)
    }
}

/// The files that an engine is about to read are those of its version, and stay.
pub(crate) async fn at_hand(registry: &Registry, version: Option<&Version>) -> Result<Held, Unstarted> {
    let Some(version) = version else { return Ok(Held::default()) };
    registry.at_hand(version).await.map_err(|error| match version.contents.keep {
        Keep::Reference => Unstarted::Changed(unresolved(&error)),
        Keep::Blobs => Unstarted::Failed(unresolved(&error)),
    })
}

/// Starts it.
pub(crate) async fn launch(yard: Yard, runtime: Arc<dyn Runtime>, start: Start) -> Result<Order, Reason> {
    let kind = start.revision.spec.engine();
    let binary = program(&yard, kind).await?;
    order(&yard, &start, binary, runtime.as_ref()).await.map_err(|error| reason(&error))
}

async fn order(yard: &Yard, start: &Start, binary: Binary, runtime: &dyn Runtime) -> Result<Order, Error> {
    let fence = yard.store.next_fence().await?;
    let place = Place {
        instance: start.id.clone(),
        fence,
        dir: runtime::process::socket_dir(&yard.instances_dir, &start.id),
        binary,
        threads: yard.threads,
        grant: start.grant.clone(),
        key: start.key.clone(),
        orphan_ttl: yard.orphan_ttl,
    };
    let order = engine::engine(start.revision.spec.engine()).order(&start.revision, &place)?;
    let kept = Kept {
        id: start.id.clone(),
        deployment: start.revision.spec.name.clone(),
        revision: start.revision.number,
        fence,
        key: start.key.clone(),
        created_at: start.created_at,
    };
    yard.store.put_instance(&kept).await?;
    runtime.launch(&order).await?;
    Ok(order)
}

async fn program(yard: &Yard, kind: EngineKind) -> Result<Binary, Reason> {
    yard.programs.find(kind).await.map_err(|error| {
        let remedy = error.hint().unwrap_or_else(|| "run `penstock doctor`".to_owned());
        Reason::new(ReasonCode::EngineMissing, base::chain(&error), remedy)
    })
}

fn reason(error: &Error) -> Reason {
    let code = match error {
        Error::Engine(_) => ReasonCode::EngineRejected,
        _ => ReasonCode::EngineExited,
    };
    Reason::new(code, base::chain(error), error.hint().unwrap_or_default())
}
