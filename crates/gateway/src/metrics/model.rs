//! Numbers of one model and operation, in the names of the GenAI conventions.
//!
//! In: ends of calls. Out: numbers for a scrape. Holds: atomics; a series is found by the model's
//! name without a lock, and nothing is allocated but for a series that is new. Bounds:
//! [`MOST_SERIES`]; a model beyond them is counted as `other`, and that is counted too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::histogram::{CALL, EACH, FIRST, Histogram, TOKENS};

/// Pairs of model and operation that are told apart.
const MOST_SERIES: usize = 1000;
/// Kinds of failure of one series; there are fewer words than that.
const MOST_FAILURES: usize = 64;
/// The model beyond the bound, and the one that does not exist.
pub(crate) const OTHER: &str = "other";

/// What a series is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Model<'a> {
    /// `gen_ai.operation.name`
    pub(crate) operation: &'static str,
    /// `gen_ai.provider.name`
    pub(crate) provider: &'static str,
    /// `gen_ai.request.model`: a name that the board knows, or [`OTHER`].
    pub(crate) asked: &'a str,
    /// `gen_ai.response.model`
    pub(crate) answers: &'a str,
}

/// The numbers of one model and operation.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) operation: &'static str,
    pub(crate) provider: &'static str,
    pub(crate) asked: Box<str>,
    pub(crate) answers: Box<str>,
    pub(crate) duration: Histogram,
    pub(crate) first: Histogram,
    pub(crate) each: Histogram,
    pub(crate) tokens_in: Histogram,
    pub(crate) tokens_out: Histogram,
    failed: RwLock<Vec<(&'static str, Arc<Histogram>)>>,
}

/// The times and tokens of one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) duration: Duration,
    pub(crate) first_token: Option<Duration>,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    /// What went wrong, in a word of ours.
    pub(crate) error: Option<&'static str>,
}

impl Series {
    fn new(model: Model<'_>) -> Self {
        Self {
            operation: model.operation,
            provider: model.provider,
            asked: model.asked.into(),
            answers: model.answers.into(),
            duration: Histogram::new(&CALL),
            first: Histogram::new(&FIRST),
            each: Histogram::new(&EACH),
            tokens_in: Histogram::new(&TOKENS),
            tokens_out: Histogram::new(&TOKENS),
            failed: RwLock::default(),
        }
    }

    fn is(&self, model: Model<'_>) -> bool {
        self.operation == model.operation && self.provider == model.provider && *self.answers == *model.answers
    }

    /// A call has ended.
    pub(crate) fn note(&self, figures: &Figures) {
        for (tokens, count) in [(&self.tokens_in, figures.prompt_tokens), (&self.tokens_out, figures.completion_tokens)] {
            if count > 0 {
                tokens.note(count);
            }
        }
        if let Some(error) = figures.error {
            return self.failure(error).note_time(figures.duration);
        }
        self.duration.note_time(figures.duration);
        let Some(first) = figures.first_token else { return };
        self.first.note_time(first);
        if let Some(after) = u32::try_from(figures.completion_tokens).ok().and_then(|tokens| tokens.checked_sub(1)).filter(|n| *n > 0) {
            self.each.note_time(figures.duration.saturating_sub(first) / after);
        }
    }

    fn failure(&self, error: &'static str) -> Arc<Histogram> {
        let find = |failed: &[(&'static str, Arc<Histogram>)]| {
            failed.iter().find(|(word, _)| *word == error).map(|(_, histogram)| Arc::clone(histogram))
        };
        if let Some(known) = find(&self.failed.read().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let mut failed = self.failed.write().unwrap_or_else(PoisonError::into_inner);
        let full = failed.len() >= MOST_FAILURES;
        if let Some(known) = find(&failed).or_else(|| failed.last().filter(|_| full).map(|(_, last)| Arc::clone(last))) {
            return known;
        }
        let histogram = Arc::new(Histogram::new(&CALL));
        failed.push((error, Arc::clone(&histogram)));
        histogram
    }

    /// How long calls took that failed, by their words.
    pub(crate) fn failures(&self) -> Vec<(&'static str, Arc<Histogram>)> {
        self.failed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The series of one name.
type Named = Vec<Arc<Series>>;

/// All series.
#[derive(Debug, Default)]
pub(crate) struct Models {
    known: ArcSwap<HashMap<Box<str>, Named>>,
    writing: Mutex<()>,
    /// Calls that were counted as another model's.
    pub(crate) dropped: AtomicU64,
}

impl Models {
    /// The series of this model.
    pub(crate) fn of(&self, model: Model<'_>) -> Arc<Series> {
        let known = self.known.load();
        let found = known.get(model.asked).and_then(|named| named.iter().find(|series| series.is(model)));
        found.map_or_else(|| self.new_one(model), Arc::clone)
    }

    #[cold]
    fn new_one(&self, model: Model<'_>) -> Arc<Series> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load_full();
        let full = known.values().map(Vec::len).sum::<usize>() >= MOST_SERIES;
        let find = |model: Model<'_>| known.get(model.asked)?.iter().find(|series| series.is(model)).cloned();
        if let Some(series) = find(model) {
            return series;
        }
        let beyond = Model { provider: OTHER, asked: OTHER, answers: OTHER, ..model };
        let model = if full { beyond } else { model };
        if full {
            self.dropped.fetch_add(1, Relaxed);
            if let Some(series) = find(model) {
                return series;
            }
        }
        let series = Arc::new(Series::new(model));
        let mut more = HashMap::clone(&known);
        more.entry(model.asked.into()).or_default().push(Arc::clone(&series));
        self.known.store(Arc::new(more));
        series
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Named {
        let mut all: Named = self.known.load().values().flatten().cloned().collect();
        all.sort_by(|one, other| (&one.asked, one.operation).cmp(&(&other.asked, other.operation)));
        all
    }
}
