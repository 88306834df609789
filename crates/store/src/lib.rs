//! Life of a fact that must survive:
//!
//! the database is opened by one Penstock at a time (`lock`) and brought up to date (`open`); its log is folded by the way (`fold`);
//! then a person's wish is stored with its generation (`deployments`, and over them `routes`) and read again where it has changed (`changes`), frozen (`revisions`, and `rollouts` between them)
//! together with what its model resolved to (`models`, `digests`; `fetched` from other machines, or `uploads` of somebody), and how much memory it was seen to take (`footprints`); what is decided to run is
//! written down before it is started (`instances`); who may do what is kept as hashes (`tokens`) and roles (`users`), and
//! who shares what in `projects`, which have no more than their quota (`owned`); what happens is told in order (`events`), jobs report how far they are (`operations`), each receiver of events has its place in the story (`webhooks`), calls
//! leave a row, first in a file (`journal`) and from there in the database (`usage`), older clients keep their ids (`services`), answers that
//! may be gone on with are kept for a while (`responses`), and so are browsers that are logged in (`sessions`), secrets are kept sealed (`secrets`), and a few single facts
//! belong to the installation (`meta`). What goes wrong is an [`Error`]. [`mod@contract`] is the suite
//! that every database has to pass.

mod allocations;
mod changes;
pub mod contract;
mod deployments;
mod digests;
mod error;
mod events;
mod fetched;
mod fold;
mod footprints;
mod instances;
mod journal;
mod lock;
mod meta;
mod models;
mod open;
mod operations;
mod owned;
mod projects;
mod responses;
mod revisions;
mod rollouts;
mod routes;
mod row;
mod secrets;
mod services;
mod sessions;
mod threads;
mod tokens;
mod uploads;
mod usage;
mod users;
mod webhooks;

pub use changes::{Changes, Mark};
pub use digests::FileStamp;
pub use error::Error;
pub use events::EventQuery;
pub use fetched::{Fetched, FetchedFile};
pub use footprints::FootprintKey;
pub use instances::Kept;
pub use journal::{Alarm, Journal, JournalConfig, JournalStand};
pub use models::ModelQuery;
pub use open::Store;
pub use owned::Owned;
pub use responses::KeptResponse;
pub use revisions::KeptRevision;
pub use secrets::KeptSecret;
pub use services::Service;
pub use sessions::KeptSession;
pub use tokens::TokenQuery;
pub use usage::{BookedCall, CallQuery, CallsAfter, CallsOf, GroupBy, Housekeeping, KeepUsage, Spent, UsageQuery, UsageSum};
pub use webhooks::WebhookPlace;
