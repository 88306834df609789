//! The nouns of Penstock as plain values, each with its own check.
//!
//! Life of a wish: a person writes a [`Deployment`]; [`Deployment::check`] finds every fault in it;
//! it is frozen as a [`Revision`] that points to a [`Version`] of a model; an engine turns the
//! revision into an [`Order`]; a runtime carries it out and reports what it [`Seen`]s; the fleet
//! tells the story as [`Phase`]s of an [`Instance`] and as [`Event`]s; callers with [`Token`]s use
//! it, and each call leaves one [`Usage`] row. Nothing in here does I/O.

pub mod budget;
pub mod check;
pub mod deployment;
pub mod engine;
pub mod event;
pub mod identity;
pub mod instance;
pub mod model;
pub mod name;
pub mod node;
pub mod operation;
pub mod order;
pub mod prices;
pub mod project;
pub mod reason;
pub mod role;
pub mod route;
pub mod source;
pub mod usage;
pub mod user;

pub use budget::{Budget, Period, Usd};
pub use check::{Invalid, Problem, suggest};
pub use deployment::{
    Deployment, HttpVersion, KeyFrom, Record, Replicas, Retries, Revision, Rollout, RolloutPhase, RolloutStatus, Step, Strategy, Timeouts,
};
pub use engine::{CacheType, Dialect, EngineKind, RuntimeKind};
pub use event::{Audit, Cause, Event, EventKind};
pub use identity::{Limits, Scope, Token, TokenId};
pub use instance::{Instance, InstanceId, Phase};
pub use model::{
    Body, Capability, Card, Contents, Format, Keep, LATEST, Layers, Listed, Model, Parameters, Part, Serving, Shape, TagMove, Version,
    merge, tag_problem, warning,
};
pub use name::Name;
pub use node::{Allocation, AllocationId, Device, DeviceKind, Node, Use};
pub use operation::{Operation, OperationId, OperationState, Transfer};
pub use order::{Binary, Endpoint, Exit, Grant, Order, Program, Seen, SeenState, Share};
pub use prices::{Prices, Tokens};
pub use project::{Allotment, Project};
pub use reason::{Fact, Reason, ReasonCode};
pub use role::{Kind, Rights, Role, Verb};
pub use route::{Affinity, Route, RouteRecord, Target, WhenFull};
pub use source::Source;
pub use usage::{Ending, Usage};
pub use user::{Grants, Origin, User, UserId};
