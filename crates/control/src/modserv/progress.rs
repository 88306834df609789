//! How far a service is, in the words of older clients.
//!
//! In: a service, its deployment and how the fleet sees it. Out: one of six words, and the step that
//! it is at. Pure. A service whose deployment is gone is
//! `terminated`; one that was unloaded, or waits, is `pending`.

use base::Timestamp;
use fleet::pipeline::Done;
use fleet::{DeploymentView, StepView};
use serde::Serialize;
use spec::Record;
use spec::deployment::Step;
use store::Service;
use utoipa::ToSchema;

use crate::House;
use crate::shown::{Sight, state};

/// The six words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Pending,
    Creating,
    Running,
    Failed,
    Terminating,
    Terminated,
}

impl Word {
    /// In the order of the docs.
    pub(crate) const ALL: [Self; 6] = [Self::Pending, Self::Creating, Self::Running, Self::Failed, Self::Terminating, Self::Terminated];
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Terminating => "terminating",
            Self::Terminated => "terminated",
        }
    }

    fn of(record: Option<&Record>, view: Option<&DeploymentView>) -> Self {
        let Some(record) = record else { return Self::Terminated };
        if record.deleting {
            return Self::Terminating;
        }
        let ready = view.map_or(0, |view| view.ready);
        if ready > 0 && ready >= record.spec.replicas.min {
            return Self::Running;
        }
        match state(record, view) {
            "ready" | "starting" | "loading" | "warming" => Self::Creating,
            "failed" | "unhealthy" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

/// A service as older clients see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceStatus {
    /// Its id.
    pub(crate) service_id: String,
    /// The model name that clients send.
    pub(crate) model_name: String,
    /// The model's file, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_path: Option<String>,
    /// How it stands.
    pub(crate) status: Word,
    /// Why it is not running, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Where clients call it.
    endpoint: String,
    /// When it last changed: `2006-01-02 15:04:05`, UTC.
    update_time: String,
    /// The step of its pipeline that it is at, from 1; `totalSteps` once all are done.
    pub(crate) current_step: usize,
    /// Steps of its pipeline.
    pub(crate) total_steps: usize,
    /// Instances that are wanted.
    pub(crate) replicas: u32,
    /// Instances that serve.
    pub(crate) ready_replicas: u32,
}

impl ServiceStatus {
    /// As it is now.
    pub(crate) fn of(house: &House, service: &Service, record: Option<&Record>) -> Self {
        let sight = Sight::now(house);
        let view = record.and_then(|record| sight.view(&record.spec.name));
        let ours = sight.snapshot.instances.iter().filter(|instance| record.is_some() && instance.deployment == service.deployment);
        let changed = record.map_or(service.created_at, |record| record.updated_at);
        let steps = view.map(|view| view.steps.as_slice()).unwrap_or_default();
        let total = record.and_then(|record| spec::deployment::pipeline(record.spec.pipeline())).map_or(0, <[Step]>::len);
        let status = Word::of(record, view);
        Self {
            service_id: service.id.clone(),
            model_name: service.deployment.to_string(),
            model_path: view.and_then(|view| view.version.as_ref()).map(|version| version.path.display().to_string()),
            status,
            reason: view.filter(|_| status != Word::Running).and_then(|view| view.reason.as_ref()).map(in_words),
            endpoint: format!("{}/v1/chat/completions", house.base_url.trim_end_matches('/')),
            update_time: older_time(ours.map(|instance| instance.since).max().map_or(changed, |since| since.max(changed))),
            current_step: current(steps).min(total),
            total_steps: total,
            replicas: record.map_or(0, |record| record.spec.replicas.min),
            ready_replicas: view.map_or(0, |view| view.ready),
        }
    }
}

pub(super) fn in_words(reason: &spec::Reason) -> String {
    if reason.remedy.is_empty() { reason.message.clone() } else { format!("{}; {}", reason.message, reason.remedy) }
}

/// The first step that is not done, from 1.
fn current(steps: &[StepView]) -> usize {
    steps.iter().position(|step| step.done != Done::Yes).unwrap_or(steps.len().saturating_sub(1)) + 1
}

/// As older clients write times.
pub(super) fn older_time(at: Timestamp) -> String {
    at.to_string().replacen('T', " ", 1).chars().take("2006-01-02 15:04:05".len()).collect()
}

/// The state of a service in its envelope.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusEnvelope {
    /// 0.
    code: u16,
    /// `success`.
    message: String,
    /// The state.
    data: ServiceStatus,
}
