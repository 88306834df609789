//! The pipeline of a service, with the times of its steps.
//!
//! In: how the fleet sees its deployment, and the events of its last start. Out: each step with its
//! state, its beginning and its end. Pure but for the reading of events.

use base::Timestamp;
use fleet::DeploymentView;
use fleet::pipeline::Done;
use serde::Serialize;
use spec::deployment::Step;
use spec::{Event, InstanceId, Phase, Record};
use store::Service;
use utoipa::ToSchema;

use super::progress::{ServiceStatus, Word, in_words, older_time};
use crate::House;
use crate::error::Error;
use crate::shown::Sight;

/// Events of a deployment among which those of its last start are looked for.
const LOOK_BACK: u32 = 200;

/// The pipeline of a service.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServicePipeline {
    /// The service.
    service_id: String,
    /// The pipeline's name.
    pipeline: String,
    /// As in the state of the service.
    status: Word,
    /// As in the state of the service.
    current_step: usize,
    /// How many there are.
    total_steps: usize,
    /// In order.
    steps: Vec<ServiceStep>,
}

/// A step of a service's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceStep {
    /// Its place, from 1.
    index: usize,
    /// Its name.
    #[schema(value_type = String)]
    name: Step,
    /// `done`, `running`, `pending` or `failed`.
    state: &'static str,
    /// When it began: `2006-01-02 15:04:05`, UTC.
    started_at: Option<String>,
    /// When it was done.
    finished_at: Option<String>,
    /// Why it is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl ServicePipeline {
    /// As it is now.
    pub(crate) async fn of(house: &House, service: &Service, record: Option<&Record>) -> Result<Self, Error> {
        let status = ServiceStatus::of(house, service, record);
        let query = store::EventQuery {
            after: None,
            deployment: Some(service.deployment.clone()),
            limit: LOOK_BACK,
            newest_first: true,
            ..store::EventQuery::default()
        };
        let events = house.store.list_events(query).await?;
        let sight = Sight::now(house);
        let view = record.and_then(|record| sight.view(&record.spec.name));
        let times = record.map(|record| Times::of(record, &events)).unwrap_or_default();
        Ok(Self {
            service_id: service.id.clone(),
            pipeline: record.map(|record| record.spec.pipeline().to_owned()).unwrap_or_default(),
            status: status.status,
            current_step: status.current_step,
            total_steps: status.total_steps,
            steps: steps(record, view, &times),
        })
    }
}

fn steps(record: Option<&Record>, view: Option<&DeploymentView>, times: &Times) -> Vec<ServiceStep> {
    let names = record.and_then(|record| spec::deployment::pipeline(record.spec.pipeline())).unwrap_or_default();
    let dones = view.map(|view| view.steps.as_slice()).unwrap_or_default();
    let at = dones.iter().position(|step| step.done != Done::Yes);
    let show = |(place, name): (usize, &Step)| {
        let done = dones.get(place).map(|step| &step.done);
        let (state, message) = match done {
            Some(Done::Yes) => ("done", None),
            Some(Done::Impossible(reason)) => ("failed", Some(in_words(reason))),
            Some(Done::No(reason)) if at == Some(place) && reason.code != spec::ReasonCode::Idle => ("running", Some(in_words(reason))),
            Some(Done::No(reason)) => ("pending", Some(in_words(reason))),
            None => ("pending", None),
        };
        let (start, end) = times.of_step(*name);
        ServiceStep {
            index: place + 1,
            name: *name,
            state,
            started_at: start.filter(|_| state != "pending").map(older_time),
            finished_at: end.filter(|_| state == "done").map(older_time),
            message,
        }
    };
    names.iter().enumerate().map(show).collect()
}

/// When the last start of a deployment came to its phases.
#[derive(Debug, Default)]
struct Times {
    wanted: Option<Timestamp>,
    decided: Option<Timestamp>,
    starting: Option<Timestamp>,
    loading: Option<Timestamp>,
    ready: Option<Timestamp>,
}

impl Times {
    /// From events, newest first.
    fn of(record: &Record, events: &[Event]) -> Self {
        let newest: Option<&InstanceId> = events.iter().find_map(|event| event.instance.as_ref());
        let ours: Vec<&Event> = events.iter().filter(|event| newest.is_some() && event.instance.as_ref() == newest).collect();
        let came_to = |phase: Phase| ours.iter().rev().find(|event| event.phase.is_some_and(|(_, to)| to == phase)).map(|event| event.at);
        Self {
            wanted: Some(record.updated_at),
            decided: ours.last().map(|event| event.at),
            starting: came_to(Phase::Starting),
            loading: came_to(Phase::Loading),
            ready: came_to(Phase::Ready),
        }
    }

    /// Its beginning and its end; the model is read before an instance is decided on.
    fn of_step(&self, step: Step) -> (Option<Timestamp>, Option<Timestamp>) {
        match step {
            Step::Resolve | Step::Fetch | Step::Verify | Step::Estimate => (self.wanted, self.decided),
            Step::Place => (self.decided, self.starting),
            Step::Launch | Step::Check => (self.starting, self.loading),
            Step::Warm => (self.loading, self.ready),
            Step::Expose => (self.ready, self.ready),
        }
    }
}

/// The pipeline of a service in its envelope.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PipelineEnvelope {
    /// 0.
    code: u16,
    /// `success`.
    message: String,
    /// The pipeline.
    data: ServicePipeline,
}
