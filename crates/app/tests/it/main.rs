//! The whole house, through its front door.
//!
//! Life of a test: a [`stage`] with a folder of its own; a house in this process, or Penstock as a
//! [`process`]; a [`client`] that asks as others do; where an engine is needed it is the real one,
//! and where the engine has to misbehave, testkit's upstream, which does as it is told. [`wire`] looks at
//! every byte of both ends; [`clients`] lets the libraries do the asking that people use.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking, and says what it skips")]

mod client;
mod process;
mod stage;

mod answers;
mod audit;
mod authorization;
mod bad_input;
mod cli;
mod clients;
mod cost;
mod faces;
mod fleet;
mod ledger;
mod life;
mod login;
mod meanwhile;
mod memory;
mod models;
mod observe;
mod projects;
mod pulls;
mod restart;
mod revocation;
mod rollouts;
mod routes;
mod safety;
mod stopping;
mod stores;
mod tokens;
mod webhooks;
mod wire;
