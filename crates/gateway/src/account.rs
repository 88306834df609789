//! Account: how each call ended, in one usage row, the metrics and one line of the log.
//!
//! In: the steps of the walk as they happen. Out: on drop, exactly one row into the journal. Fails:
//! never, and never waits: a full journal is counted and said. Holds: the permit, so that what was
//! set aside is settled with what was used. A call that says nothing of its end was cancelled:
//! whoever asked has gone, and the future or the stream was dropped.

mod journal;

use std::time::Duration;

use access::Permit;
use base::{Fault as _, Kind};
use board::Entry;
use spec::{Ending, Name, Usage};
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wire::stream::Summary;

pub(crate) use journal::Journal;

use crate::Gateway;
use crate::call::{Call, Face};
use crate::error::{CLIENT_GONE, Error};
use crate::metrics::{CallLabel, Code, Figures, Stage, Why};

/// Longer model names are the client's words and are cut in rows and logs.
const LONGEST_MODEL: usize = 128;

/// One call's page in the books.
#[derive(Debug)]
pub(crate) struct Account {
    gateway: Gateway,
    face: Face,
    row: Usage,
    began: Instant,
    first: Option<Instant>,
    prompt_estimate: u64,
    served: Option<(Name, CallLabel)>,
    failure: Option<&'static str>,
    own_time: Duration,
    permit: Option<Permit>,
    _counted: TaskTrackerToken,
}

impl Account {
    /// Opens the page of a call.
    pub(crate) fn open(gateway: &Gateway, call: &Call, prompt_estimate: u64) -> Self {
        const DIGITS: usize = 8;
        let arrival = &call.arrival;
        let row = Usage {
            // A client may use an id twice, a row is kept once for each: theirs gets a tail of ours.
            request_id: if arrival.borrowed_id {
                format!("{}.{}", arrival.id, base::id::random_hex(DIGITS))
            } else {
                arrival.id.to_string()
            },
            at: arrival.at,
            token: call.caller.token.clone(),
            project: call.caller.project.clone(),
            model: call.ask.model.chars().take(LONGEST_MODEL).collect(),
            operation: call.operation().to_owned(),
            status: CLIENT_GONE,
            ending: Ending::Cancelled,
            prompt_tokens: 0,
            completion_tokens: 0,
            estimated: false,
            duration_ms: 0,
            first_byte_ms: None,
        };
        gateway.metrics().in_flight.inc();
        Self {
            gateway: gateway.clone(),
            face: call.face,
            row,
            began: arrival.began,
            first: None,
            prompt_estimate,
            served: None,
            failure: None,
            own_time: Duration::ZERO,
            permit: None,
            _counted: gateway.stopping().call(),
        }
    }

    /// The call was let in.
    pub(crate) fn admitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The call goes to an engine of this deployment.
    pub(crate) fn sent(&mut self, entry: &Entry, call: &Call) {
        let label = CallLabel {
            gen_ai_operation_name: call.ask.shape.operation(),
            gen_ai_provider_name: entry.spec.engine().as_str(),
            gen_ai_request_model: entry.name.to_string(),
            gen_ai_response_model: entry.upstream_model.clone(),
            error_type: Code::None,
        };
        self.served = Some((entry.name.clone(), label));
        self.row.prompt_tokens = self.prompt_estimate;
        self.row.estimated = true;
    }

    /// Our own guess at the prompt.
    pub(crate) fn prompt_estimate(&self) -> u64 {
        self.prompt_estimate
    }

    /// The first byte of the answer is there.
    pub(crate) fn first_byte(&mut self) {
        const OK: u16 = 200;
        self.first.get_or_insert_with(Instant::now);
        if self.row.ending == Ending::Cancelled {
            self.row.status = OK;
        }
    }

    /// True once the client has been told anything.
    pub(crate) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Work of ours on the answer; its time counts as overhead.
    pub(crate) fn working<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let from = Instant::now();
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

    /// The engine's own count.
    pub(crate) fn counted(&mut self, usage: wire::openai::Usage) {
        self.row.prompt_tokens = usage.prompt;
        self.row.completion_tokens = usage.completion;
        self.row.estimated = false;
    }

    /// It ended as it should.
    pub(crate) fn completed(&mut self) {
        self.first_byte();
        self.row.ending = Ending::Completed;
        self.failure = None;
    }

    /// The engine ended it with an error that the client has been told.
    pub(crate) fn failed_upstream(&mut self) {
        self.row.ending = Ending::Failed;
        self.failure = Some("upstream_error");
    }

    /// It ended with this error.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.row.ending = if self.served.is_some() { Ending::Failed } else { Ending::Rejected };
        self.failure = Some(error.word());
        if self.first.is_none() {
            self.row.status = error.status(self.face);
        }
        if let Error::Board(refusal) = error {
            match refusal {
                board::Error::QueueFull { .. } => self.gateway.metrics().backpressure(Why::QueueFull),
                board::Error::QueueTimeout { .. } => self.gateway.metrics().backpressure(Why::WaitTimeout),
                _ => {}
            }
        }
        let (id, model, chain) = (&self.row.request_id, &self.row.model, base::chain(error));
        match error.kind() {
            Kind::Internal => tracing::error!(request_id = id, model, error = chain, "call failed"),
            Kind::Upstream | Kind::Timeout => tracing::warn!(request_id = id, model, error = chain, "call failed"),
            _ => tracing::debug!(request_id = id, model, error = chain, "call refused"),
        }
    }

    fn settle(&mut self) {
        let tokens = if self.served.is_some() { self.row.prompt_tokens.saturating_add(self.row.completion_tokens) } else { 0 };
        if let Some(mut permit) = self.permit.take() {
            permit.settle(tokens);
        }
    }

    fn measure(&mut self) {
        let metrics = self.gateway.metrics();
        metrics.in_flight.dec();
        let Some((model, mut label)) = self.served.take() else { return };
        metrics.spent(Stage::Relay, self.own_time);
        label.error_type = match self.row.ending {
            Ending::Completed => Code::None,
            Ending::Cancelled => Code::Is("cancelled"),
            Ending::Failed | Ending::Rejected => Code::Is(self.failure.unwrap_or("upstream_error")),
        };
        if self.row.ending == Ending::Completed {
            self.gateway.lately().note(&model, self.row.completion_tokens);
        }
        let figures = Figures {
            duration: self.began.elapsed(),
            first_token: self.first.map(|first| first.duration_since(self.began)),
            prompt_tokens: self.row.prompt_tokens,
            completion_tokens: self.row.completion_tokens,
        };
        metrics.called(label, &figures);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.row.duration_ms = ms(self.began.elapsed());
        self.row.first_byte_ms = self.first.map(|first| ms(first.duration_since(self.began)));
        self.settle();
        self.measure();
        let row = &self.row;
        tracing::info!(
            request_id = row.request_id,
            model = row.model,
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
        self.gateway.journal().post(row.clone());
    }
}
