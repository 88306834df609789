//! Other people's wire formats without I/O: nothing here opens a socket, reads a clock or starts a task.
//!
//! Life of a call's bytes: the client's body is scanned once, at its top level, without a tree
//! ([`scan`]); the few members that we must change are spliced, all else stays byte for byte
//! ([`splice`]); what the gateway has to know is read from the scan, and what it says itself is
//! built ([`openai`], [`infer`], [`modserv`]). The engine's answer comes back as server-sent events
//! ([`sse`]), read one chunk at a time ([`chunk`]), and becomes what the client asked for: the same
//! stream, put right ([`stream`]), one JSON reply ([`fold`]), or lines ([`infer::Lines`]); a reply that came whole where a stream
//! was asked for is made into one ([`unfold`]). Clients of other APIs have
//! their requests written as chats (`chat`), and their answers told by a [`talk::Codec`] each: [`responses`],
//! [`anthropic`], [`ollama`]; embeddings are put right by [`vectors`].

pub mod scan;

pub mod splice;

pub mod sse;

pub mod openai;

pub mod chunk;

pub mod stream;

pub mod fold;

pub mod unfold;

pub mod infer;

pub mod vectors;

mod chat;

pub mod talk;

pub mod responses;

pub mod anthropic;

pub mod ollama;

pub mod modserv;

mod error;

#[cfg(test)]
mod sample;

pub use error::Error;
