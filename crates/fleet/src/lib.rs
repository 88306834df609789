//! The engine room: makes the world match the wish.
//!
//! Life of a wish: somebody stores it and pokes the [`Handle`]; the one owner task takes a turn
//! ([`turn`]): it looks at the store, the runtimes and the callers ([`observe`]) and has a
//! [`world`], a value; [`plan`] compares it with what is wanted ([`scale`], [`rollout`],
//! [`pipeline`], [`life`], [`sleep`], [`place`], [`evict`], all pure) and says what to do; `act` does it by tasks
//! (`launch`, `probe`) that report back (`reports`); `publish` writes what of the ready set has changed (`fresh`) to the board in one swap.
//! Every turn reads the world anew, so start, crash, lost message and change are one path.

mod error;
mod handle;
pub mod turn;

mod fresh;

pub mod observe;
pub mod wishes;
pub mod world;

pub mod cause;
mod room;

mod need;
pub mod place;

pub mod ways;

pub mod evict;
pub mod explain;
pub mod leaving;
pub mod ledger;

pub mod fetching;
pub mod footprints;
pub mod life;
pub mod pipeline;
pub mod plan;
pub mod pulse;
pub mod restart;
pub mod returns;
pub mod rollout;
pub mod scale;
pub mod sleep;

mod act;
mod clock;
mod follow;
mod held;
mod holdings;
mod jobs;
mod launch;
mod probe;
mod publish;
mod recover;
mod reports;
mod reserve;
mod seam;
mod snapshot;
mod steps;
mod story;

pub use act::new_item;
pub use error::Error;
pub use explain::{Explained, Trial, Verdict};
pub use handle::{Config, Fleet, Handle, PATIENCE, Parts, Secrets, StopHow};
pub use holdings::{DeviceView, NodeView};
pub use reserve::Wanted;
pub use runtime::{LogStream, LogsFrom};
pub use scale::Scaling;
pub use snapshot::{Counters, DeploymentView, Snapshot, StepView};
pub use steps::Verb;
pub use world::Packing;

#[cfg(test)]
mod tests;
