//! How does OpenAI's Responses API read, in front of an engine that only knows chat?
//!
//! In: the body of `POST /v1/responses`, and the conversation that it goes on with; then what the engine says
//! ([`crate::talk`]). Out: a body for the engine's chat path; then a response object, or its numbered events. Fails: on
//! members that cannot be translated, with their name. Pure: ids and times come from outside. From: OpenAI's published
//! API description and its SDKs.

mod events;
mod object;
mod request;
#[cfg(test)]
pub(crate) mod tests;

pub use events::Events;
pub use object::{Object, list_of_items};
pub use request::Request;
