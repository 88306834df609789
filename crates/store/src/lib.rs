//! Life of a fact that must survive:
//!
//! the database is opened by one Penstock at a time (`lock`) and brought up to date (`open`);
//! then a person's wish is stored with its generation (`deployments`, and over them `routes`), frozen (`revisions`, and `rollouts` between them)
//! together with what its model resolved to (`models`, `digests`), and how much memory it was seen to take (`footprints`); what is decided to run is
//! written down before it is started (`instances`); who may do what is kept as hashes (`tokens`), and
//! who shares what in `projects`; what happens is told in order (`events`), jobs report how far they are (`operations`), each receiver of events has its place in the story (`webhooks`), calls
//! leave a row, first in a file (`journal`) and from there in the database (`usage`), older clients keep their ids (`services`), answers that
//! may be gone on with are kept for a while (`responses`), and a few single facts
//! belong to the installation (`meta`). What goes wrong is an [`Error`]. [`mod@contract`] is the suite
//! that every database has to pass.

mod allocations;
pub mod contract;
mod deployments;
mod digests;
mod error;
mod events;
mod footprints;
mod instances;
mod journal;
mod lock;
mod meta;
mod models;
mod open;
mod operations;
mod projects;
mod responses;
mod revisions;
mod rollouts;
mod routes;
mod row;
mod services;
mod tokens;
mod usage;
mod webhooks;

pub use digests::FileStamp;
pub use error::Error;
pub use events::EventQuery;
pub use footprints::FootprintKey;
pub use instances::Kept;
pub use journal::{Alarm, Journal, JournalConfig, JournalStand};
pub use open::Store;
pub use responses::KeptResponse;
pub use revisions::KeptRevision;
pub use services::Service;
pub use usage::{BookedCall, CallQuery, CallsAfter, GroupBy, Housekeeping, KeepUsage, Spent, UsageQuery, UsageSum};
pub use webhooks::WebhookPlace;
