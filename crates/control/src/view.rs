//! What the nouns look like on the wire, for the reader of the OpenAPI document.
//!
//! The nouns themselves live in `spec` and know nothing of OpenAPI; each has its mirror here, field
//! for field. A test sends real values through the mirrors and back, so they cannot drift. Programs
//! that talk to this API may use them too.

mod deployment;
mod explain;
mod instance;
mod model;
mod project;
mod rollout;
mod route;
mod story;
mod token;
mod usage;

pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus, Explanation, Prices, Replicas, StepView, Timeouts};
pub use explain::{Grant, Here, Leaver, Share, Trial};
pub use instance::{Allocation, Device, DeviceUse, Instance, NewAllocation, Node, Reason};
pub use model::{Body, Layers, Model, ModelSource, ModelStatus, Registration, Version};
pub use project::{NewProject, Project, ProjectPatch};
pub use rollout::{Canary, ReplicaTargets, ReplicaWindow, Revision, Rollout, RolloutStatus, Scaling, Undo};
pub use route::{Route, RouteSpec, RouteStatus, RouteTarget, RouteTargetStatus};
pub use story::{Cause, Event, Operation, ServerStatus, Webhook, WebhookFailure};
pub use token::{Budget, Limits, Minute, NewToken, Quota, Rate, SecretToken, Token, TokenPatch, Use};
pub use usage::{Call, Usage};

#[cfg(test)]
mod tests;
