//! The operators' face with a real store, registry, access and fleet behind it; only the engines are
//! tasks of the test.

mod deployments;
mod document;
mod errors;
mod explain;
mod given;
mod guard;
mod login;
mod models;
mod modserv;
mod nouns;
mod rollouts;
mod room;
mod routes;
mod standing;
mod streams;
