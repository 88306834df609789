//! How far is the fetching of a model's files, and does anybody still want them?
//!
//! In: the registry's [`Progress`] of a wish that is being frozen. Out: numbers, taken once a turn, so that everything that is made of the
//! world in that turn says the same; a phase and a reason for people. Fails: never. Holds: the word that the files are wanted; it is gone
//! when the wish is, or becomes another one, and then the fetching ends. What has come stays.

use std::sync::Arc;
use std::time::Duration;

use base::clock::human;
use base::{ByteSize, Fault as _};
use registry::{BlobError, Error, Progress, Registry};
use spec::{Reason, ReasonCode, Source, Version};
use tokio::sync::oneshot;

use crate::world::{Resolve, Wish, World};

/// The files of a wish that are on their way.
#[derive(Debug, Clone, Default)]
pub struct Fetching {
    wanted: Option<Arc<Wanted>>,
    /// How far it was at the beginning of this turn; nothing before the size is known.
    pub seen: Option<Seen>,
}

#[derive(Debug)]
struct Wanted {
    progress: Progress,
    /// Whoever fetches notices when it goes.
    _word: oneshot::Sender<()>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes for each second.
    pub rate: Option<u64>,
    /// How long the rest takes.
    pub eta: Option<Duration>,
}

/// What fetches them.
#[derive(Debug)]
pub(crate) struct Fetch {
    progress: Progress,
    gone: oneshot::Receiver<()>,
}

impl Fetching {
    /// Begins.
    pub(crate) fn begin() -> (Self, Fetch) {
        let (word, gone) = oneshot::channel();
        let progress = Progress::new();
        let wanted = Arc::new(Wanted { progress: progress.clone(), _word: word });
        (Self { wanted: Some(wanted), seen: None }, Fetch { progress, gone })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes for each second, shown to people")]
    fn look(&self) -> Option<Seen> {
        let progress = &self.wanted.as_ref()?.progress;
        let (done, total) = (progress.done(), progress.total());
        let seen = Seen { done, total, rate: progress.rate().map(|rate| rate as u64), eta: progress.eta() };
        (total > 0).then_some(seen)
    }
}

impl Fetch {
    /// The version with its files, unless nobody wants it any more.
    pub(crate) async fn bring(self, registry: &Registry, source: &Source) -> Result<Version, Error> {
        tokio::select! {
            resolved = registry.resolve_watched(source, &self.progress) => resolved,
            _gone = self.gone => Err(Error::Stopped),
        }
    }
}

/// Why there is no version, with what to do.
pub(crate) fn unresolved(error: &Error) -> Reason {
    let code = match error {
        Error::Missing { .. }
        | Error::MissingPart { .. }
        | Error::Changed { .. }
        | Error::NotAFile { .. }
        | Error::Permission { .. }
        | Error::NotFound { .. }
        | Error::NotThere { .. } => ReasonCode::ModelMissing,
        Error::UnknownArchitecture { .. } => ReasonCode::ModelUnknown,
        Error::Unreachable { .. }
        | Error::Denied { .. }
        | Error::Answered { .. }
        | Error::BadAnswer { .. }
        | Error::OtherRange { .. }
        | Error::List { .. }
        | Error::Moved { .. }
        | Error::BadSource { .. }
        | Error::Stopped => ReasonCode::SourceUnreachable,
        Error::Blobs(error) => of_bytes(error),
        _ => ReasonCode::ModelCorrupt,
    };
    Reason::new(code, base::chain(error), error.hint().unwrap_or_default())
}

/// What is wrong with the bytes themselves, with the disk, or with the line.
fn of_bytes(error: &BlobError) -> ReasonCode {
    match error {
        BlobError::DiskFull { .. } | BlobError::CacheFull { .. } => ReasonCode::DiskFull,
        BlobError::Mismatch { .. } | BlobError::Length { .. } => ReasonCode::ModelCorrupt,
        BlobError::NoBlob(_) => ReasonCode::ModelMissing,
        _ => ReasonCode::SourceUnreachable,
    }
}

impl Seen {
    /// Between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "a share that is shown to people")]
    pub(crate) fn share(&self) -> f64 {
        self.done as f64 / self.total.max(1) as f64
    }
}

/// Looks at those that are on their way.
pub(crate) fn look(world: &mut World) {
    for name in world.wishes.that(|wish| wish.fetching.wanted.is_some()) {
        let Some(wish) = world.wishes.get_mut(&name) else { continue };
        match wish.resolve {
            Resolve::Running => wish.fetching.seen = wish.fetching.look(),
            _ => wish.fetching = Fetching::default(),
        }
    }
}

/// Its files are on their way.
pub(crate) fn seen(wish: &Wish) -> Option<Seen> {
    if matches!(wish.resolve, Resolve::Running) { wish.fetching.seen } else { None }
}

/// Why a wish that is not frozen yet is not ready.
pub(crate) fn reason(wish: &Wish) -> Reason {
    let Some(seen) = seen(wish) else {
        return Reason::new(ReasonCode::Progressing, "the model's files are being read", "");
    };
    let rate = seen.rate.map(|rate| format!(", {} each second", ByteSize(rate))).unwrap_or_default();
    let eta = seen.eta.map(|eta| format!(", about {} to go", human::print(Duration::from_secs(eta.as_secs().max(1))))).unwrap_or_default();
    let message = format!("the model's files are being fetched: {} of {}{rate}{eta}", ByteSize(seen.done), ByteSize(seen.total));
    Reason::new(ReasonCode::Progressing, message, "").with("bytes_done", seen.done).with("bytes_total", seen.total)
}
