//! How many tokens are texts that take long to count?
//!
//! In: whoever asks, the model's counter, the texts. Out: a count of them all, or as much as shows that they are too long. Fails:
//! `None` where the library does. Holds: a thread off the async ones for a piece of about 64 KiB at a time, and a turn with it. Few
//! pieces are counted at once, and one of each holder of tokens, so that the texts of one do not keep others waiting. Who leaves
//! leaves at most a piece behind, which keeps its turn to its end.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use access::Caller;
use base::tasks;
use tokens::{Count, Counter, PIECE};
use tokio::sync::Semaphore;

use crate::kept::owner;

/// Pieces that are counted at the same time; each takes a core for some milliseconds.
const AT_ONCE: usize = 2;
/// Bytes after which a turn ends; what is counted last may be a whole piece.
const ENOUGH: usize = PIECE / 2;

/// Who may work on long texts now.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    /// One for each holder who works or waits.
    holders: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Texts to be counted one by one; `None` ends a prompt.
pub(crate) type Texts = VecDeque<Option<String>>;

/// Tokens that were counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) all: u64,
    /// The longest prompt has no fewer.
    pub(crate) longest: u64,
    /// Of the prompt that has not ended.
    this: u64,
}

/// A count under way.
struct Tally {
    texts: Texts,
    /// So many bytes of the first text are counted.
    read: usize,
    counter: Arc<Counter>,
    counted: Counted,
}

/// Counts these texts, until a prompt has more tokens than this.
pub(crate) async fn count(turns: &Turns, caller: &Caller, counter: Arc<Counter>, texts: Texts, limit: Option<u64>) -> Option<Counted> {
    let mut tally = Tally { texts, read: 0, counter, counted: Counted::default() };
    while !tally.texts.is_empty() && limit.is_none_or(|limit| tally.counted.longest <= limit) {
        let work = move || {
            tally.go_on();
            tally
        };
        tally = turns.take(caller, work).await?;
    }
    Some(tally.counted)
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), holders: Mutex::default() }
    }
}

impl Turns {
    /// Does this off the async threads when it is the caller's turn; `None` when it panicked.
    pub(crate) async fn take<T: Send + 'static>(&self, caller: &Caller, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let own = self.of(owner(caller)).acquire_owned().await.ok()?;
        let any = Arc::clone(&self.all).acquire_owned().await.ok()?;
        let work = move || {
            let _turn = (own, any); // with the work, which nobody can stop
            work()
        };
        tasks::blocking("count-tokens", work).await
    }

    fn of(&self, holder: String) -> Arc<Semaphore> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = holders.get(&holder).and_then(Weak::upgrade) {
            return own;
        }
        holders.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(1));
        holders.insert(holder, Arc::downgrade(&own));
        own
    }
}

impl Counted {
    pub(crate) fn add(&mut self, count: Count) {
        self.all += count.tokens;
        self.this += count.at_least();
        self.longest = self.longest.max(self.this);
    }
    pub(crate) fn end_prompt(&mut self) {
        self.this = 0;
    }
}

impl Tally {
    /// Counts on for a turn.
    fn go_on(&mut self) {
        let mut bytes = 0;
        while bytes < ENOUGH
            && let Some(text) = self.texts.front()
        {
            let Some(text) = text else {
                self.counted.end_prompt();
                self.texts.pop_front();
                continue;
            };
            let rest = text.get(self.read..).unwrap_or_default();
            let (count, more) = self.counter.count_start(rest);
            self.counted.add(count);
            bytes += rest.len() - more.len();
            self.read = text.len() - more.len();
            if more.is_empty() {
                self.texts.pop_front();
                self.read = 0;
            }
        }
    }
}
