//! A remote or already running server that speaks the OpenAI API.
//!
//! In: its base URL. Out: an order that starts nothing. Fails: without a URL.

use std::time::Duration;

use spec::{Deployment, Dialect, Endpoint, Order, Program, Revision, Version};

use crate::{Engine, Error, Load, Memory, Needs, Place, Probe, order};

/// A remote OpenAI-compatible server.
#[derive(Debug)]
pub(crate) struct Openai;

impl Engine for Openai {
    fn order(&self, revision: &Revision, place: &Place) -> Result<Order, Error> {
        let url = revision.spec.url.as_deref().ok_or_else(|| Error::NoUrl(revision.spec.name.clone()))?;
        let mut order = order(revision, place, Memory::default());
        order.program = Program::None;
        order.endpoint = Endpoint::Url(url.trim_end_matches('/').to_owned());
        Ok(order)
    }
    fn memory(&self, _: Option<&Version>, _: &Deployment) -> Memory {
        Memory::default()
    }
    fn needs(&self, version: Option<&Version>, spec: &Deployment) -> Needs {
        Needs::whole(self.memory(version, spec))
    }
    fn probe(&self) -> Probe {
        let timeout = Duration::from_secs(10);
        Probe { path: "/models", loading: Some(503), key_may_be_refused: false, pulse: None, slots: None, sleep: None, timeout }
    }
    fn load(&self, _: &str, _: Option<&str>) -> Option<Load> {
        None
    }
    fn dialect(&self, _: &Deployment) -> Dialect {
        Dialect { chat: true, completions: true, embeddings: true, always_stream: false, stream_usage: true }
    }
}
