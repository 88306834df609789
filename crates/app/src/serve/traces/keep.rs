//! What is kept of a request until its spans are made: small, and made on the thread that served it.

use std::net::SocketAddr;
use std::time::Duration;

use base::Timestamp;
use gateway::{Lap, Record, SpanId, TraceId};
use spec::Ending;

/// A request that is over and sampled.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) at: Timestamp,
    pub(super) duration: Duration,
    pub(super) trace: TraceId,
    pub(super) parent: Option<SpanId>,
    pub(super) span: SpanId,
    pub(super) engine: SpanId,
    pub(super) id: Box<str>,
    pub(super) method: &'static str,
    pub(super) route: Box<str>,
    pub(super) status: u16,
    pub(super) client: Option<SocketAddr>,
    pub(super) agent: Box<str>,
    pub(super) token: Option<Box<str>>,
    pub(super) project: Option<Box<str>>,
    pub(super) bytes: (u64, u64),
    pub(super) laps: Vec<Lap>,
    pub(super) call: Option<KeptCall>,
}

/// The call of a model that it was.
#[derive(Debug, Clone)]
pub(super) struct KeptCall {
    pub(super) operation: &'static str,
    pub(super) model: Box<str>,
    pub(super) deployment: Option<Box<str>>,
    pub(super) instance: Option<Box<str>>,
    pub(super) provider: Option<&'static str>,
    pub(super) upstream_model: Option<Box<str>>,
    pub(super) ending: Ending,
    pub(super) error: Option<&'static str>,
    pub(super) tokens: (u64, u64),
    pub(super) estimated: bool,
    pub(super) first_byte: Option<Duration>,
    pub(super) waited: Duration,
    pub(super) sent: Option<Duration>,
    pub(super) streamed: bool,
}

impl Kept {
    /// Of a request whose trace somebody wants to see.
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let trace = record.trace.filter(|trace| trace.sampled)?;
        let (span, engine) = (trace.span?, trace.engine?);
        let call = record.call.as_ref().map(|call| KeptCall {
            operation: call.operation,
            model: call.model.into(),
            deployment: call.deployment.map(Into::into),
            instance: call.instance.map(Into::into),
            provider: call.provider,
            upstream_model: call.upstream_model.map(Into::into),
            ending: call.ending,
            error: call.error,
            tokens: (call.prompt_tokens, call.completion_tokens),
            estimated: call.estimated,
            first_byte: call.first_byte,
            waited: call.waited,
            sent: call.sent,
            streamed: call.streamed,
        });
        Some(Self {
            at: record.at,
            duration: record.duration,
            trace: trace.id,
            parent: trace.parent,
            span,
            engine,
            id: record.id.into(),
            method: record.method,
            route: record.route.into(),
            status: record.status,
            client: record.client,
            agent: record.agent.into(),
            token: record.token.map(Into::into),
            project: record.project.map(Into::into),
            bytes: (record.bytes_in, record.bytes_out),
            laps: record.laps.iter().flatten().copied().collect(),
            call,
        })
    }
}
