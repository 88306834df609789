//! What the nouns look like on the wire, for the reader of the OpenAPI document.
//!
//! The nouns themselves live in `spec` and know nothing of OpenAPI; each has its mirror here, field
//! for field. A test sends real values through the mirrors and back, so they cannot drift. Programs
//! that talk to this API may use them too.

mod blobs;
mod deployment;
mod explain;
mod instance;
mod login;
mod model;
mod project;
mod rollout;
mod route;
mod secret;
mod story;
mod token;
mod usage;
mod user;

pub use blobs::{BlobSummary, Prune, Pruned, PrunedBlob, PrunedPart, Unfinished};
pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus, Explanation, Prices, Replicas, StepView, Timeouts};
pub use explain::{Grant, Here, Leaver, Share, Trial};
pub use instance::{Allocation, Device, DeviceUse, Instance, NewAllocation, Node, Reason};
pub use login::{BrowserSession, DeviceForm, DeviceLogin, EnterForm, GrantForm, GrantedToken, LogoutForm, OAuthFailure};
pub use model::{
    Body, Contents, Layers, Model, ModelCard, ModelParameters, ModelSpec, ModelStatus, ModelVersion, NewVersion, Registration, SentFile,
    Serving, TagMove, TagTarget, TensorShape, Version, VersionFile, VersionNote,
};
pub use project::{NewProject, Project, ProjectPatch};
pub use rollout::{Canary, ReplicaTargets, ReplicaWindow, Revision, Rollout, RolloutStatus, Scaling, Undo};
pub use route::{Route, RouteSpec, RouteStatus, RouteTarget, RouteTargetStatus};
pub use secret::{NewSecret, Rotated, Secret};
pub use story::{Cause, Event, Operation, ServerStatus, Transfer, Webhook, WebhookFailure};
pub use token::{Budget, Limits, Minute, NewToken, Quota, Rate, SecretToken, Token, TokenPatch, Use};
pub use usage::{Call, Usage};
pub use user::{Allotment, Audit, Grants, NewRole, NewUser, Rights, Role, RolePatch, User, UserOrigin, UserPatch, Whoami};

#[cfg(test)]
mod tests;
