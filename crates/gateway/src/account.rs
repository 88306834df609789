//! Account: how each call ended, in one usage row, the metrics and one line of the log.
//!
//! In: the steps of the walk as they happen. Out: on drop, exactly one row into the journal. Fails:
//! never, and never waits: a row goes into the journal's memory, borrowed texts and all. Holds: the permit, so that what was
//! set aside is settled with what was used. A call that says nothing of its end was cancelled:
//! whoever asked has gone, and the future or the stream was dropped.

use std::sync::Arc;
use std::time::Duration;

use access::{Caller, Permit, Rates, Used};
use base::{Fault as _, Kind};
use board::{Entry, Lease, Member};
use spec::{Ending, Tokens, Usage};
use store::Journal;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wire::stream::Summary;

use crate::Gateway;
use crate::call::{Call, Face};
use crate::error::{CLIENT_GONE, Error};
use crate::metrics::{Figures, Model, OTHER, Source, Why};
use crate::passage::{Arrival, Ended};

/// Longer model names are the client's words and are cut in rows and logs.
const LONGEST_MODEL: usize = 128;

/// One call's page in the books.
#[derive(Debug)]
pub(crate) struct Account {
    gateway: Gateway,
    face: Face,
    /// The figures; its texts are put in at the end.
    row: Usage<&'static str>,
    caller: Arc<Caller>,
    model: String,
    began: Instant,
    first: Option<Instant>,
    prompt_estimate: u64,
    arrival: Arrival,
    operation: &'static str,
    streamed: bool,
    /// Who asked waits for the answer, and sees its status.
    is_awaited: bool,
    entry: Option<Arc<Entry>>,
    member: Option<Arc<Member>>,
    failure: Option<&'static str>,
    own_time: Duration,
    permit: Option<Permit>,
    rates: Rates,
    _counted: TaskTrackerToken,
}

impl Account {
    /// Opens the page of a call.
    pub(crate) fn open(gateway: &Gateway, call: &Call, prompt_estimate: u64) -> Self {
        let arrival = &call.arrival;
        let row = Usage { at: arrival.at, operation: call.operation(), status: CLIENT_GONE, ..Usage::default() };
        gateway.metrics().call_began();
        Self {
            gateway: gateway.clone(),
            face: call.face,
            row,
            caller: Arc::clone(&call.caller),
            model: cut(&call.ask.model).to_owned(),
            began: arrival.began,
            first: None,
            prompt_estimate,
            arrival: arrival.clone(),
            operation: call.ask.shape.operation(),
            streamed: call.streamed,
            is_awaited: call.is_awaited(),
            entry: None,
            member: None,
            failure: None,
            own_time: Duration::ZERO,
            permit: None,
            rates: Rates::default(),
            _counted: gateway.stopping().call(),
        }
    }

    /// The call was let in, with a prompt of so many tokens.
    pub(crate) fn admitted(&mut self, permit: Permit, prompt: u64) {
        self.rates = permit.rates();
        self.prompt_estimate = prompt;
        self.permit = Some(permit);
        self.gateway.metrics().reserved();
    }

    /// What was set aside for it, while it runs.
    pub(crate) fn permit(&mut self) -> Option<&mut Permit> {
        self.permit.as_mut()
    }

    /// The call was not let in: these are the limits.
    pub(crate) fn limited(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// The tightest limits of the caller, as they were when the call came to be admitted.
    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    /// There is such a model.
    pub(crate) fn found(&mut self, entry: &Arc<Entry>) {
        self.entry = Some(Arc::clone(entry));
    }

    /// The deployment that the call went to, or would have.
    pub(crate) fn entry(&self) -> Option<&Arc<Entry>> {
        self.entry.as_ref()
    }

    /// The call goes to the member of this lease.
    pub(crate) fn sent(&mut self, lease: &Lease) {
        if self.member.replace(Arc::clone(&lease.member)).is_some() {
            (self.row.ending, self.failure) = (Ending::default(), None); // how the last one ended does not matter any more
            self.sent_again();
        }
        self.entry = Some(Arc::clone(&lease.entry));
        let row = &mut self.row;
        row.wait_ms += ms(lease.waited);
        (row.prompt_tokens, row.estimated) = (self.prompt_estimate, true);
        // Nor what the last one counted.
        (row.cached_tokens, row.completion_tokens, row.reasoning_tokens) = (0, 0, 0);
    }

    /// It goes there once more.
    pub(crate) fn sent_again(&mut self) {
        self.row.retries += 1;
        self.gateway.metrics().retried();
    }

    /// Our own guess at the prompt.
    pub(crate) fn prompt_estimate(&self) -> u64 {
        self.prompt_estimate
    }

    /// The first byte of the answer is there.
    pub(crate) fn first_byte(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    /// It was there at that moment.
    pub(crate) fn first_byte_at(&mut self, at: Instant) {
        self.first.get_or_insert(at);
    }

    /// What began as an answer is an error: nothing was made.
    pub(crate) fn began_with_an_error(&mut self) {
        self.first = None;
    }

    /// True once the engine has begun to answer, so that the client may have been told of it.
    pub(crate) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Work of ours on the answer, begun now; its time counts as overhead.
    pub(crate) fn working<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.working_since(Instant::now(), work)
    }

    /// The same for who has just looked at the clock.
    pub(crate) fn working_since<T>(&mut self, from: Instant, work: impl FnOnce() -> T) -> T {
        let done = work();
        self.own_time += from.elapsed();
        done
    }

    /// What a stream has brought so far: the engine's own count, else events.
    pub(crate) fn note(&mut self, summary: &Summary) {
        match summary.usage {
            Some(usage) => self.counted(usage),
            None if self.row.estimated => self.row.completion_tokens = summary.content_frames,
            None => {}
        }
    }

    /// So much was made, by our own guess.
    pub(crate) fn made(&mut self, completion: u64) {
        self.row.completion_tokens = completion;
    }

    /// The engine's own count, as far as it can be believed.
    pub(crate) fn counted(&mut self, usage: wire::openai::Usage) {
        const MOST: u64 = u32::MAX as u64; // more than any context holds
        self.row.completion_tokens = usage.completion.min(MOST);
        self.row.reasoning_tokens = usage.reasoning.min(MOST);
        if usage.prompt == 0 {
            return; // no prompt is empty: what it does not say stays our guess
        }
        self.row.prompt_tokens = usage.prompt.min(MOST);
        self.row.cached_tokens = usage.cached.min(MOST);
        self.row.estimated = false;
    }

    /// It ended as it should.
    pub(crate) fn completed(&mut self) {
        const OK: u16 = 200;
        self.first_byte();
        (self.row.ending, self.row.status) = (Ending::Completed, OK);
        self.failure = None;
    }

    /// The engine ended it with an error that the client has been told.
    pub(crate) fn failed_upstream(&mut self) {
        self.row.ending = Ending::Failed;
        self.failure = Some("upstream_error");
    }

    /// It ended with this error.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.row.ending = if self.member.is_some() { Ending::Failed } else { Ending::Rejected };
        self.failure = Some(error.word());
        self.row.status = error.status(self.face);
        if let Error::Board(refusal) = error {
            match refusal {
                board::Error::QueueFull { .. } => self.gateway.metrics().backpressure(Why::QueueFull),
                board::Error::QueueTimeout { .. } => self.gateway.metrics().backpressure(Why::WaitTimeout),
                _ => {}
            }
        }
        let (id, model, chain) = (&*self.arrival.id, &self.model, base::chain(error));
        match error.kind() {
            Kind::Internal => tracing::error!(request_id = id, model, error = chain, "call failed"),
            Kind::Upstream | Kind::Timeout => tracing::warn!(request_id = id, model, error = chain, "call failed"),
            _ => tracing::debug!(request_id = id, model, error = chain, "call refused"),
        }
    }

    /// What was made is paid for; an engine that failed before it said anything has made nothing.
    fn price(&mut self) {
        let row = &mut self.row;
        if row.ending == Ending::Failed && self.first.is_none() && row.estimated {
            (row.prompt_tokens, row.completion_tokens) = (0, 0);
        }
        let paid = self.member.is_some() && (row.ending != Ending::Failed || self.first.is_some());
        if let Some(entry) = self.entry.as_ref().filter(|_| paid) {
            let tokens = Tokens { input: row.prompt_tokens, cached: row.cached_tokens, output: row.completion_tokens };
            row.cost = entry.spec.prices.cost(tokens);
        }
    }

    /// Into the journal.
    fn book(&self) {
        let caller = &self.caller;
        self.gateway.journal().append(&Usage {
            request_id: &*self.arrival.id,
            token: caller.token(),
            project: caller.project(),
            model: &self.model,
            deployment: self.entry.as_ref().map(|entry| entry.name.as_str()),
            instance: self.member.as_ref().map(|member| member.id.as_str()),
            error: self.error(),
            ..self.row.clone()
        });
    }

    fn settle(&mut self) {
        let Some(mut permit) = self.permit.take() else { return };
        self.gateway.metrics().settled();
        if self.member.is_some() {
            let row = &self.row;
            let whole = row.ending == Ending::Completed;
            permit.settle(Used { input: row.prompt_tokens, output: row.completion_tokens, cost: row.cost, whole });
        }
    }

    fn measure(&mut self, duration: Duration) {
        let metrics = self.gateway.metrics();
        metrics.call_ended();
        if self.row.ending == Ending::Cancelled {
            // All that it held has been let go; one in the background is left by nobody.
            metrics.cancelled(self.arrival.left_after().map_or(Duration::ZERO, |from| duration.saturating_sub(from)));
        }
        if self.member.is_some() {
            metrics.spent(&self.arrival.laps, self.own_time);
        }
        let operation = self.operation;
        let model = match &self.entry {
            Some(entry) => {
                let (provider, answers) = (entry.spec.engine().as_str(), entry.upstream_model.as_str());
                Model { operation, provider, asked: &self.model, answers }
            }
            None => Model { operation, provider: OTHER, asked: OTHER, answers: OTHER },
        };
        let figures = Figures {
            duration,
            first_token: self.first.map(|first| first.duration_since(self.began)),
            prompt_tokens: self.row.prompt_tokens,
            completion_tokens: self.row.completion_tokens,
            error: self.error(),
        };
        metrics.called(model, &figures);
    }

    /// What went wrong, in a word.
    fn error(&self) -> Option<&'static str> {
        match self.row.ending {
            Ending::Completed => None,
            Ending::Cancelled => Some("cancelled"),
            Ending::Failed | Ending::Rejected => Some(self.failure.unwrap_or("upstream_error")),
        }
    }

    /// To those who write down what became of the request.
    fn tell(&mut self) {
        if !self.arrival.is_told() {
            return;
        }
        let row = &self.row;
        let ended = Ended {
            operation: self.operation,
            model: std::mem::take(&mut self.model),
            entry: self.entry.take(),
            member: self.member.take(),
            ending: row.ending,
            error: self.failure,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            estimated: row.estimated,
            first_byte: self.first.map(|first| first.duration_since(self.began)),
            own_time: self.own_time,
            streamed: self.streamed,
        };
        self.arrival.call_ended(ended);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        if let Some(status) = self.arrival.shown().filter(|_| self.is_awaited) {
            self.row.status = status; // whatever became of it after its head was out
        }
        self.row.duration_ms = ms(duration);
        self.row.first_byte_ms = self.first.map(|first| ms(first.duration_since(self.began)));
        self.price();
        self.settle();
        self.measure(duration);
        let row = &self.row;
        tracing::debug!(
            request_id = &*self.arrival.id,
            model = self.model,
            operation = row.operation,
            status = row.status,
            ending = ?row.ending,
            reason = self.failure,
            prompt_tokens = row.prompt_tokens,
            completion_tokens = row.completion_tokens,
            ms = row.duration_ms,
            first_byte_ms = row.first_byte_ms,
            "call"
        );
        self.book();
        self.tell();
    }
}

/// The journal's numbers for Prometheus.
pub(crate) fn readings(journal: Journal) -> Source {
    Arc::new(move |readings| {
        let stand = journal.stand();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let float = |count: u64| count as f64;
        readings.counter("penstock_usage_rows_dropped", "Usage rows lost because the journal was full or damaged", stand.lost);
        readings.gauge("penstock_usage_journal_bytes", "Bytes of the usage journal's files", float(stand.bytes));
        readings.gauge("penstock_usage_rows_behind", "Usage rows that are not in the database yet", float(stand.behind));
        readings.gauge("penstock_usage_journal_alarm", "1 while the usage journal takes no rows", float(u64::from(stand.alarm.is_some())));
    })
}

/// The client's word for a model, if it is not too long; else its beginning.
fn cut(model: &str) -> &str {
    model.get(..model.floor_char_boundary(LONGEST_MODEL)).unwrap_or(model)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
