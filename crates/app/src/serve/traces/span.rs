//! From requests to spans: one of the server, one of the engine's part, an event for each stage.
//!
//! In: what was kept of requests. Out: messages of OTLP. Fails: never. From: OpenTelemetry's semantic
//! conventions for generative AI and for HTTP servers.

use std::time::Duration;

use base::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::keep::{Kept, KeptCall};

const SCOPE: &str = "penstock.gateway";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The bit of a span's flags that says that it is sampled.
const SAMPLED: u32 = 1;

/// All of a batch, as those of one service.
pub(super) fn resource(service: &str, batch: &[Kept]) -> ResourceSpans {
    let scope = InstrumentationScope { name: SCOPE.to_owned(), version: VERSION.to_owned(), ..InstrumentationScope::default() };
    let attributes = vec![text("service.name", service), text("service.version", VERSION)];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans: batch.iter().flat_map(spans).collect(), ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn spans(kept: &Kept) -> impl Iterator<Item = Span> {
    let engine = kept.call.as_ref().and_then(|call| engine(kept, call));
    [Some(server(kept)), engine].into_iter().flatten()
}

/// The request as the client knows it.
fn server(kept: &Kept) -> Span {
    let call = kept.call.as_ref();
    let mut attributes = vec![
        text("http.request.method", kept.method),
        text("http.route", &kept.route),
        number("http.response.status_code", u64::from(kept.status)),
        number("http.request.body.size", kept.bytes.0),
        number("http.response.body.size", kept.bytes.1),
        text("penstock.request.id", &kept.id),
    ];
    attributes.extend(kept.client.map(|client| text("client.address", &client.ip().to_string())));
    attributes.extend(Some(&kept.agent).filter(|agent| !agent.is_empty()).map(|agent| text("user_agent.original", agent)));
    attributes.extend(kept.token.as_deref().map(|token| text("penstock.token.id", token)));
    attributes.extend(kept.project.as_deref().map(|project| text("penstock.project", project)));
    let error = call.and_then(|call| call.error).map(str::to_owned).or_else(|| (kept.status >= 500).then(|| kept.status.to_string()));
    if let Some(call) = call {
        attributes.extend(of_call(call));
        attributes.push(number("penstock.queue.wait_us", micros(call.waited)));
    }
    attributes.extend(error.as_deref().map(|error| text("error.type", error)));
    Span {
        span_id: kept.span.0.to_vec(),
        parent_span_id: kept.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        name: format!("{} {}", kept.method, kept.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(kept.at, Duration::ZERO),
        end_time_unix_nano: nanos(kept.at, kept.duration),
        attributes,
        events: events(kept),
        status: Some(status(error.filter(|_| call.is_some() || kept.status >= 500))),
        ..base(kept)
    }
}

/// The engine's part.
fn engine(kept: &Kept, call: &KeptCall) -> Option<Span> {
    let sent = call.sent?;
    let mut attributes: Vec<KeyValue> = of_call(call).collect();
    attributes.extend(call.instance.as_deref().map(|instance| text("penstock.instance", instance)));
    attributes.extend(call.error.map(|error| text("error.type", error)));
    let model = call.upstream_model.as_deref().unwrap_or(&call.model);
    Some(Span {
        span_id: kept.engine.0.to_vec(),
        parent_span_id: kept.span.0.to_vec(),
        name: format!("{} {model}", call.operation),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanos(kept.at, sent),
        end_time_unix_nano: nanos(kept.at, kept.duration),
        attributes,
        events: call.first_byte.map(|first| event(kept, "gen_ai.first_token", first, Vec::new())).into_iter().collect(),
        status: Some(status(call.error.map(str::to_owned))),
        ..base(kept)
    })
}

fn base(kept: &Kept) -> Span {
    Span { trace_id: kept.trace.0.to_vec(), flags: SAMPLED, ..Span::default() }
}

fn of_call(call: &KeptCall) -> impl Iterator<Item = KeyValue> {
    let always = [
        text("gen_ai.operation.name", call.operation),
        text("gen_ai.request.model", &call.model),
        number("gen_ai.usage.input_tokens", call.tokens.0),
        number("gen_ai.usage.output_tokens", call.tokens.1),
        text("penstock.ending", call.ending.as_str()),
        truth("penstock.usage.estimated", call.estimated),
        truth("gen_ai.request.stream", call.streamed),
    ];
    let known = [
        call.provider.map(|provider| text("gen_ai.provider.name", provider)),
        call.upstream_model.as_deref().map(|model| text("gen_ai.response.model", model)),
        call.deployment.as_deref().map(|deployment| text("penstock.deployment", deployment)),
    ];
    always.into_iter().chain(known.into_iter().flatten())
}

/// When each stage was over, and how much of our own time it took.
fn events(kept: &Kept) -> Vec<Event> {
    let laps = kept.laps.iter();
    laps.map(|lap| event(kept, &format!("penstock.{}", lap.stage), lap.ended, vec![number("penstock.took_us", micros(lap.took))])).collect()
}

fn event(kept: &Kept, name: &str, at: Duration, attributes: Vec<KeyValue>) -> Event {
    Event { time_unix_nano: nanos(kept.at, at), name: name.to_owned(), attributes, dropped_attributes_count: 0 }
}

fn status(error: Option<String>) -> Status {
    match error {
        Some(message) => Status { message, code: StatusCode::Error.into() },
        None => Status::default(),
    }
}

fn nanos(at: Timestamp, after: Duration) -> u64 {
    const MILLI: u64 = 1_000_000;
    let began = u64::try_from(at.as_millis()).unwrap_or(0).saturating_mul(MILLI);
    began.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> KeyValue {
    of(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    of(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn truth(key: &str, value: bool) -> KeyValue {
    of(key, Value::BoolValue(value))
}

fn of(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
