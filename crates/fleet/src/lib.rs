//! The engine room: makes the world match the wish.
//!
//! Life of a wish: somebody stores it and pokes the [`Handle`]; the one owner task takes a turn
//! ([`turn`]): it looks at the store, the runtimes and the callers ([`observe`]) and has a
//! [`world`], a value; [`plan`] compares it with what is wanted ([`scale`], [`pipeline`],
//! [`life`], [`place`], [`evict`], all pure) and says what to do; `act` does it by tasks
//! (`launch`, `probe`) that report back (`reports`); `publish` writes the ready set to the board in one swap.
//! Every turn reads the world anew, so start, crash, lost message and change are one path.

mod error;
mod handle;
pub mod turn;

pub mod observe;
pub mod world;

pub mod evict;
pub mod life;
pub mod pipeline;
pub mod place;
pub mod plan;
pub mod scale;

mod act;
mod jobs;
mod launch;
mod probe;
mod publish;
mod recover;
mod reports;
mod snapshot;
mod story;

pub use error::Error;
pub use handle::{Config, Fleet, Handle, Parts, Secrets, StopHow};
pub use runtime::{LogStream, LogsFrom};
pub use snapshot::{Counters, DeploymentView, NodeView, Snapshot, StepView};

#[cfg(test)]
mod tests;
